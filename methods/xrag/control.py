"""The control: passages are found as usual, and the vectors of others are read."""

from __future__ import annotations

from collections.abc import Sequence

from harness.method import MethodCard
from harness.records import Passage, Query
from methods.others import others
from methods.xrag.method import XRAG


class XRAGShuffled(XRAG):
    """Reads as many vectors of passages that were not found: what having any vector gives."""

    card = MethodCard(
        title="xRAG, shuffled vectors",
        summary="Finds passages as xrag does but reads vectors of random others; a lower bound.",
        paper=XRAG.card.paper,
        source="a control of xrag",
        deviations=(
            "Random passages are drawn from those that are not ranked (-p ranked): a gold one may "
            "be among them.",
        ),
    )

    def _chosen(self, query: Query, found: Sequence[Passage]) -> list[str]:
        used, corpus = {passage.id for passage in found}, self.retriever.corpus
        assert corpus is not None  # the retriever is over one
        return others(corpus.ids, used, min(self.params.k, len(found)), self.seed, query)
