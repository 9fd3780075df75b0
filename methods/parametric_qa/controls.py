"""Controls: what the tuned reader does without memories, with text, and with gold or wrong ones."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from harness.method import MethodCard
from harness.records import Prediction, Query
from methods.bm25 import BM25
from methods.others import others
from methods.parametric_qa.choose import Chosen
from methods.parametric_qa.method import ParametricQA
from methods.parametric_qa.prompts import reading_prompt
from methods.parametric_qa.reader import DEFAULT_SHARED, SharedParams, TunedReader

PAPER = ParametricQA.card.paper
SOURCE = "a control of parametric-qa"


class ParametricQAGold(ParametricQA):
    """Reads the memories of the question's gold documents: selection without error."""

    reads_gold = True
    card = MethodCard(
        title="Parametric QA, gold selection",
        summary="Reads the memories of all gold documents; an upper bound of selection.",
        paper=PAPER,
        source=SOURCE,
        version=2,
        oracle=True,
        deviations=(
            "The shipped reader was tuned on one to three memories; a question with more gold "
            "documents is read with all of them (-p k=1 reads one).",
            "Gold documents have no ranking: they are read in the order of the task's file, the "
            "first one next to the question.",
        ),
    )

    class Params(ParametricQA.Params):
        """Those of parametric-qa, whose selection is not asked."""

        k: int = Field(100, ge=1, le=100, description="gold memories that are read, at most")

    params: Params
    writes_as = "parametric-qa"

    def _choose(self, query: Query) -> list[Chosen]:
        gold = dict.fromkeys(self.gold[query.id].gold_doc_ids)
        kept = [id_ for id_ in gold if id_ in self._bank]
        return [Chosen(id_, 1.0, 1) for id_ in kept]


class ParametricQAShuffled(ParametricQA):
    """Selects as usual, then reads the memories of other documents: what their content gives."""

    card = MethodCard(
        title="Parametric QA, shuffled memories",
        summary="Selects as usual but reads as many memories of random documents; a lower bound.",
        paper=PAPER,
        source=SOURCE,
        version=2,
        deviations=(
            "Random documents are drawn from those that are not ranked (-p ranked): a gold one "
            "may be among them.",
        ),
    )

    writes_as = "parametric-qa"

    def _read(self, chosen: Sequence[Chosen], query: Query) -> list[str]:
        used = {c.id for c in chosen}
        return others(self._bank.ids, used, self.params.k, self.seed, query)


class ParametricQAClosedBook(TunedReader):
    """The tuned reader without any memory: what tuning alone gives."""

    card = MethodCard(
        title="Parametric QA's reader, closed book",
        summary="The reader of parametric-qa answers without memories.",
        paper=PAPER,
        source=SOURCE,
        version=2,
        deviations=(
            "The prompt is parametric-qa's without memories; to a chat model its instruction "
            "does not speak of any.",
        ),
    )

    class Params(SharedParams):
        """Whose reader it is."""

        max_tokens: int = Field(32, ge=1, description="longest answer, in tokens")

    params: Params

    async def answer(self, query: Query) -> Prediction:
        """Ask as parametric-qa asks, with nothing before the question."""
        prompt = reading_prompt(query.text, 0, self.prompts.demonstrations)
        reply = await self.llm.generate(prompt, max_tokens=self.params.max_tokens, one_line=True)
        return Prediction(answer=reply.first_line)


class ParametricQABM25(TunedReader, BM25):
    """BM25's passages as text, read by the tuned reader."""

    card = MethodCard(
        title="BM25 with Parametric QA's reader",
        summary="The reader of parametric-qa reads the text of BM25's passages.",
        paper=PAPER,
        source=SOURCE,
        deviations=(
            "The prompt is that of bm25, whose card says what it departs in; the reader was tuned "
            "on memories, not on text.",
        ),
    )

    class Params(BM25.Params):
        """BM25's parameters, and whose reader it is."""

        shared: str | None = Field(DEFAULT_SHARED, description="shared parts with a tuned reader")

    params: Params
