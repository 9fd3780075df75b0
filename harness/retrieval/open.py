"""Retrievers by name."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from harness.data.yaml import load_yaml
from harness.errors import ConfigError, HarnessError, describe_error, did_you_mean
from harness.fingerprint import fingerprint
from harness.registry import declares, is_known, load, names
from harness.retrieval.approximate import ApproximateRetriever
from harness.retrieval.base import Progress, Retriever
from harness.retrieval.bm25 import BM25Retriever
from harness.retrieval.bm25s_index import Bm25sIndex
from harness.retrieval.catalogue import encoder_names, is_encoder
from harness.retrieval.catalogue import shipped as shipped_encoders
from harness.retrieval.dense import DenseRetriever
from harness.retrieval.faiss_index import FaissIndex
from harness.retrieval.index_kinds import SETTINGS, split
from harness.retrieval.prebuilt import BM25S, FAISS, FORMS, FaissSpec, is_prebuilt

if TYPE_CHECKING:
    from harness.data.corpus import Corpus


def retriever_names() -> tuple[str, ...]:
    """Every name that ``open_retriever`` knows; ``dense`` is the default encoder.

    Beside names it takes the place of a prebuilt index (``harness.retrieval.prebuilt.FORMS``).
    """
    own = ("bm25", "dense", *encoder_names())
    return (*own, *(name for name in names("retrievers") if name not in own))


def shipped() -> Mapping[str, type[Retriever]]:
    """The house's own retrievers; every encoder of the catalogue is one."""
    return {"bm25": BM25Retriever, **dict.fromkeys(["dense", *shipped_encoders()], DenseRetriever)}


def is_own(cls: type[Retriever]) -> bool:
    """Whether a class is the house's own, whose indexes are tested as they are opened."""
    return issubclass(cls, (BM25Retriever, DenseRetriever, ApproximateRetriever, Bm25sIndex))


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
    try:
        return cls.open(corpus, given, progress)
    except HarnessError:
        raise
    except Exception as error:
        if is_own(cls):
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise ConfigError(
            f"retriever '{name}' cannot be opened: {describe_error(error)} "
            f"({last.filename}:{last.lineno}); mend it, or its parameters"
        ) from error


_checked: set[str] = set()


def check_retriever(name: str, corpus: Corpus, settings: Mapping[str, Any] | None = None) -> None:
    """Raise what ``open_retriever`` would for files that are missing or do not fit the corpus.

    Loads no language model. The runs of a board share a prebuilt index, so one that was found to
    fit is not looked at again.
    """
    cls, given = _door(name, settings)
    key = fingerprint([cls.config(given), corpus.fingerprint]) if is_prebuilt(name) else ""
    if key not in _checked:
        cls.check(corpus, given)
    if key:
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
    return {"kind": cls.kind or parted(name)[0], **cls.config(given), **changed}


def parted(name: str) -> tuple[str, dict[str, Any]]:
    """A retriever and its parameters: ``NAME`` or ``NAME,PARAM=VALUE,...``.

    A plug-in's has its own, an encoder those of its index.

    Raises ConfigError.
    """
    own, *pairs = [name] if is_prebuilt(name) else name.split(",")
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key.strip() or not equals:
            raise ConfigError(f"retriever '{name}': write it as NAME,PARAM=VALUE, such as mine,k=2")
        try:
            values[key.strip()] = load_yaml(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"retriever '{name}': {key} has no readable value") from error
    return own, values


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
    own, values = parted(name)
    if own == "bm25":
        if values:
            raise ConfigError(f"retriever '{name}': 'bm25' takes no parameters beside its name")
        return BM25Retriever, given
    if own in shipped() or _is_encoder(own):
        return _dense(own, values, given)
    if not is_known("retrievers", own):
        raise ConfigError(f"no retriever {own!r}{did_you_mean(own, [*retriever_names(), *FORMS])}")
    cls = load("retrievers", own)
    if not (isinstance(cls, type) and issubclass(cls, Retriever)):
        raise ConfigError(f"retriever '{own}': {cls!r} is not a subclass of Retriever")
    return cls, {**values, **given}


def _dense(
    encoder: str, beside: Mapping[str, Any], settings: Mapping[str, Any]
) -> tuple[type[Retriever], dict[str, Any]]:
    """The class that searches an encoder's vectors, by the index that is asked for."""
    for each in beside:
        if each not in SETTINGS:
            raise ConfigError(
                f"retriever '{encoder},{each}=...': '{encoder}' takes no {each} beside its name, "
                f"only {', '.join(SETTINGS)}"
            )
    given = {**beside, **settings}
    kind, rest = split(given)
    if kind is None:
        return DenseRetriever, {**rest, "encoder": encoder}
    return ApproximateRetriever, {**given, "encoder": encoder}


def _is_encoder(name: str) -> bool:
    """Whether a plug-in's name is an encoder's. Raises ConfigError if it is a retriever's, too."""
    encodes, retrieves = declares("encoders", name), declares("retrievers", name)
    if encodes and retrieves:
        raise ConfigError(
            f"'{name}' is an encoder of one plug-in and a retriever of another; uninstall one"
        )
    return encodes or (not retrieves and is_encoder(name))
