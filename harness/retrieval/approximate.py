"""Approximate dense retrieval: an index of faiss that is trained, kept in the cache and mapped."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import ConfigError, InputError
from harness.files import cache_dir, read_json, write_json, writing
from harness.fingerprint import fingerprint
from harness.records import Passage
from harness.retrieval.approximate_building import DEPTH, Rows, Sample, build_faiss, threads
from harness.retrieval.base import Built, Progress, Retriever
from harness.retrieval.building import Clock, Note, in_turn, work_of
from harness.retrieval.catalogue import EncoderEntry, encoder_entry
from harness.retrieval.dense import embedding_folder
from harness.retrieval.embeddings import EmbeddingStore, embed_into
from harness.retrieval.encoders import Encoder, SentenceEncoder, Vectors, find_model
from harness.retrieval.index_kinds import Kind, split
from harness.retrieval.ranking import with_scores
from harness.retrieval.selftest import check_index
from harness.sealed import check_sealed, write_sealed

if TYPE_CHECKING:
    from harness.data.corpus import Corpus

_log = logging.getLogger(__name__)
# Raised when an index is saved in another form.
_FILES = 1
_MARGIN = 32
_INDEX, _VECTORS, _SAMPLE = "index.faiss", "vectors.npy", "sample.npz"


class ApproximateRetriever(Retriever):
    """Searches an index of one of ``index_kinds``, whose row i is passage i.

    Candidates are scored again in float64 by their vectors, those of the index or with ``refine``
    those of the encoder, one row at a time, so that scores and ties do not depend on the batch. A
    search that found fewer than k looks further, as far as the kind can.
    """

    kind = "dense"

    @classmethod
    def open(
        cls, corpus: Corpus, settings: Mapping[str, Any], progress: Progress | None = None
    ) -> ApproximateRetriever:
        """Encode the corpus and build what the cache lacks; test that passages are found.

        ``settings`` are those of ``index_kinds`` and of an encoder, and ``encoder`` its name.
        """
        kind, entry = _parts(settings)
        kind.check(len(corpus))
        opened = cls(corpus, SentenceEncoder(entry), kind, progress=progress)
        check_index(opened, corpus, opened.folder, with_text=True)
        return opened

    @classmethod
    def config(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What decides the vectors, and ``index``, what decides which are found."""
        kind, entry = _parts(settings)
        own = kind.model_dump()
        return {**entry.config(), "index": {"kind": own.pop("index"), **own}}

    @classmethod
    def check(cls, corpus: Corpus, settings: Mapping[str, Any]) -> None:
        """The settings against the corpus and its vectors; find the encoder's files."""
        kind, entry = _parts(settings)
        kind.check(len(corpus))
        if entry.dimensions is not None:
            kind.factory(len(corpus), entry.dimensions)
        find_model(entry)

    def __init__(
        self, corpus: Corpus, encoder: Encoder, kind: Kind, *, progress: Progress | None = None
    ) -> None:
        """Build or load the index. Raises ConfigError for settings that do not fit the corpus."""
        self.name = f"{encoder.name} {kind.index}"
        self.encoder_key = encoder.key if kind.exact_vectors else None
        self._corpus, self._encoder, self._kind = corpus, encoder, kind
        self._factory = kind.factory(len(corpus), encoder.dimensions)
        self.folder = cache_dir("dense") / self._key()
        self.built = self._found()
        loaded = self._load()
        if loaded is None or os.access(work_of(self.folder), os.W_OK):
            made = in_turn(self.folder, lambda work: self._build(work, progress))
            self.built = made or self._found()
            loaded = self._load()
        if loaded is None:
            raise InputError(f"{self.folder}: cannot be read back; delete it and try again")
        self._index, self._vectors, self._sample = loaded
        self._recall = self._measured()

    def search(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        """The k best passages a query of those that the index proposes."""
        if not queries or k < 1:
            return [[] for _ in queries]
        vectors = self._encoder.encode_queries(queries)
        return [with_scores(self._corpus, *best) for best in self._best(vectors, k)]

    def storage(self) -> dict[str, int]:
        """Bytes of the index on disk, with the vectors that ``refine`` keeps beside it."""
        files = (self.folder / name for name in (_INDEX, _VECTORS))
        return {"dense index": sum(file.stat().st_size for file in files if file.exists())}

    def vectors(self, ids: Sequence[str]) -> Vectors:
        """The encoder's vectors. Raises ConfigError for an index that keeps others."""
        if self.encoder_key is None:
            raise ConfigError(
                f"index={self._kind.index}: keeps no vectors as they were; take index=flat, hnsw, "
                "or refine=100"
            )
        rows = np.array([self._corpus.position(id_) for id_ in ids], np.int64)
        found: Vectors = self._rows(rows).astype(np.float32)
        return found

    def provenance(self) -> dict[str, Any]:
        """The encoder's, faiss's version, how the index was made and its recall against flat."""
        return {
            **self._encoder.provenance(),
            "faiss": version("faiss-cpu"),
            "factory": self._factory,
            "recall": {
                "value": self._recall,
                "k": DEPTH,
                "of": "the passages nearest by a flat index",
                "asked": f"{len(self._sample.rows)} vectors of the corpus",
            },
        }

    def _best(self, vectors: Vectors, k: int) -> Iterator[tuple[Rows, NDArray[np.float64]]]:
        """Positions and scores of each query, best first."""
        most = min(k, len(self._corpus))
        depth = min(max(k + _MARGIN, self._kind.refine), len(self._corpus))
        width = self._kind.width(depth)
        proposed = self._propose(vectors, depth, width)
        for row, positions in zip(vectors, proposed, strict=True):
            enough = self._further(row, positions, depth, most)
            scores = (self._rows(enough) * row.astype(np.float64)).sum(axis=1)
            order = np.lexsort((enough, -scores))[:most]
            yield enough[order], scores[order]

    def _propose(self, rows: Vectors, depth: int, width: int) -> list[Rows]:
        import torch

        params = self._kind.params(self._index, width)
        calls = rows[:, None] if self._kind.one_by_one else [rows]
        # faiss and torch may hold separate thread pools; torch's limit is the one users set.
        with threads(torch.get_num_threads()):
            found = [self._index.search(call, depth, params=params)[1] for call in calls]
        return [each[each >= 0] for call in found for each in call]

    def _further(self, row: Vectors, found: Rows, depth: int, enough: int) -> Rows:
        width, widest = self._kind.width(depth), self._kind.widest(self._index)
        while len(found) < enough and width < widest:
            width *= 2
            (found,) = self._propose(row[None], depth, width)
        return found

    def _rows(self, positions: Rows) -> NDArray[np.float64]:
        if self._vectors is not None:
            return np.asarray(self._vectors[positions], np.float64)
        return np.asarray(self._index.reconstruct_batch(positions), np.float64)

    def _key(self) -> str:
        what = {
            "corpus": self._corpus.fingerprint,
            "encoder": self._encoder.key,
            "factory": self._factory,
            "settings": self._kind.building(),
            "vectors": self._kind.refine > 0,
            "faiss": version("faiss-cpu"),
            "files": _FILES,
        }
        return fingerprint(what)[:32]

    def _found(self) -> Built:
        """How an index of the cache came to be, the encoding of its passages among it."""
        passages = len(self._corpus)
        notes = [Note.read(place) for place in (self._note, self._embedding_note)]
        known = all(note.passages == passages for note in notes)
        return Built(cached=True, seconds=sum(n.seconds for n in notes) if known else None)

    @property
    def _note(self) -> Path:
        return self.folder.with_suffix(".json")

    @property
    def _embedding_note(self) -> Path:
        return embedding_folder(self._encoder) / f"{self._corpus.fingerprint[:32]}.json"

    def _build(self, work: Path, progress: Progress | None) -> Built:
        """Vectors into a file of ``work``, the index from there."""
        start, passages = perf_counter(), len(self._corpus)
        clock = Clock(self._embedding_note, passages, progress)
        shape = (passages, self._encoder.dimensions)
        place = work / _VECTORS
        vectors = np.lib.format.open_memmap(place, mode="w+", dtype=np.float16, shape=shape)
        store = EmbeddingStore(embedding_folder(self._encoder))
        embed_into(vectors, self._corpus, self._encoder, store, clock)
        vectors.flush()
        began = perf_counter()

        def fill(out: Path) -> None:
            self._write(build_faiss(vectors, self._kind), out / _INDEX)
            Sample.of(vectors).write(out / _SAMPLE)
            if self._kind.refine:
                os.replace(place, out / _VECTORS)  # noqa: PTH105
            # Before the index is there: after it, a kill would leave it without.
            Note(passages, perf_counter() - began).write(self._note)

        write_sealed(self.folder, fill)
        now = perf_counter() - start
        # What is noted leaves out what is between encoding and training.
        return Built(cached=False, seconds=max(self._found().seconds or 0.0, now), now=now)

    @staticmethod
    def _write(index: Any, path: Path) -> None:
        import faiss

        with writing(path):
            try:
                faiss.write_index(index, str(path))
            except RuntimeError as error:
                raise OSError(str(error).splitlines()[0]) from error

    def _load(self) -> tuple[Any, NDArray[np.float16] | None, Sample] | None:
        import faiss

        try:
            check_sealed(self.folder)
            place = self.folder / _VECTORS
            kept = np.load(place, mmap_mode="r") if self._kind.refine else None
            index = faiss.read_index(str(self.folder / _INDEX), getattr(faiss, self._kind.mapped))
            if kept is None and hasattr(index, "make_direct_map"):
                index.make_direct_map()
            return index, kept, Sample.read(self.folder / _SAMPLE)
        except FileNotFoundError:
            return None
        except (InputError, OSError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            _log.warning("dense index is damaged and will be built again: %s", reason)
            return None

    def _measured(self) -> float:
        """Recall, as it was measured when the index was built or first searched in this way."""
        place = self.folder.with_suffix(".recall.json")
        how, known = self._kind.how(), _readable(place)
        if how not in known:
            known[how] = self._sample.recall(lambda row, k: next(self._best(row[None], k))[0])
            with writing(place):
                write_json(place, dict(sorted(known.items())))
        return known[how]


def _readable(place: Path) -> dict[str, float]:
    """Recalls noted so far; none where the note is missing or damaged."""
    try:
        return {str(how): float(value) for how, value in read_json(place).items()}
    except (InputError, AttributeError, TypeError, ValueError):
        return {}


def _parts(settings: Mapping[str, Any]) -> tuple[Kind, EncoderEntry]:
    """Raises ConfigError for a flat index, which is ``DenseRetriever``'s."""
    kind, own = split(settings)
    if kind is None:
        raise ConfigError("index=flat: is exact; open it without index")
    return kind, encoder_entry(own.pop("encoder"), own)
