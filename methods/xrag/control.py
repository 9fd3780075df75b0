"""The control: passages are found as usual, and the vectors of others are read."""

from __future__ import annotations

import random
from collections.abc import Sequence

from harness.method import MethodCard
from harness.records import Passage, Query
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
        others = [id_ for id_ in corpus.ids if id_ not in used] or list(corpus.ids)
        source = random.Random(f"{self.seed} shuffled {query.id}")  # noqa: S311
        return source.sample(others, min(self.params.k, len(found), len(others)))
