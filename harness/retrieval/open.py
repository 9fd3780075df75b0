"""Retrievers by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError, did_you_mean
from harness.fingerprint import fingerprint
from harness.registry import added, resolve
from harness.retrieval.base import Progress, Retriever
from harness.retrieval.bm25 import BM25Retriever
from harness.retrieval.bm25s_index import Bm25sIndex
from harness.retrieval.catalogue import encoder_names
from harness.retrieval.dense import DenseRetriever
from harness.retrieval.faiss_index import FaissIndex
from harness.retrieval.prebuilt import BM25S, FAISS, FORMS, FaissSpec, is_prebuilt

if TYPE_CHECKING:
    from harness.data.corpus import Corpus


def retriever_names() -> tuple[str, ...]:
    """Every name that ``open_retriever`` knows; ``dense`` is the default encoder.

    Beside names it takes the place of a prebuilt index (``harness.retrieval.prebuilt.FORMS``).
    """
    own = ("bm25", "dense", *encoder_names())
    return (*own, *added("retrievers", own))


def open_retriever(
    name: str,
    corpus: Corpus,
    *,
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Retriever:
    """Open a retriever over a corpus, building what the cache lacks.

    ``settings`` are fields of BM25Settings or EncoderSettings (see ``encoder_entry`` for local
    folders), or a plug-in's own. Raises ConfigError for an unknown name or setting and HarnessError
    for an index that does not find its own passages.
    """
    cls, given = _door(name, settings)
    return cls.open(corpus, given, progress)


_checked: set[str] = set()


def check_retriever(name: str, corpus: Corpus, settings: Mapping[str, Any] | None = None) -> None:
    """Raise ConfigError or HarnessError for an index that does not fit.

    Loads no language model. The runs of a board share indexes, so one that was found to fit is not
    looked at again.
    """
    cls, given = _door(name, settings)
    if cls.check.__func__ is Retriever.check.__func__:  # type: ignore[attr-defined]
        return
    key = fingerprint([cls.config(given), corpus.fingerprint])
    if key not in _checked:
        cls.check(corpus, given)
        _checked.add(key)


def retriever_config(
    name: str, settings: Mapping[str, Any] | None = None, *, ascii_only: bool = True
) -> dict[str, Any]:
    """What decides a retriever's results, JSON-able, for a run's config. Loads no model.

    ``ascii_only``: corpus and questions hold nothing but ASCII.

    ``dense`` and the default encoder's name give the same config; so do two local folders with
    equal files. Raises ConfigError for an unknown name or setting.
    """
    cls, given = _door(name, settings)
    revision = cls.revision(ascii_only=ascii_only)
    changed = {} if revision == 1 else {"revision": revision}
    return {"kind": cls.kind or name, **cls.config(given), **changed}


def placeless(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters in which a prebuilt index counts by what it holds, not by where it lies."""
    return {k: _by_content(v) if is_prebuilt(v) else v for k, v in params.items()}


def _by_content(name: str) -> str:
    config = retriever_config(name)
    index = str(config["index_sha256"])[:12]
    if not name.startswith(FAISS):
        return BM25S + index
    spec = FaissSpec.parse(name)
    encoder = spec.encoder if spec.is_of_catalogue else fingerprint(config["files"])[:12]
    return spec.written(index, encoder)


def _door(name: str, settings: Mapping[str, Any] | None) -> tuple[type[Retriever], dict[str, Any]]:
    """The class of a name and its settings; a dense retriever's hold its encoder."""
    given = dict(settings or {})
    if is_prebuilt(name):
        if given:
            raise ConfigError(f"{', '.join(given)}: a prebuilt index has its own; leave it out")
        return (FaissIndex if name.startswith(FAISS) else Bm25sIndex), {"spec": name}
    known = retriever_names()
    if name not in known:
        raise ConfigError(f"no retriever {name!r}{did_you_mean(name, [*known, *FORMS])}")
    if name == "bm25":
        return BM25Retriever, given
    if name in ("dense", *encoder_names()):
        return DenseRetriever, {**given, "encoder": name}
    cls = resolve(added("retrievers", ())[name], f"retriever '{name}'")
    if not (isinstance(cls, type) and issubclass(cls, Retriever)):
        raise ConfigError(f"retriever '{name}': {cls!r} is not a subclass of Retriever")
    return cls, given
