"""Fitting: as much of a prompt's passages as a model has room for."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.prompts import Prompt, PromptStyle, Rendered
from harness.sentences import sentence_ends

_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A rendered prompt that fits, and what it does not show of its passages."""

    rendered: Rendered
    dropped: int = 0
    """Passages left out, from the end of the ranking."""
    cut: int = 0
    """Passages of which only the beginning is shown: the best one, where it does not fit whole."""


def shortened(prompt: Prompt, fits: Callable[[Prompt], bool]) -> tuple[Prompt, int]:
    """A prompt that does not fit with as many of its passages as do, and how many are cut.

    Whole passages stay as long as they fit. Where not even the best one does, its beginning stays
    alone: up to the end of a sentence, else of a word, else of a character. ``fits`` must hold for
    less wherever it holds for more; it is asked a number of times that grows with the logarithm of
    the passages, or of the best one's sentences.
    """
    passages = prompt.passages
    kept = _most(len(passages) - 1, lambda count: fits(prompt.with_passages(passages[:count])))
    if kept or not passages:
        return prompt.with_passages(passages[:kept]), 0
    best = passages[0]

    def beginning(end: int) -> Prompt:
        return prompt.with_passages((replace(best, text=best.text[:end]),))

    for ends in _ends(best.text):
        if count := _fitting(ends, beginning, fits):
            return beginning(ends[count - 1]), 1
    return prompt.with_passages(()), 0


def refitted(
    prompt: Prompt, style: PromptStyle, refused: Rendered, tokens: int, room: int
) -> Fitted | None:
    """Less of a prompt of which ``refused``, of ``tokens``, was too long; None if nothing is left.

    Its own tokens per character tell how much has room: no other prompt has a say, so that the cut
    does not depend on what was asked before.
    """
    whole = _characters(refused)

    def fits(shorter: Prompt) -> bool:
        length = _characters(shorter.render(style))
        return length < whole and length * tokens <= room * whole

    shorter, cut = shortened(prompt, fits)
    if not fits(shorter):
        return None
    dropped = len(prompt.passages) - len(shorter.passages)
    return Fitted(shorter.render(style), dropped, cut)


def _characters(rendered: Rendered) -> int:
    return len(rendered) if isinstance(rendered, str) else sum(len(m.content) for m in rendered)


def _fitting(
    ends: Sequence[int], beginning: Callable[[int], Prompt], fits: Callable[[Prompt], bool]
) -> int:
    return _most(len(ends), lambda count: fits(beginning(ends[count - 1])))


def _most(top: int, holds: Callable[[int], bool]) -> int:
    """The largest number from 1 to ``top`` for which ``holds``, by bisection; 0 if for none."""
    return bisect_left(range(1, top + 1), True, key=lambda number: not holds(number))


def _ends(text: str) -> Iterator[Sequence[int]]:
    """Where a text may be cut: at sentences, else in its first one at words, else anywhere.

    Scripts without spaces make long words.
    """
    sentences = sentence_ends(text)
    yield sentences
    words = [word.end() for word in _WORD.finditer(text, 0, sentences[0] if sentences else 0)]
    yield words
    yield range(1, words[0] if words else 1)
