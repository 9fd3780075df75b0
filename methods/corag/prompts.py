"""Prompts of ``corag``: one user turn of titled sections, as the checkpoint was tuned on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.prompts import Message, Prompt, PromptStyle, Rendered
from harness.records import Passage, Query
from methods.corag.chain import NO_INFORMATION, Chain

MULTI_HOP = "Answer questions that take facts from more than one document."

SEARCHING = (
    "You answer the main query with the help of a search engine, one search at a time. Read the "
    "intermediate queries and answers so far, then write the next simple question to search for. "
    "Where earlier answers did not help, put the main query in other words or split it up. Keep "
    "the question simple: the search engine may not follow a complex one."
)
NEXT_QUERY = (
    "Reply with one simple follow-up question that helps to answer the main query. No explanation "
    "and nothing else."
)
ANSWERING = (
    "Answer the query from the documents below. Use nothing but the documents and make nothing "
    f'up. If they hold nothing useful, reply "{NO_INFORMATION}".'
)
SHORTLY = "Reply with a short answer. No explanation and nothing else."
CONCLUDING = (
    "Answer the main query by putting together what the documents and the intermediate queries "
    "and answers say. A model wrote the intermediate answers, so some may be wrong."
)
ANSWER_ONLY = "Reply with a fitting answer. No explanation and nothing else."

Section = tuple[str, str]


@dataclass(frozen=True, slots=True)
class SectionPrompt(Prompt):
    """What the model is to do, documents with the best one last, sections, the form of the reply.

    ``ask`` is the form of the reply.
    """

    sections: tuple[Section, ...] = ()
    numbered: bool = False
    """Documents begin with 'Doc 0:', 'Doc 1:' and so on."""

    def render(self, style: PromptStyle) -> Rendered:
        """One user message; for a completion model the same text and how the reply begins."""
        sections = [*self._documents(), *self.sections]
        parts = [self.instruction, *(f"## {name}\n{text}" for name, text in sections), self.ask]
        text = "\n\n".join(parts)
        if style == "chat":
            return (Message("user", text),)
        return f"{text}\n\n{self.reply_start}"

    def _documents(self) -> list[Section]:
        texts = [passage.contents.strip() for passage in reversed(self.passages)]
        if self.numbered:
            texts = [f"Doc {n}: {text}" for n, text in enumerate(texts)]
        return [("Documents", "\n\n".join(texts))] if texts else []


@dataclass(frozen=True, slots=True)
class SectionPrompts:
    """The four prompts of a chain in the checkpoint's form."""

    task_description: str = MULTI_HOP

    def sub_query(self, query: Query, chain: Chain) -> Prompt:
        """Ask for the next sub-query."""
        return SectionPrompt(
            NEXT_QUERY,
            SEARCHING,
            reply_start="Follow-up question:",
            sections=(
                ("Previous intermediate queries and answers", _history(chain)),
                ("Task description", self.task_description),
                ("Main query to answer", query.text),
            ),
        )

    def sub_answer(self, sub_query: str, passages: Sequence[Passage]) -> Prompt:
        """Ask what the documents say to a sub-query; ``passages`` best first."""
        return SectionPrompt(
            SHORTLY, ANSWERING, passages=tuple(passages), sections=(("Query", sub_query),)
        )

    def chain_alone(self, query: Query, chain: Chain) -> Prompt:
        """Ask the main query with the chain's queries and answers as the only documents."""
        documents = "\n\n".join(f"Q: {hop.query}\nA: {hop.answer}" for hop in chain)
        return SectionPrompt(
            SHORTLY, ANSWERING, sections=(("Documents", documents), ("Query", query.text))
        )

    def final_answer(self, query: Query, chain: Chain, passages: Sequence[Passage]) -> Prompt:
        """Ask the main query with its own passages, best first, and the chain."""
        return SectionPrompt(
            ANSWER_ONLY,
            CONCLUDING,
            passages=tuple(passages),
            numbered=True,
            sections=(
                ("Intermediate queries and answers", _history(chain)),
                ("Task description", self.task_description),
                ("Main query", query.text),
            ),
        )


def _history(chain: Chain) -> str:
    lines = [
        f"Intermediate query {n}: {hop.query}\nIntermediate answer {n}: {hop.answer}"
        for n, hop in enumerate(chain, 1)
    ]
    return "\n".join(lines) or "Nothing yet"
