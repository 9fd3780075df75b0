"""Memories read apart: one reply to each, and the answer that is given of them.

As RAG-Sequence (Lewis et al., NeurIPS 2020) reads passages apart and sums what they give an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import TYPE_CHECKING

from harness.metrics.answer import normalise

if TYPE_CHECKING:
    from harness.llm.requests import Reply

WATCHED = "."
"""A token of every vocabulary: replies then come with the probabilities of their own tokens."""


def agreed(replies: Sequence[Reply]) -> str:
    """The answer of the replies that are surest of it together, the first of equals.

    A reply is as sure as its tokens are probable, by their geometric mean; replies that Exact Match
    holds for the same answer are added.
    """
    sure: dict[str, float] = {}
    for reply in replies:
        key = normalise(reply.first_line)
        sure[key] = sure.get(key, 0.0) + sureness(reply)
    best = max(sure, key=lambda key: sure[key])
    return next(r.first_line for r in replies if normalise(r.first_line) == best)


def sureness(reply: Reply) -> float:
    """The geometric mean of its tokens' probabilities, 0 to 1; 0 if it has none."""
    logprobs = [choice.logprob for choice in reply.choices]
    return exp(sum(logprobs) / len(logprobs)) if logprobs else 0.0
