"""Inverting of counted batches into the postings of a BM25 index, weighed by bm25s' formulas.

Peak memory grows with the vocabulary and by four bytes a passage, not with the postings: these are
parted by ranges of terms into files (buckets), of which one at a time is sorted and weighed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from harness.data.strings import Strings
from harness.errors import InputError
from harness.retrieval.batches import Batches
from harness.retrieval.terms import BM25Settings

PASSAGES, WEIGHTS, STARTS, TERMS = "passages.npy", "weights.npy", "starts.npy", "terms"
"""Files of an index: of each posting the passage's position (int32) and the term's weight there
(float32), term after term, passages in order; where each term's postings start (int64, one more
than terms); and the terms (``Strings``), each at the place of its number."""
SCRATCH = ".buckets."
"""What the name of the folder begins with that buckets lie in."""
_BUCKET = 2**22
"""Postings that are sorted at once, in some 300 MB."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What batches hold together."""

    numbers: dict[str, int]
    """Of each term, in the order in which terms first occur."""
    holders: NDArray[np.int64]
    """Passages [terms] that hold each."""
    lengths: NDArray[np.int32]
    """Terms [passages] of each passage."""

    @classmethod
    def of(cls, batches: Batches, scratch: Path) -> Counts:
        """Count all; the numbers of each batch's terms go into a file of ``scratch``.

        Raises InputError if no passage holds a term.
        """
        numbers: dict[str, int] = {}
        holders = np.zeros(0, np.int64)
        lengths = np.zeros(batches.passages, np.int32)
        for first, batch in batches:
            own = np.array([numbers.setdefault(term, len(numbers)) for term in batch.terms], "i4")
            np.save(_numbers(scratch, first), own, allow_pickle=False)
            if len(numbers) > len(holders):
                holders = np.append(holders, np.zeros(len(numbers), np.int64))
            holders[own] += batch.holders
            lengths[first : first + len(batch.lengths)] = batch.lengths
        if not numbers:
            raise InputError("no passage of the corpus holds a word that BM25 can index")
        return cls(numbers, holders[: len(numbers)], lengths)

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where the postings [terms + 1] of each term start."""
        return np.append(0, np.cumsum(self.holders))

    def weigh(self, settings: BM25Settings) -> Callable[..., NDArray[np.float32]]:
        """What gives the weights of postings by their terms, passages and frequencies."""
        from bm25s.scoring import _select_idf_scorer, _select_tfc_scorer

        idf_of, saturated = _select_idf_scorer(settings.method), _select_tfc_scorer(settings.method)
        mean, total = self.lengths.mean(), len(self.lengths)
        each, place = np.unique(self.holders, return_inverse=True)
        idf = np.array([idf_of(n, N=total) for n in each.tolist()], np.float32)[place]

        def weights(terms: Any, passages: Any, frequencies: Any) -> NDArray[np.float32]:
            tfc = saturated(
                tf_array=frequencies.astype(np.float32),
                l_d=self.lengths[passages],
                l_avg=mean,
                k1=settings.k1,
                b=settings.b,
                delta=None,
            )
            found: NDArray[np.float32] = (idf[terms] * tfc).astype(np.float32)
            return found

        return weights


def invert(batches: Batches, settings: BM25Settings, folder: Path) -> None:
    """Write the index into a folder. Raises InputError if no passage holds a term.

    The same as bm25s builds of the same ids, which are numbered as terms first occur: bm25s' own
    vocabulary follows Python's random set order.
    """
    with TemporaryDirectory(prefix=SCRATCH, dir=batches.folder) as place:
        scratch = Path(place)
        counts = Counts.of(batches, scratch)
        starts, weigh = counts.starts, counts.weigh(settings)
        np.save(folder / STARTS, starts, allow_pickle=False)
        Strings.of(counts.numbers).save(folder, TERMS)
        counts.numbers.clear()  # the most memory that there is
        bounds = _bounds(starts)
        _part(batches, bounds, scratch)
        with (
            _array_file(folder / PASSAGES, np.dtype(np.int32), int(starts[-1])) as of_passages,
            _array_file(folder / WEIGHTS, np.dtype(np.float32), int(starts[-1])) as of_weights,
        ):
            for number, terms in enumerate(np.diff(bounds)):
                for postings in _sorted(_bucket(scratch, number), whole=terms > 1):
                    passages = postings[:, 1]
                    passages.tofile(of_passages)
                    weigh(postings[:, 0], passages, postings[:, 2]).tofile(of_weights)


def _bounds(starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """First terms of the buckets, each as many as fit, one at least; and the number of terms."""
    bounds = [0]
    while bounds[-1] < len(starts) - 1:
        most = starts[bounds[-1]] + _BUCKET
        bounds.append(max(bounds[-1] + 1, int(starts.searchsorted(most, side="right")) - 1))
    return np.array(bounds)


def _part(batches: Batches, bounds: NDArray[np.int64], scratch: Path) -> None:
    """Append every posting (term, passage, frequency; int32) to the bucket of its term."""
    for first, batch in batches:
        own = np.load(_numbers(scratch, first), allow_pickle=False)
        # Two bytes are sorted in linear time.
        of_term = (bounds.searchsorted(own, side="right") - 1).astype(np.uint16)
        bucket = np.repeat(of_term, batch.holders)
        postings = np.empty((len(batch.rows), 3), np.int32)
        postings[:, 0] = np.repeat(own, batch.holders)
        postings[:, 1] = first + batch.rows.astype(np.int64)
        postings[:, 2] = batch.frequencies
        postings = postings[np.argsort(bucket, kind="stable")]
        ends = np.cumsum(np.bincount(bucket, minlength=len(bounds) - 1))
        for number in np.unique(of_term):
            begin = ends[number - 1] if number else 0
            with _bucket(scratch, number).open("ab") as file:
                postings[begin : ends[number]].tofile(file)


def _numbers(scratch: Path, first: int) -> Path:
    return scratch / f"{first}.npy"


def _bucket(scratch: Path, number: int) -> Path:
    return scratch / f"{number}.postings"


def _sorted(bucket: Path, *, whole: bool) -> Iterator[NDArray[np.int32]]:
    """A bucket's postings by term, passages in order; in parts if it is of a single term."""
    with bucket.open("rb") as file:
        while len(found := np.fromfile(file, np.int32, 3 * _BUCKET)):
            postings = found.reshape(-1, 3)
            yield postings[np.argsort(postings[:, 0], kind="stable")] if whole else postings
    bucket.unlink()


def _array_file(path: Path, kind: np.dtype[Any], length: int) -> BinaryIO:
    """A file of ``np.save`` whose numbers are written as they come."""
    file = path.open("wb")
    header = {"descr": kind.str, "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(file, header)
    return file
