"""Scores of an answer by what the model thinks of it (Self-RAG, section 3.3).

Each part is a share of next-token probability among the tokens of one kind; a part that the model
never judged counts 0.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from harness.llm.requests import TokenChoice
from methods.self_rag.tokens import NO_RETRIEVAL, RELEVANCE, RETRIEVAL, RETRIEVE, SUPPORT, UTILITY

UTILITY_LEVELS = (-1.0, -0.5, 0.0, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of the parts of a critique; the paper's for short answers."""

    relevance: float = 1.0
    support: float = 1.0
    utility: float = 0.5


@dataclass(frozen=True, slots=True)
class Critique:
    """Relevance and support in 0 to 1, utility in -1 to 1, likelihood of the text in 0 to 1."""

    relevance: float = 0.0
    support: float = 0.0
    utility: float = 0.0
    likelihood: float = 0.0

    def score(self, weights: Weights) -> float:
        """The likelihood plus the weighted parts."""
        return (
            self.likelihood
            + weights.relevance * self.relevance
            + weights.support * self.support
            + weights.utility * self.utility
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the model said with one passage, the answer in it, and its score."""

    text: str
    answer: str
    score: float


def share(value: float, *others: float) -> float:
    """``value`` as a part of all; 0 where all are 0."""
    total = sum((value, *others))
    return value / total if total > 0 else 0.0


def support_score(fully: float, partially: float, none: float) -> float:
    """Full support counts 1, partial support one half."""
    return share(fully, partially, none) + 0.5 * share(partially, fully, none)


def utility_score(levels: Sequence[float]) -> float:
    """The mean of -1, -0.5, 0, 0.5, 1 under the probabilities of the five levels."""
    total = sum(levels)
    if total <= 0:
        return 0.0
    return sum(w * p for w, p in zip(UTILITY_LEVELS, levels, strict=True)) / total


def most_agreed(candidates: Sequence[Candidate]) -> Candidate:
    """The best candidate of the answer whose scores add up to most; of equals, the first."""
    totals: dict[str, float] = defaultdict(float)
    for candidate in candidates:
        totals[candidate.answer] += candidate.score
    answer = max(totals, key=totals.__getitem__)
    return max((c for c in candidates if c.answer == answer), key=lambda c: c.score)


def retrieval_share(choices: Sequence[TokenChoice]) -> float:
    """Probability of [Retrieval] against [No Retrieval] at the first of the choices."""
    return share(*_probs(choices[0], RETRIEVE[:2])) if choices else 0.0


def critique_of(choices: Sequence[TokenChoice], *, likelihood: bool = False) -> Critique:
    """What the generated tokens say of themselves.

    Relevance is read where the text begins, support and utility where the model first emits a
    token of that kind.
    """
    support, utility = _first(choices, SUPPORT), _first(choices, UTILITY)
    return Critique(
        relevance=share(*_probs(choices[0], RELEVANCE)) if choices else 0.0,
        support=support_score(*_probs(support, SUPPORT)) if support else 0.0,
        utility=utility_score(_probs(utility, UTILITY)) if utility else 0.0,
        likelihood=_likelihood(choices) if likelihood else 0.0,
    )


def wants_passages(choice: TokenChoice, threshold: float) -> bool:
    """Whether a token inside an answer asks for passages, as the released code decides.

    [Retrieval] does. [No Retrieval] does if [Retrieval] and [Continue to Use Evidence] together
    have more than ``threshold`` of what [Retrieval] and [No Retrieval] have.
    """
    token = choice.text.strip()
    if token != NO_RETRIEVAL:
        return token == RETRIEVAL
    wanted, unwanted, going_on = _probs(choice, RETRIEVE)
    total = wanted + unwanted
    return total > 0 and (wanted + going_on) / total > threshold


def _probs(choice: TokenChoice, tokens: Sequence[str]) -> list[float]:
    return [choice.probs[token] for token in tokens]


def _first(choices: Sequence[TokenChoice], tokens: Sequence[str]) -> TokenChoice | None:
    return next((choice for choice in choices if choice.text.strip() in tokens), None)


def _likelihood(choices: Sequence[TokenChoice]) -> float:
    """The geometric mean of the token probabilities."""
    if not choices:
        return 0.0
    return math.exp(sum(choice.logprob for choice in choices) / len(choices))
