"""The Retriever contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from harness.records import Passage


class Retriever(ABC):
    """Searches one corpus. Scores are higher-is-better; equal scores rank by corpus position."""

    name: str

    @abstractmethod
    def search(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        """The k best passages for each query, best first, with ``score`` set.

        Fewer than k come back only when the corpus is smaller or (BM25) when nothing else shares
        a term with the query. A query's result does not depend on the others in the call.
        """

    @abstractmethod
    def storage(self) -> dict[str, int]:
        """Bytes on disk by part (``sparse index``, ``dense index``); the text is not included."""

    def provenance(self) -> dict[str, Any]:
        """What a manifest records beside the config: library versions, encoder revision."""
        return {}
