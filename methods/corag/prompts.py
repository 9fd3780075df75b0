"""Prompts of a fine-tuned model: one user turn each, filled into the templates of a wording."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from harness.prompts import Message, Prompt, PromptStyle, Rendered
from harness.records import Passage, Query
from methods.corag.chain import Chain
from methods.corag.wording import REWORDED, Wording, fill


@dataclass(frozen=True, slots=True)
class TemplatePrompt(Prompt):
    """A template, what goes into its places, and documents, of which the best one comes last."""

    template: str = ""
    values: dict[str, str] = field(default_factory=dict)
    document: str = ""
    """The template of one document."""

    def render(self, style: PromptStyle) -> Rendered:
        """One user message; for a completion model the same text and how the reply begins."""
        documents = [passage.contents.strip() for passage in reversed(self.passages)]
        shown = {"documents": joined(self.document, documents), **self.values}
        text = fill(self.template, **shown)
        if style == "chat":
            return (Message("user", text),)
        return f"{text}\n\n{self.reply_start}"


@dataclass(frozen=True, slots=True)
class TemplatePrompts:
    """The four prompts of a chain in the checkpoint's form."""

    task_description: str
    wording: Wording = REWORDED

    @property
    def no_information(self) -> str:
        """The answer of documents that tell nothing."""
        return self.wording.no_information

    def sub_query(self, query: Query, chain: Chain) -> Prompt:
        """Ask for the next sub-query."""
        return TemplatePrompt(
            query.text,
            template=self.wording.sub_query,
            values=self._values(query, chain),
            reply_start="Follow-up question:",
        )

    def sub_answer(self, sub_query: str, passages: Sequence[Passage]) -> Prompt:
        """Ask what the documents say to a sub-query; ``passages`` best first."""
        return TemplatePrompt(
            sub_query,
            template=self.wording.sub_answer,
            values={"query": sub_query},
            document=self.wording.document,
            passages=tuple(passages),
        )

    def chain_alone(self, query: Query, chain: Chain) -> Prompt:
        """Ask the main query with the chain's queries and answers as the only documents."""
        told = [
            fill(self.wording.chain_document, query=hop.query, answer=hop.answer) for hop in chain
        ]
        documents = joined(self.wording.document, told)
        return TemplatePrompt(
            query.text,
            template=self.wording.sub_answer,
            values={"query": query.text, "documents": documents},
        )

    def final_answer(self, query: Query, chain: Chain, passages: Sequence[Passage]) -> Prompt:
        """Ask the main query with its own passages, best first, and the chain."""
        return TemplatePrompt(
            query.text,
            template=self.wording.final_answer,
            values=self._values(query, chain),
            document=self.wording.final_document,
            passages=tuple(passages),
        )

    def _values(self, query: Query, chain: Chain) -> dict[str, str]:
        hops = [
            fill(self.wording.hop, number=n + 1, index=n, query=hop.query, answer=hop.answer)
            for n, hop in enumerate(chain)
        ]
        history = "".join(hops).strip() or self.wording.nothing_yet
        return {"history": history, "task": self.task_description, "query": query.text}


def joined(template: str, documents: Iterable[str]) -> str:
    """Documents one after another, each in the template, numbered as they stand."""
    texts = [fill(template, number=n + 1, index=n, document=d) for n, d in enumerate(documents)]
    return "".join(texts).strip()
