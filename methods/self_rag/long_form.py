"""Self-RAG's tree of segments for long answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from harness.llm.requests import Reply, TokenChoice
from methods.self_rag.scores import wants_passages
from methods.self_rag.tokens import CONTRADICTORY, NO_RETRIEVAL, RETRIEVAL

_MARKS = (RETRIEVAL, NO_RETRIEVAL)
_MARK = re.compile("|".join(map(re.escape, _MARKS)))


@dataclass(frozen=True, slots=True)
class Segment:
    """Text up to where passages are wanted again, its tokens, and whether it ends there."""

    text: str
    choices: tuple[TokenChoice, ...]
    wants_more: bool


@dataclass(frozen=True, slots=True)
class Draft:
    """A path through the tree: its segments and the product of their scores."""

    segments: tuple[str, ...] = ()
    score: float = 1.0
    finished: bool = False

    @property
    def so_far(self) -> str:
        """The whole text, control tokens included."""
        return "".join(self.segments)

    def then(self, segment: Segment, score: float) -> Draft:
        """The draft with one more segment; scores below 0 count as 0."""
        product = self.score * max(score, 0.0)
        return Draft((*self.segments, segment.text), product, not segment.wants_more)

    def text(self, *, ignore_contradictions: bool) -> str:
        """The segments side by side, those that the model calls unsupported left out if so set."""
        kept = [s for s in self.segments if not (ignore_contradictions and CONTRADICTORY in s)]
        return " ".join(kept)


async def beam_search(
    extend: Callable[[Draft], Awaitable[Sequence[Draft]]], width: int, depth: int
) -> Draft:
    """The best draft of at most ``depth`` segments, ``width`` drafts kept at every depth."""
    beam = [Draft()]
    for _ in range(depth):
        unfinished = [draft for draft in beam if not draft.finished]
        if not unfinished:
            break
        children = await asyncio.gather(*(extend(draft) for draft in unfinished))
        finished = [draft for draft in beam if draft.finished]
        pool = [*finished, *(child for siblings in children for child in siblings)]
        beam = sorted(pool, key=lambda draft: -draft.score)[:width]
    return beam[0]


def first_segment(reply: Reply, threshold: float) -> Segment:
    """A reply up to the first token that asks for passages (see ``wants_passages``)."""
    marks = 0
    for place, choice in enumerate(reply.choices):
        marks += choice.text.strip() in _MARKS
        if wants_passages(choice, threshold):
            return Segment(_before_mark(reply.text, marks), reply.choices[:place], True)
    return Segment(reply.text, reply.choices, False)


def first_paragraph(text: str) -> str:
    """The text up to its first blank line."""
    return text.partition("\n\n")[0]


def _before_mark(text: str, number: int) -> str:
    """The text before its n-th mark; all of it if the mark itself was cut off as a stop string."""
    starts = [match.start() for match in _MARK.finditer(text)]
    return text[: starts[number - 1]] if number <= len(starts) else text
