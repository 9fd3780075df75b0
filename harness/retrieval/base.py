"""The Retriever contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar

from harness.errors import ConfigError, did_you_mean
from harness.records import Passage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.data.corpus import Corpus
    from harness.data.corpus_changes import CorpusChanges

Progress = Callable[[int, int], None]
"""Called with passages done and their total."""


@dataclass(frozen=True, slots=True)
class Built:
    """How an index came to be."""

    cached: bool
    """Whether it was there already."""
    seconds: float | None = None
    """What building took, whenever that was; None if nobody noted it."""
    now: float = 0.0
    """Seconds of building while it was opened."""
    bytes: int | None = None
    """Bytes that were made then; None: all that ``storage`` tells."""


class Retriever(ABC):
    """Searches one corpus. Scores are higher-is-better; equal scores rank by corpus position.

    The rules are tried by ``memory-harness check-retriever``.
    """

    name: str
    kind: ClassVar[str] = ""
    """What a run's config calls all retrievers of the class; by default, the name of the one."""
    built: Built | None = None
    """How its index came to be; None of one that does not tell."""
    encoder_key: str | None = None
    """Names what decides the vectors that passages are found by; None of one without any."""

    @classmethod
    def open(
        cls, corpus: Corpus, settings: Mapping[str, Any], progress: Progress | None = None
    ) -> Retriever:
        """A retriever over a corpus, which builds what the cache lacks and may tell its progress.

        The base calls the constructor with the corpus and the settings by name.
        """
        del progress  # nothing is built here
        return cls(corpus, **settings)  # type: ignore[call-arg]  # as subclasses define it

    @classmethod
    def config(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What decides the results, JSON-able, for a run's config; loads no index and no model.

        Raises ConfigError for settings that do not fit. The base takes those that the constructor
        does, and leaves out what equals its default.
        """
        own = cls.__mro__[: cls.__mro__.index(Retriever)]
        if any("open" in vars(each) for each in own):  # it may take others
            return dict(settings)
        known = dict(list(signature(cls).parameters.items())[1:])
        if any(each.kind is each.VAR_KEYWORD for each in known.values()):
            return dict(settings)
        for key in settings:
            if key not in known:
                hint = did_you_mean(key, list(known))
                raise ConfigError(f"retriever '{cls.__name__}' has no parameter '{key}'{hint}")
        return {key: value for key, value in settings.items() if value != known[key].default}

    @classmethod
    def revision(cls, *, ascii_only: bool) -> int:
        """Raised when a release changes results; part of a run's config where it is above 1.

        ``ascii_only`` tells that corpus and questions hold nothing but ASCII, where some changes
        change nothing.
        """
        del ascii_only  # in the base no results change
        return 1

    @classmethod
    def check(cls, corpus: Corpus, settings: Mapping[str, Any]) -> None:
        """Raise HarnessError if it cannot be opened over the corpus; before a model is loaded.

        The base, which builds what it lacks, finds nothing.
        """

    @abstractmethod
    def search(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        """The k best passages for each query, best first, with ``score`` set.

        Fewer than k come back only when the corpus is smaller or (BM25) when nothing else shares
        a term with the query. A query's result does not depend on the others in the call.
        """

    @abstractmethod
    def storage(self) -> dict[str, int]:
        """Bytes on disk by part (``sparse index``, ``dense index``); the text is not included."""

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """The vectors [ids, dimensions] that passages are found by; of one with ``encoder_key``."""
        raise ConfigError(
            f"retriever '{self.name}' keeps no vectors of passages; take a dense encoder, such as "
            "all-minilm-l6-v2"
        )

    def revised(self, changes: CorpusChanges) -> Retriever | None:
        """A retriever over the changed corpus, made of this one in less than opening one there.

        It finds what one that is opened there finds, and this one stays as it is. None if there is
        no such way, as in the base: then one is opened. ``built`` tells what it took.
        """
        return None

    def provenance(self) -> dict[str, Any]:
        """What a manifest records beside the config: library versions, encoder revision."""
        return {}
