"""CoRAG reworded and prompted played from scripts: what their prompts hold and what was asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from harness.data.demonstrations import qa_prompts
from harness.llm.requests import GenerateRequest, as_text
from harness.method import Method
from harness.prompts import QAPrompts
from harness.records import Prediction, Query
from harness.testing.models import RuleModel, ScriptedModel, WordRetriever
from methods.corag.chain import NO_INFORMATION
from methods.corag.method import CoRAGPrompted, CoRAGReworded
from tests.harness.programs import DATA, make_engine

Model = TypeVar("Model", bound=RuleModel)

QUESTION = Query("q", "Who built the lighthouse of Vell?")


@dataclass(frozen=True)
class Form:
    """A method and the texts that tell its prompts apart."""

    cls: type[Method]
    sub_query: str
    sub_answer: str
    after: str
    """In the sub-query prompt of a chain of one hop; {} is its sub-query, 'said' its answer."""
    alone: str
    """In the penalty's prompt of a chain with this sub-query, answered with 'said'."""
    final: str
    hop: str
    """A pattern of the final prompt that catches the chain's sub-queries, answered with 'said'."""
    prompts: QAPrompts

    def script(
        self,
        sub_queries: Sequence[str] | Mapping[str, Sequence[str]],
        answers: Mapping[str, str] | None = None,
        *,
        final: str = "Mara Quint",
        penalties: Mapping[str, float] | None = None,
        **options,
    ) -> ScriptedModel:
        """A model by what it is asked, in the completion style unless told otherwise.

        Sub-queries may be given by the chain's first hop, '' for none. Sub-answers not listed are
        'said'. Penalties, in nats per token, go by a sub-query that the chain holds.
        """
        by_hop = sub_queries if isinstance(sub_queries, Mapping) else {"": sub_queries}
        replies: dict[str, str | list[str]] = {self.final: final}
        replies |= {self.after.format(hop): list(q) for hop, q in by_hop.items() if hop}
        replies |= {self.sub_query: list(by_hop[""])}
        replies |= {self.sub_answer.format(q): a for q, a in (answers or {}).items()}
        replies |= {self.sub_answer.format(""): "said"}
        refusal = NO_INFORMATION if options.get("style") == "chat" else f" {NO_INFORMATION}"
        # The refusal has four words, and a scripted model's tokens are words.
        logprobs = {self.alone.format(q): {refusal: 4 * p} for q, p in (penalties or {}).items()}
        model = ScriptedModel(replies, logprobs=logprobs, **options)
        return trained(model)

    def ask(self, model, *, asked: Query = QUESTION, **options) -> Prediction:
        """The prediction for one question over the small corpus; options as for ``run``."""
        return self.run(model, [asked], **options)[0][0]

    def run(
        self, model, asked: Sequence[Query], *, most: int | None = None, window: int = 128, **params
    ) -> tuple[list[Prediction], int]:
        """Predictions in order of the questions, and the number of batches they took.

        ``most`` passages are found by a search, ``window`` questions are answered at once; the
        rest are the method's parameters.
        """
        method = self.cls(self.cls.Params(**params))
        engine = make_engine(method, model, prompts=self.prompts, window=window)
        if most is not None:
            limit(engine, most)
        found = {}
        engine.run(asked, lambda answered: found.update({answered.question_id: answered}))
        predictions = [found[query.id].prediction for query in asked]
        assert not [p.error for p in predictions if p.error]
        return predictions, sum(channel.batches for channel in engine.channels.values())

    def temperatures(self, model: ScriptedModel) -> list[float]:
        """Of every sub-query asked for."""
        return [request.temperature for request in self.sub_query_requests(model)]

    def sub_query_requests(self, model: ScriptedModel) -> list[GenerateRequest]:
        return [r for r in generations(model) if self.sub_query in as_text(r.prompt)]

    def final_prompt(self, model: ScriptedModel) -> str:
        """The last prompt sent."""
        prompt = as_text(generations(model)[-1].prompt)
        assert self.final in prompt
        return prompt

    def chain_read(self, model: ScriptedModel) -> list[str]:
        """The sub-queries in the last prompt."""
        return re.findall(self.hop, self.final_prompt(model), re.MULTILINE)


def limit(engine, most: int) -> None:
    """Let every search of an engine find at most so many passages."""
    retriever = WordRetriever(DATA.corpus, most)

    def search(batch):
        for index, (text, k) in enumerate(batch):
            yield index, retriever.search([text], k)[0]

    engine.channels["search"].call = search


def generations(model: ScriptedModel) -> list[GenerateRequest]:
    return [request for request in model.requests if isinstance(request, GenerateRequest)]


def notes(found: Prediction, kind: str) -> list[dict]:
    return [dict(step.data) for step in found.steps if step.kind == kind]


def searches(found: Prediction) -> list[str]:
    return [step.data["query"] for step in found.steps if step.kind == "search"]


def trained(model: Model) -> Model:
    model.trained_for = frozenset({"corag"})
    return model


FORMS = {
    "corag-reworded": Form(
        CoRAGReworded,
        sub_query="## Main query to answer\n",
        sub_answer="## Query\n{}",
        after="Intermediate query 1: {}\nIntermediate answer 1: said\n\n## Task",
        alone="Q: {}\nA: said",
        final="## Main query\n",
        hop=r"^Intermediate query \d: (.+)$",
        prompts=QAPrompts(),
    ),
    "corag-prompted": Form(
        CoRAGPrompted,
        sub_query="answered by searching step by step",
        sub_answer="Question: {}",
        after="\n\n{}: said\nQuestion: Who built the lighthouse of Vell?\nNext",
        alone="Passage: {}: said\n",
        final="The passages may hold the answer.",
        hop=r"^(.+): said$",
        prompts=qa_prompts(DATA, 2, seed=0),
    ),
}
