"""A faiss index that somebody built before, FlashRAG's for example, as a retriever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.files import expanded, read_json
from harness.retrieval.base import Built, Progress
from harness.retrieval.catalogue import EncoderEntry
from harness.retrieval.dense import DenseRetriever, load_flashrag_index, read_flat_index
from harness.retrieval.encoders import SentenceEncoder
from harness.retrieval.prebuilt import FaissSpec, index_sha256

if TYPE_CHECKING:
    from harness.data.corpus import Corpus

_OF_PASSAGES = ("passage_prefix", "passage_max_tokens")


class FaissIndex(DenseRetriever):
    """A flat index on disk, searched exactly as one that the harness builds.

    ``settings`` hold ``spec``, the retriever's name.
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
        path, encoder = _path(spec), SentenceEncoder(spec.entry())
        loaded = load_flashrag_index(path, corpus, encoder)
        opened = cls(corpus, encoder, loaded._index)
        opened._path = path
        return opened

    @classmethod
    def config(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What the index holds and how queries are encoded."""
        spec = FaissSpec.parse(settings["spec"])
        encoder = spec.entry().config()
        queries = {key: value for key, value in encoder.items() if key not in _OF_PASSAGES}
        return {"index_sha256": index_sha256([_path(spec)]), **queries}

    @classmethod
    def check(cls, corpus: Corpus, settings: Mapping[str, Any]) -> None:
        """The kind of the index, its dimensions and its number of passages; then their order.

        The last takes the encoder, which loads faster than most language models.
        """
        spec = FaissSpec.parse(settings["spec"])
        read_flat_index(_path(spec), corpus, _Told.of(spec.entry()))
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


def _path(spec: FaissSpec) -> Path:
    return expanded(spec.file)
