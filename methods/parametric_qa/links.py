"""Links: the documents that another one names, all words of their titles standing in its text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from harness.retrieval.bm25 import BM25InMemory


class Links:
    """Finds what a text names among titled documents, by the terms that BM25 searches for.

    Words of a title may stand anywhere in the text, since an extract has each word once.
    """

    def __init__(self, index: BM25InMemory, titles: Sequence[str], weight: float = 1.0) -> None:
        """``titles`` [documents] are in the index's order; one without a term is never named.

        ``weight`` is added to the score of a document that is named.
        """
        self.weight, self._index = weight, index
        self._titles = [frozenset(index.terms(title)) for title in titles]
        common = Counter(term for title in self._titles for term in title)
        self._by_rarest = defaultdict[str, list[int]](list)
        for row, title in enumerate(self._titles):
            if title:
                self._by_rarest[min(title, key=lambda term: (common[term], term))].append(row)

    def named(self, row: int) -> list[int]:
        """Documents that the document ``row`` names, those of its own title left out; ascending."""
        told = frozenset(self._index.terms(self._index.corpus[row].text))
        found = [other for term in told for other in self._by_rarest.get(term, ())]
        own = self._titles[row]
        return sorted(
            other for other in found if (title := self._titles[other]) != own and title <= told
        )
