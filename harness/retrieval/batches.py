"""Batches of passages, tokenised and counted: each a file that is whole or not there.

They are what an index is made of, and what is kept of a building that was stopped.
"""

from __future__ import annotations

import os
import signal
import zipfile
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import starmap
from pathlib import Path
from threading import Thread
from time import sleep
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError, InputError
from harness.files import atomic_file
from harness.retrieval.terms import BM25Settings, Tokenizer

if TYPE_CHECKING:
    from concurrent.futures import Future

    from harness.data.corpus import Corpus

SIZE = 8192
"""Passages of a batch, about a second's work; at most 65,536, since ``rows`` has two bytes."""
_ARRAYS = ("lengths", "terms", "holders", "rows", "frequencies")
_DAMAGED = (
    OSError, EOFError, ValueError, KeyError, TypeError, MemoryError, zipfile.BadZipFile
)  # fmt: skip
Task = tuple[list[str], BM25Settings, Path]
"""Texts of a batch, how they are tokenised, and the file to write."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What consecutive passages hold: for each term its passages in order, term after term."""

    lengths: NDArray[Any]
    """Terms [passages] of each passage, repetitions counted."""
    terms: list[str]
    """Each term once, in the order in which they first occur."""
    holders: NDArray[Any]
    """Passages [terms] that hold each."""
    rows: NDArray[Any]
    """The passage [postings] of each posting, the first of the batch being 0."""
    frequencies: NDArray[Any]
    """How often [postings] the term occurs there."""

    @classmethod
    def of(cls, texts: Sequence[str], tokenize: Tokenizer) -> Batch:
        """Count the terms of texts, one a passage."""
        numbers: dict[str, int] = {}
        of_word: dict[str, int] = {}  # each word is stemmed once
        lengths, found = array("i"), array("i")
        for text in texts:
            words = tokenize.words(text)
            new = [word for word in words if word not in of_word]
            for word, term in zip(new, tokenize.terms(new), strict=True):
                of_word[word] = numbers.setdefault(term, len(numbers))
            lengths.append(len(words))
            found.extend([of_word[word] for word in words])
        each = np.repeat(np.arange(len(texts)), lengths)
        postings, frequencies = np.unique(
            np.asarray(found, np.int64) * len(texts) + each, return_counts=True
        )
        held, rows = np.divmod(postings, len(texts))
        holders = np.bincount(held, minlength=len(numbers))
        return cls(np.asarray(lengths), list(numbers), holders, rows, frequencies)

    @classmethod
    def read(cls, path: Path, passages: int) -> Batch:
        """A file that ``write`` wrote of so many passages. Raises InputError if it is not whole."""
        try:
            # An archive's members have checksums, which are looked at as they are read.
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in _ARRAYS}
            text = arrays["terms"].tobytes().decode()
        except _DAMAGED as error:
            raise InputError(f"{path}: damaged ({error}); delete it and try again") from error
        terms = text.split("\n") if text else []
        batch = cls(**{**arrays, "terms": terms})
        if not batch._is_sound(passages):
            raise InputError(f"{path}: damaged (its parts do not fit); delete it and try again")
        return batch

    def write(self, path: Path) -> None:
        """Save it, all or nothing, in as few bytes as its numbers need."""
        with atomic_file(path) as file:
            np.savez(
                file,
                lengths=self.lengths.astype(np.int32),
                terms=np.frombuffer("\n".join(self.terms).encode(), np.uint8),
                holders=self.holders.astype(np.uint32),
                rows=self.rows.astype(np.uint16),
                frequencies=self.frequencies.astype(
                    np.min_scalar_type(self.frequencies.max(initial=1))
                ),
            )

    def _is_sound(self, passages: int) -> bool:
        return bool(
            len(self.lengths) == passages
            and len(self.terms) == len(self.holders)
            and len(self.rows) == len(self.frequencies) == self.holders.sum()
            and self.lengths.sum() == self.frequencies.sum(dtype=np.int64)
            and self.rows.max(initial=0) < max(1, passages)
        )


@dataclass(frozen=True, slots=True)
class Batches:
    """The files of a corpus's batches in a folder."""

    folder: Path
    passages: int

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        """Every batch in order, with the position of its first passage. Raises InputError."""
        for start in self._starts():
            yield start, Batch.read(self._file(start), self._count(start))

    def make(self, corpus: Corpus, settings: BM25Settings, cores: int) -> Iterator[int]:
        """Make those that are not there or not whole; yields the passages done, as they come.

        With more than one core, each has a process of its own.
        """
        lacking = [start for start in self._starts() if not self._is_whole(start)]
        done = self.passages - sum(map(self._count, lacking))
        yield done
        tasks = ((self._texts(corpus, start), settings, self._file(start)) for start in lacking)
        cores = min(cores, len(lacking))
        for count in _in_processes(tasks, cores) if cores > 1 else starmap(_write, tasks):
            done += count
            yield done

    def _texts(self, corpus: Corpus, start: int) -> list[str]:
        return [corpus[start + row].contents for row in range(self._count(start))]

    def _starts(self) -> range:
        return range(0, self.passages, SIZE)

    def _count(self, start: int) -> int:
        return min(SIZE, self.passages - start)

    def _file(self, start: int) -> Path:
        return self.folder / f"{start:012}.npz"

    def _is_whole(self, start: int) -> bool:
        try:
            Batch.read(self._file(start), self._count(start))
        except InputError:
            return False
        return True


def _write(texts: list[str], settings: BM25Settings, path: Path) -> int:
    Batch.of(texts, _tokenizer(settings)).write(path)
    return len(texts)


# Some languages' dictionaries take a second to load.
_tokenizer = cache(Tokenizer)


def _in_processes(tasks: Iterator[Task], cores: int) -> Iterator[int]:
    """``_write`` of each task, in order."""
    # Unlike Python's own, these processes do not run the user's main script once more.
    from joblib.externals.loky import ProcessPoolExecutor
    from joblib.externals.loky.process_executor import BrokenProcessPool

    pool = ProcessPoolExecutor(cores, initializer=_depend_on_parent)
    waiting: deque[Future[int]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(_write, *task))
            if len(waiting) > 2 * cores:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise HarnessError(
            "a process that tokenised passages is gone; see to its memory and run again, or with "
            "OMP_NUM_THREADS=1; what is done is kept"
        ) from error
    finally:
        # What is at work is not waited for: a file is whole or not there.
        pool.shutdown(kill_workers=True)


def _depend_on_parent() -> None:
    """Leave Ctrl-C to the parent, which ends this process; end with it, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_follow, args=(os.getppid(),), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        sleep(0.5)
    os._exit(1)
