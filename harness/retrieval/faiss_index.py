"""A faiss index that somebody built before, by FlashRAG or Pyserini, as a retriever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import InputError
from harness.files import expanded, read_json
from harness.retrieval.base import Built, Progress
from harness.retrieval.catalogue import EncoderEntry
from harness.retrieval.dense import DenseRetriever, Order, load_flashrag_index, read_flat_index
from harness.retrieval.encoders import SentenceEncoder
from harness.retrieval.prebuilt import FaissSpec, index_sha256

if TYPE_CHECKING:
    from harness.data.corpus import Corpus

_OF_PASSAGES = ("passage_prefix", "passage_max_tokens")


class FaissIndex(DenseRetriever):
    """A flat index on disk, searched exactly as one that the harness builds.

    ``settings`` hold ``spec``, the retriever's name. A folder is Pyserini's: ``index``, and
    ``docid`` with the id of each of its rows, in any order.
    """

    kind = "faiss"
    built = Built(cached=True)
    _path: Path

    @classmethod
    def open(
        cls, corpus: Corpus, settings: Mapping[str, Any], progress: Progress | None = None
    ) -> FaissIndex:
        """Open the index and test that its encoder finds the corpus's passages in it."""
        del progress  # nothing is built
        spec = FaissSpec.parse(settings["spec"])
        (path, *docids), encoder = _files(spec), SentenceEncoder(spec.entry())
        order = read_docids(docids[0], corpus) if docids else None
        loaded = load_flashrag_index(path, corpus, encoder, order)
        opened = cls(corpus, encoder, loaded._index, order=order)
        opened._path = path
        return opened

    @classmethod
    def config(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What the index holds and how queries are encoded."""
        spec = FaissSpec.parse(settings["spec"])
        encoder = spec.entry().config()
        queries = {key: value for key, value in encoder.items() if key not in _OF_PASSAGES}
        return {"index_sha256": index_sha256(_files(spec)), **queries}

    @classmethod
    def check(cls, corpus: Corpus, settings: Mapping[str, Any]) -> None:
        """The kind of the index, its dimensions, number of passages and ids; then their order.

        The last takes the encoder, which loads faster than most language models.
        """
        spec = FaissSpec.parse(settings["spec"])
        read_flat_index(_files(spec)[0], corpus, _Told.of(spec.entry()))
        cls.open(corpus, settings)

    def provenance(self) -> dict[str, Any]:
        """Where the index lay, beside what every dense retriever tells."""
        return {"index": str(self._path), **super().provenance()}


@dataclass(frozen=True, slots=True)
class _Told:
    """An encoder as its files describe it, before it is loaded."""

    name: str
    dimensions: int | None

    @classmethod
    def of(cls, entry: EncoderEntry) -> _Told:
        if entry.dimensions is not None or entry.path is None:
            return cls(entry.name, entry.dimensions)
        config, modules = entry.path / "config.json", entry.path / "modules.json"
        # A module after the pooling may change the size.
        is_plain = not modules.is_file() or "Dense" not in modules.read_text(encoding="utf-8")
        values = read_json(config) if config.is_file() and is_plain else {}
        size = values.get("hidden_size") if isinstance(values, dict) else None
        return cls(entry.name, size if isinstance(size, int) else None)


def read_docids(path: Path, corpus: Corpus) -> Order | None:
    """Positions [rows] of the passages that Pyserini's ids, one a line, name; None if in order.

    Raises InputError for ids that are not the corpus's, each once.
    """
    order = np.full(len(corpus), -1, np.int64)
    row = -1
    try:
        with path.open(encoding="utf-8") as file:
            for row, line in enumerate(file):
                id_ = line.rstrip()
                if id_ not in corpus:
                    raise InputError(
                        f"{path}:{row + 1}: {id_!r:.60} is no passage of the corpus; open the "
                        "corpus that the index was built from"
                    )
                if row < len(order):
                    order[row] = corpus.position(id_)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8"
        raise InputError(
            f"{path}: cannot be read ({reason}); an index of Pyserini's has it beside 'index', "
            "with an id a line"
        ) from error
    if row + 1 != len(order):
        raise InputError(
            f"{path}: has {row + 1} ids, but the corpus has {len(order)} passages; open the corpus "
            "that the index was built from"
        )
    if len(np.unique(order)) != len(order):
        raise InputError(f"{path}: names a passage twice; build the index again")
    return None if (np.diff(order) == 1).all() else order


def _files(spec: FaissSpec) -> list[Path]:
    """The index, and of a folder its ids."""
    path = expanded(spec.file)
    return [path / "index", path / "docid"] if path.is_dir() else [path]
