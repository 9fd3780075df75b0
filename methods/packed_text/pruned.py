"""Pruned text: a few words of each passage are all that is kept, and read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field

from harness.method import MethodCard
from harness.records import Passage, Query
from methods.packed_text.method import PackedText
from methods.packed_text.words import By, document_frequencies, plain, pruned
from methods.standard_rag import READER

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

    from harness.data.corpus import Corpus

PAPER = PackedText.card.paper


class PrunedText(PackedText):
    """The words of each passage that tell the most, packed; BM25 finds and the model reads them."""

    card = MethodCard(
        title="Pruned text",
        summary="Of each passage a few words are kept, compressed, found by BM25 and read.",
        paper=PAPER,
        source="none; extractive compression by rule",
        deviations=(
            "A word is what stands between blanks, counted once; the title's words come first and "
            "count, then names and numbers, then the rest, the rarest in the corpus first "
            "(-p by=rarity: without names first). No model weighs them.",
            "The index is made of the words that are kept, on loading.",
            *READER,
        ),
    )

    class Params(PackedText.Params):
        """Parameters of pruning beside those of packed-text."""

        words: int = Field(32, ge=1, description="of a passage and its title that are kept")
        by: By = Field("names", description="what is kept first: names and numbers, or rarity")

    params: Params

    def kept(self, corpus: Corpus) -> Iterable[Passage]:
        """The passages as they are packed: pruned."""
        found = document_frequencies(corpus)
        return (pruned(p, self.params.words, self.params.by, found) for p in corpus)


class PrunedTextOracle(PrunedText):
    """Gold passages, pruned by one who knows the answer: a bound on reading so many words."""

    reads_gold = True
    card = MethodCard(
        title="Pruned text, oracle",
        summary="Reads the gold passages, of which the answer's words are kept before others; an "
        "upper bound of extracts of that size.",
        paper=PAPER,
        source="a control of pruned-text",
        oracle=True,
        deviations=(
            "What is stored, and counted, is pruned-text's; what is read is pruned again from the "
            "corpus, with the golden answers' words first.",
            "Gold passages have no ranking: they are read in the order of the task's file.",
            *READER,
        ),
    )

    class Params(PrunedText.Params):
        """Those of pruned-text."""

    writes_as = "pruned-text"
    params: Params
    retriever_name = "bm25"
    _frequencies: Counter[str]

    def load(self, folder: Path) -> None:
        """Load what is stored, and count the corpus's words."""
        super().load(folder)
        corpus = self.retriever.corpus
        assert corpus is not None  # bm25 searches one
        self._frequencies = document_frequencies(corpus)

    async def find(self, query: Query) -> list[Passage]:
        """The gold passages, the words of golden answers kept before others."""
        corpus, question = self.retriever.corpus, self.gold[query.id]
        assert corpus is not None
        first = {plain(word) for answer in question.golden_answers for word in answer.split()}
        gold = [id_ for id_ in dict.fromkeys(question.gold_doc_ids) if id_ in corpus]
        params = self.params
        return [
            pruned(corpus.get(id_), params.words, params.by, self._frequencies, first)
            for id_ in gold[: params.k]
        ]
