"""Prompts as structured parts, so that the model's style and window decide the final text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from harness.records import Passage, Query, Question

PROMPT_FORMAT = 1
"""Raised whenever prompts or the choice of demonstrations change; part of a run's identity."""

PromptStyle = Literal["completion", "chat"]

SOFT = "\ufdd0"
"""Where a soft segment stands in a prompt: each of these takes one, in order.

A code point that Unicode keeps out of texts; whoever puts it into a prompt first takes it out of
the texts of others (``without_places``). As a token it is nothing: a model reads no trace of it.
"""


def without_places(text: str) -> str:
    """A text of others, in which no soft segment may stand."""
    return text.replace(SOFT, "")


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message. Where the last one is the assistant's, its turn is to be continued."""

    role: Literal["system", "user", "assistant"]
    content: str


Rendered = str | tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A worked example: what is asked and what is to be replied."""

    ask: str
    reply: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """An instruction, demonstrations, passages (best first), what is asked, how the reply begins.

    Only ``passages`` may be shortened to fit a window: from the end, and the best one at a
    sentence if even that is too long.
    """

    ask: str
    instruction: str = ""
    demonstrations: tuple[Demonstration, ...] = ()
    passages: tuple[Passage, ...] = ()
    reply_start: str = "Answer:"
    reply_so_far: str = ""
    """What the model is to go on from: its own earlier sentences."""
    keep_order: bool = False
    """Passages stand as given; otherwise a completion prompt has the best one last."""
    longest: int | None = None
    """Tokens that the rendered prompt may have, below what the model's window allows."""

    def with_passages(self, passages: tuple[Passage, ...]) -> Prompt:
        """The same prompt with other passages, best first."""
        return replace(self, passages=passages)

    def render(self, style: PromptStyle) -> Rendered:
        """The text (completion models) or messages (chat models) to send."""
        return self._completion() if style == "completion" else self._chat()

    def _passage_block(self, passages: Iterable[Passage]) -> str:
        return "\n".join(passage_line(p) for p in passages)

    def _completion(self) -> str:
        shots = [f"{d.ask}\n{self.reply_start} {d.reply}" for d in self.demonstrations]
        final = " ".join(filter(None, [f"{self.ask}\n{self.reply_start}", self.reply_so_far]))
        if self.passages:
            # The best passage stands next to the question: on 48 train questions of NQ the default
            # model reached F1 .20 with BM25's five passages in this order, .06 with the best first.
            shown = self.passages if self.keep_order else reversed(self.passages)
            final = f"{self._passage_block(shown)}\n{final}"
        return "\n\n".join(part for part in [self.instruction, *shots, final] if part)

    def _chat(self) -> tuple[Message, ...]:
        system = "\n\n".join(p for p in [self.instruction, self._passage_block(self.passages)] if p)
        messages = [Message("system", system)] if system else []
        for shot in self.demonstrations:
            messages += [Message("user", shot.ask), Message("assistant", shot.reply)]
        return (*messages, Message("user", self.ask), *self._begun())

    def _begun(self) -> tuple[Message, ...]:
        """The reply so far as the assistant's own turn, which the model is to go on with."""
        return (Message("assistant", self.reply_so_far),) if self.reply_so_far else ()


@dataclass(frozen=True, slots=True)
class Example:
    """A train question and its gold passages, of which a method makes its own demonstrations."""

    question: Question
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class QAPrompts:
    """Prompts for short answers, shared by every method that reads with one call."""

    demonstrations: tuple[Demonstration, ...] = field(default=())
    examples: tuple[Example, ...] = field(default=())
    """What the demonstrations were made of, in the same order."""
    closed_book_instruction: str = (
        "Answer the question with a short phrase, a name, a date or yes/no."
    )
    reading_instruction: str = (
        "Answer the question with a short phrase, a name, a date or yes/no. "
        "The passages may hold the answer."
    )

    def closed_book(self, query: Query) -> Prompt:
        """Ask from the model's own knowledge."""
        return Prompt(_ask(query.text), self.closed_book_instruction, self.demonstrations)

    def read(self, query: Query, passages: list[Passage] | tuple[Passage, ...]) -> Prompt:
        """Ask with passages, best first."""
        return Prompt(
            _ask(query.text), self.reading_instruction, self.demonstrations, tuple(passages)
        )


def passage_line(passage: Passage) -> str:
    """A passage as one line of a prompt."""
    return ": ".join(filter(None, ["Passage", passage.title, passage.text]))


def _ask(question: str) -> str:
    return f"Question: {question}"


def demonstration(question: Question, gold_texts: list[str]) -> Demonstration:
    """A question with the golden answer that its gold passages use, else its shortest one.

    Alias lists may begin with an odd form (TriviaQA's first alias often is one), so position
    alone does not choose. A whole word with the same case is best, then with any case.
    """
    golds = question.golden_answers
    named = [a for a in golds if _names(gold_texts, a)] or [
        a for a in golds if _names(gold_texts, a, re.IGNORECASE)
    ]
    answer = named[0] if named else min(golds, key=len)
    return Demonstration(_ask(question.text), answer)


def _names(texts: list[str], answer: str, flags: int = 0) -> bool:
    # Not \b: an answer may begin or end with a sign, such as "$5" or "U.S.".
    pattern = re.compile(rf"(?<!\w){re.escape(answer)}(?!\w)", flags)
    return any(pattern.search(text) for text in texts)
