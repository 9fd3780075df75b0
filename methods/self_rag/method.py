"""Self-RAG with a checkpoint that was trained to reflect."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from harness.llm.requests import Reply
from harness.method import MethodCard
from harness.records import Passage, Prediction, Query
from methods.self_rag.long_form import Draft, beam_search, first_paragraph, first_segment
from methods.self_rag.prompts import SelfRAGPrompt
from methods.self_rag.reflection import Reflective, Wish
from methods.self_rag.scores import Candidate, critique_of, most_agreed, retrieval_share
from methods.self_rag.tokens import (
    NO_RETRIEVAL,
    REFLECTION,
    RETRIEVAL,
    TOKENS,
    first_line,
    one_line,
)

DECISION_TOKENS = 25
"""Long form: of so many tokens one must be [Retrieval] (run_long_form_static.py)."""


class SelfRAG(Reflective):
    """A model with reflection tokens decides, retrieves and criticises (Asai et al., ICLR 2024)."""

    card = MethodCard(
        title="Self-RAG",
        summary=(
            "A fine-tuned model decides whether to retrieve, answers with each passage apart and "
            "keeps the answer whose relevance, support and utility tokens score best."
        ),
        paper="Asai et al., Self-RAG, ICLR 2024, arXiv:2310.11511",
        source="AkariAsai/self-rag, run_short_form.py and run_long_form_static.py",
        version=2,
        deviations=(
            "Needs a released checkpoint such as selfrag-llama2-7b; no run with a checkpoint of "
            "full size was made here, only with a tiny random one of the same shape.",
            "Score: paper and released command add the text's own probability to the weighted "
            "critique, and so does this. The weights 1, 1 and 0.5 are the paper's; the released "
            "command for short answers leaves utility at its program's default, 1 "
            "(-p utility_weight=1).",
            "Decision: [Retrieval] needs more than 0.2 of its probability and [No Retrieval]'s "
            "together, as the paper says. The released command holds 0.2 against the same ratio "
            "of log-probabilities, which turns it round: it retrieves unless [Retrieval] has over "
            "about 0.72, seen as always (issue 45; -p mode=always).",
            "The paper's short answers to open questions: -p k=10 -p short_answer=false "
            "-p retriever=contriever-msmarco (five of its ten passages are a web search engine's). "
            "The released command: the same and -p utility_weight=1 -p mode=always. For closed "
            "tasks both have k=5, -p closed=true and, the command, -p max_tokens=50.",
            "By default the question comes with a short-answer instruction, in the task format "
            "that the model was trained on: the published output is sentences, whose exact match "
            "against short answers says little. The instruction is this harness's, also where the "
            "paper's tasks have one of their own.",
            "k is 5 by default, as in the checklist of this harness.",
            "The default encoder is all-MiniLM-L6-v2, which needs no hub.",
            "The answer is the first line of the chosen text; a paragraph that the model itself "
            "writes is left out of it. The released code takes the whole text (metric: contains), "
            "without a '#' or ':' at its start.",
            "The passage of the chosen answer is named as its support, where a task scores that.",
            "Shares are of exact probabilities; the released code reads its 5,000 likeliest "
            "tokens and takes e^-100 for others. A text of no token has probability 0, there 1.",
            "Long form, as published (-p form=long): paper and command have beam 2, weights 1, 1, "
            "0.5, the paper -p threshold=0 for ASQA; the command has -p max_tokens=300 and, for "
            "ASQA, -p mode=always. Its max_depth=7 makes six segments (-p max_depth=6); max_depth "
            "here counts segments.",
            "Long form: as in the released code, passages are wanted only if the model also says "
            "[Retrieval] within 25 tokens, and inside an answer [Continue to Use Evidence] counts "
            "for them and the threshold in every mode; the paper has the threshold alone.",
            "Long form: the text's own probability is not added by default, since the released "
            "code drops that option on the way; the paper's formula has it "
            "(-p sequence_score=true).",
            "Long form: parts of a score are read inside the segment that is kept, utility "
            "included; the released code reads them in all that was generated and always counts "
            "utility 0.",
            "Long form: a finished draft stays in the beam, a segment's score below 0 counts 0 in "
            "the product of scores, and a draft goes on from its own text alone; in the released "
            "code from that of drafts beside it, too.",
            "Long form: passages are retrieved once for the question, as in the released code; the "
            "paper retrieves for every segment.",
            "Long form: the answer is the text alone, on one line: no citations, and a segment "
            "said twice stays.",
        ),
    )
    needs = frozenset({"logprobs"})
    needs_tokens = TOKENS
    prompted_variant = "self-rag-prompted"

    class Params(Reflective.Params):
        """Parameters of Self-RAG."""

        shots: int = Field(0, ge=0, le=0, description="none: the checkpoint takes no demonstration")
        threshold: float = Field(
            0.2,
            ge=0,
            le=1,
            description="adaptive: retrieve above this probability; long form: in every mode also "
            "what [No Retrieval] inside an answer is held against",
        )
        short_answer: bool = Field(True, description="instruct the model to answer in a few words")
        sequence_score: bool | None = Field(
            None,
            description="add the text's own probability, the geometric mean of its tokens', to "
            "scores; null: in short form alone, as the released code does",
        )
        closed: bool = Field(
            False, description="short form: add up the scores of equal answers, for closed tasks"
        )
        form: Literal["short", "long"] = Field(
            "short", description="one text for each passage, or a tree of segments"
        )
        beam_width: int = Field(2, ge=1, le=16, description="long form: drafts kept at each depth")
        max_depth: int = Field(7, ge=1, le=32, description="long form: most segments of an answer")
        ignore_contradictions: bool = Field(
            False, description="long form: leave out segments that the model calls unsupported"
        )

    params: Params

    async def wish(self, query: Query) -> Wish:
        """The share of [Retrieval] at the first token of the response.

        Long form: the model must also say it soon, as the released code decides.
        """
        short = self.params.form == "short"
        reply = await self._generate(self._prompt(query), 1 if short else DECISION_TOKENS)
        said = short or RETRIEVAL in first_paragraph(reply.text)
        return Wish(retrieval_share(reply.choices), said)

    async def unaided(self, query: Query) -> Prediction:
        """Go on after [No Retrieval]; a long answer ends at a blank line."""
        prompt = replace(self._prompt(query), reply_start=NO_RETRIEVAL)
        reply = await self._generate(prompt, self.params.max_tokens)
        if self.params.form == "short":
            return Prediction(first_line(reply.text), raw=reply.text)
        return Prediction(one_line(first_paragraph(reply.text)), raw=reply.text)

    def best(self, candidates: Sequence[Candidate]) -> Candidate:
        """That of the best score or, of a closed task, of the answer with the best sum."""
        return most_agreed(candidates) if self.params.closed else super().best(candidates)

    async def aided(self, query: Query, passages: list[Passage]) -> Prediction:
        """The best of the answers with one passage each, or the best path of the tree."""
        if self.params.form == "short":
            return await super().aided(query, passages)

        async def extend(draft: Draft) -> Sequence[Draft]:
            return await asyncio.gather(*(self._extended(query, draft, p) for p in passages))

        best = await beam_search(extend, self.params.beam_width, self.params.max_depth)
        text = best.text(ignore_contradictions=self.params.ignore_contradictions)
        return Prediction(one_line(text), passages, raw=best.so_far)

    async def candidate(self, query: Query, passage: Passage) -> Candidate:
        """Go on after the passage; the reflection tokens on the way are the critique."""
        reply = await self._generate(self._prompt(query, passage), self.params.max_tokens)
        likelihood = self.params.sequence_score is not False
        critique = critique_of(reply.choices, likelihood=likelihood)
        return Candidate(reply.text, first_line(reply.text), self.scored(passage, critique))

    async def _extended(self, query: Query, draft: Draft, passage: Passage) -> Draft:
        prompt = replace(self._prompt(query, passage), reply_so_far=draft.so_far)
        reply = await self._generate(prompt, self.params.max_tokens, stop=(RETRIEVAL,))
        segment = first_segment(reply, self.params.threshold)
        likelihood = self.params.sequence_score is True
        critique = critique_of(segment.choices, likelihood=likelihood)
        return draft.then(segment, self.scored(passage, critique))

    def _prompt(self, query: Query, *passages: Passage) -> SelfRAGPrompt:
        instruction = self.prompts.closed_book_instruction if self.params.short_answer else ""
        # Where the window has no room for any of a passage, the model knows that it has none.
        start = NO_RETRIEVAL if passages else ""
        return SelfRAGPrompt(query.text, instruction, passages=passages, reply_start=start)

    async def _generate(
        self, prompt: SelfRAGPrompt, max_tokens: int, stop: Sequence[str] = ()
    ) -> Reply:
        return await self.llm.generate(prompt, max_tokens=max_tokens, stop=stop, watch=REFLECTION)
