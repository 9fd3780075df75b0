"""Retrievers by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.errors import ConfigError, did_you_mean
from harness.retrieval.base import Retriever
from harness.retrieval.bm25 import BM25Retriever, BM25Settings
from harness.retrieval.catalogue import encoder_entry, encoder_names, explain
from harness.retrieval.selftest import check_index, check_words

if TYPE_CHECKING:
    from harness.data.corpus import Corpus


def retriever_names() -> tuple[str, ...]:
    """Every name that ``open_retriever`` knows; ``dense`` is the default encoder."""
    return ("bm25", "dense", *encoder_names())


def open_retriever(
    name: str,
    corpus: Corpus,
    *,
    settings: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Retriever:
    """Open a retriever over a corpus, building what the cache lacks, and test that it works.

    ``settings`` are fields of BM25Settings or EncoderSettings (see ``encoder_entry`` for local
    folders). ``progress`` is called with passages done and their total. Raises ConfigError for an
    unknown name or setting and HarnessError for an index that does not find its own passages.
    """
    _check_name(name)
    if name == "bm25":
        bm25 = BM25Retriever(corpus, _bm25_settings(settings), progress=progress)
        check_index(bm25, corpus, bm25.folder)
        check_words(bm25, corpus, bm25.folder)
        return bm25
    entry = encoder_entry(name, settings)

    from harness.retrieval.dense import build_dense, embedding_folder
    from harness.retrieval.encoders import SentenceEncoder

    encoder = SentenceEncoder(entry)
    dense = build_dense(corpus, encoder, progress)
    check_index(dense, corpus, embedding_folder(encoder), with_text=True)
    return dense


def retriever_config(name: str, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What decides a retriever's results, JSON-able, for a run's config. Loads no model.

    ``dense`` and the default encoder's name give the same config; so do two local folders with
    equal files. Raises ConfigError for an unknown name or setting.
    """
    _check_name(name)
    if name == "bm25":
        return {"kind": "bm25", **_bm25_settings(settings).model_dump()}
    return {"kind": "dense", **encoder_entry(name, settings).config()}


def _check_name(name: str) -> None:
    if name not in retriever_names():
        raise ConfigError(f"no retriever {name!r}{did_you_mean(name, list(retriever_names()))}")


def _bm25_settings(settings: Mapping[str, Any] | None) -> BM25Settings:
    try:
        return BM25Settings(**(settings or {}))
    except ValidationError as error:
        raise ConfigError(f"settings of bm25: {explain(error)}") from error
