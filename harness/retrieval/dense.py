"""Exact dense retrieval: inner products over all passages with faiss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from struct import Struct
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError
from harness.files import cache_dir, writing
from harness.records import Passage
from harness.retrieval.base import Built, Progress, Retriever
from harness.retrieval.building import Clock
from harness.retrieval.catalogue import EncoderEntry, encoder_entry
from harness.retrieval.embeddings import EmbeddingStore, embed_corpus, encoded
from harness.retrieval.encoders import Encoder, SentenceEncoder, Vectors, find_model
from harness.retrieval.ranking import with_scores
from harness.retrieval.selftest import check_index, check_order

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.data.corpus_changes import CorpusChanges

Order = NDArray[np.int64]
_MARGIN = 32
# Far above what float32 sums over a thousand dimensions can be off by, relative to the norms.
_ROUNDING = 1e-5


# Kind, dimensions, rows, two numbers of no use, whether it is trained, metric, numbers.
_HEADER = Struct("<4siq16xbiQ")
_FLAT_INNER_PRODUCT = b"IxFI"


class DenseRetriever(Retriever):
    """Searches one flat faiss index whose row i is passage i, or the one that ``order`` says.

    faiss proposes candidates; they are scored again in float64, one row at a time, so that scores
    and ties do not depend on the batch, and more are drawn while rounding could hide a better one.
    """

    kind = "dense"

    @classmethod
    def open(
        cls, corpus: Corpus, settings: Mapping[str, Any], progress: Progress | None = None
    ) -> DenseRetriever:
        """Encode the corpus (cached by content), index it, and test that it finds its passages.

        ``settings`` are those of ``encoder_entry``, and ``encoder`` its name.
        """
        encoder = SentenceEncoder(_entry(settings))
        opened = build_dense(corpus, encoder, progress)
        check_index(opened, corpus, embedding_folder(encoder), with_text=True)
        return opened

    @classmethod
    def config(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What decides the vectors. Raises ConfigError for settings that do not fit."""
        return _entry(settings).config()

    @classmethod
    def check(cls, corpus: Corpus, settings: Mapping[str, Any]) -> None:
        """Find the encoder's files, downloaded if need be."""
        del corpus  # vectors are made for any
        find_model(_entry(settings))

    def __init__(
        self,
        corpus: Corpus,
        encoder: Encoder,
        index: Any,
        *,
        number_bytes: int = 4,
        order: Order | None = None,
    ) -> None:
        """Take a flat inner-product index, with as many rows as there are passages.

        ``number_bytes``: bytes a number takes where the vectors are kept. ``order``: the position
        in the corpus of each row's passage.
        """
        self.name, self.encoder_key = encoder.name, encoder.key
        self._corpus = corpus
        self._encoder = encoder
        self._index = index
        self._number_bytes = number_bytes
        self._order = order
        self._row_of = None if order is None else np.argsort(order)

    def search(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        """The k best passages a query; k is cut to the size of the corpus."""
        if not queries or k < 1:
            return [[] for _ in queries]
        vectors = self._encoder.encode_queries(queries)
        results = []
        for row, positions in zip(vectors, self._propose(vectors, k + _MARGIN), strict=True):
            best, scores = self._rank(row, positions, min(k, len(self._corpus)))
            results.append(with_scores(self._corpus, best, scores))
        return results

    def storage(self) -> dict[str, int]:
        """Bytes of the vectors on disk: passages x dimensions x bytes a number."""
        return {"dense index": int(self._index.ntotal) * int(self._index.d) * self._number_bytes}

    def vectors(self, ids: Sequence[str]) -> Vectors:
        """The rows of the index, as they are kept."""
        rows = np.array([self._row(id_) for id_ in ids], np.int64)
        found: Vectors = np.asarray(self._index.reconstruct_batch(rows), np.float32)
        return found

    def revised(self, changes: CorpusChanges) -> DenseRetriever:
        """Encode what is new; the vectors of all other passages stay."""
        import faiss

        start = perf_counter()
        new = {passage.id: passage for passage in (*changes.updated, *changes.added)}
        fresh = encoded(self._encoder, [passage.contents for passage in new.values()])
        row_of = dict(zip(new, fresh, strict=True))
        old = self._index.reconstruct_n(0, self._index.ntotal)
        rows = (row_of[id_] if id_ in row_of else old[self._row(id_)] for id_ in changes.corpus.ids)
        index = faiss.IndexFlatIP(self._index.d)
        index.add(np.stack(list(rows), dtype=np.float32))
        width = self._number_bytes
        made = DenseRetriever(changes.corpus, self._encoder, index, number_bytes=width)
        took = perf_counter() - start
        made.built = Built(False, took, took, bytes=len(new) * self._index.d * width)
        return made

    def provenance(self) -> dict[str, Any]:
        """The encoder's provenance and the faiss version."""
        import faiss

        return {**self._encoder.provenance(), "faiss": faiss.__version__}

    def save(self, path: str | Path) -> None:
        """Write the index as faiss does, which FlashRAG and ``faiss:FILE@ENCODER`` open."""
        import faiss

        with writing(Path(path)):
            try:
                faiss.write_index(self._index, str(path))
            except RuntimeError as error:
                raise OSError(str(error).splitlines()[0]) from error

    def _propose(self, vectors: Vectors, depth: int) -> NDArray[np.int64]:
        import faiss
        import torch

        # faiss and torch may hold separate thread pools; torch's limit is the one users set.
        faiss.omp_set_num_threads(torch.get_num_threads())
        _, positions = self._index.search(vectors, min(depth, self._index.ntotal))
        found: NDArray[np.int64] = positions
        return found

    def _rank(
        self, query: Vectors, rows: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        candidates = np.asarray(self._index.reconstruct_batch(rows), np.float64)
        scores = (candidates * query.astype(np.float64)).sum(axis=1)
        places = rows if self._order is None else self._order[rows]
        order = np.lexsort((places, -scores))
        norms = np.linalg.norm(query) * np.linalg.norm(candidates, axis=1).max()
        is_clear = scores[order[k - 1]] - scores.min() > _ROUNDING * norms
        if not is_clear and len(rows) < self._index.ntotal:
            return self._rank(query, self._propose(query[None], 2 * len(rows))[0], k)
        return places[order[:k]], scores[order[:k]]

    def _row(self, id_: str) -> int:
        position = self._corpus.position(id_)
        return position if self._row_of is None else int(self._row_of[position])


def build_dense(
    corpus: Corpus, encoder: Encoder, progress: Progress | None = None
) -> DenseRetriever:
    """Encode the corpus (cached by content) and index it in memory."""
    import faiss

    store = EmbeddingStore(embedding_folder(encoder))
    clock = Clock(store.folder / f"{corpus.fingerprint[:32]}.json", len(corpus), progress)
    vectors = embed_corpus(corpus, encoder, store, clock)
    index = faiss.IndexFlatIP(encoder.dimensions)
    index.add(vectors)
    opened = DenseRetriever(corpus, encoder, index, number_bytes=2)
    opened.built = clock.built()
    return opened


def embedding_folder(encoder: Encoder) -> Path:
    """Where an encoder's passage vectors are cached."""
    return cache_dir("embeddings", encoder.key)


def load_flashrag_index(
    path: str | Path, corpus: Corpus, encoder: Encoder, order: Order | None = None
) -> DenseRetriever:
    """Open a flat index built by FlashRAG (``e5_Flat.index``) for the same corpus file.

    ``order`` is that of its rows, if it is another than the corpus's.

    The vectors stay on disk where this faiss can memory-map them. Raises what ``read_flat_index``
    does, and HarnessError when passages cannot be found by their own text (another encoder,
    another order).
    """
    path = Path(path)
    index = read_flat_index(path, corpus, encoder)
    retriever = DenseRetriever(corpus, encoder, index, order=order)
    fix = (
        f"{path} was built from a corpus in another order or by another encoder than {encoder.name}"
        "; name the corpus file and the encoder that it was built with"
    )
    check_index(retriever, corpus, path, with_text=True, fix=fix)
    check_order(retriever, corpus, fix=fix)
    return retriever


class HasDimensions(Protocol):
    """What an index must fit: an encoder, or its entry, where ``dimensions`` may be unknown."""

    @property
    def name(self) -> str:
        """What errors call it."""

    @property
    def dimensions(self) -> int | None:
        """Of its vectors."""


def read_flat_index(path: Path, corpus: Corpus, encoder: HasDimensions) -> Any:
    """A faiss index, memory-mapped where faiss can.

    Raises InputError when the file is no flat inner-product index or its size does not fit the
    encoder, if its dimensions are known, or the corpus.
    """
    import faiss

    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a faiss index such as e5_Flat.index")
    _check_header(path)
    try:
        index = faiss.read_index(str(path), getattr(faiss, "IO_FLAG_MMAP_IFC", 0))
    except RuntimeError as error:
        raise InputError(f"{path}: not a faiss index, or damaged; build it again") from error
    if encoder.dimensions not in (None, index.d):
        raise InputError(
            f"{path}: has {index.d} dimensions, but encoder {encoder.name} gives "
            f"{encoder.dimensions}; name the encoder that built the index"
        )
    if index.ntotal != len(corpus):
        raise InputError(
            f"{path}: holds {index.ntotal} vectors, but the corpus has {len(corpus)} passages; "
            "open the corpus file that the index was built from"
        )
    return index


def _check_header(path: Path) -> None:
    """Raise InputError unless a flat inner-product index of as many numbers as it says is there.

    faiss makes room for what a header says before it looks what is there.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
    if head.startswith(b"I") and not head.startswith(_FLAT_INNER_PRODUCT):
        raise InputError(
            f"{path}: holds an index of the kind {head[:4]!r}; only flat inner-product indexes are "
            f"read ({_FLAT_INNER_PRODUCT!r}, FlashRAG's faiss_type Flat)"
        )
    numbers = (path.stat().st_size - _HEADER.size) // 4
    whole = head.ljust(_HEADER.size, b"\xff")
    _, dimensions, rows, _, metric, count = _HEADER.unpack(whole)
    if dimensions < 1 or metric != 0 or not dimensions * rows == count == numbers:
        raise InputError(f"{path}: not a faiss index, or damaged; build it again")


def _entry(settings: Mapping[str, Any]) -> EncoderEntry:
    own = dict(settings)
    return encoder_entry(own.pop("encoder"), own)
