"""Prompts of self-rag-prompted beside the answer's own, and the words that a model may reply.

Without demonstrations: on 35 train questions of NQ and HotpotQA the default model (135M) found a
gold passage more relevant than another in 57 % of the pairs, and in 49 % with two demonstrations.
"""

from __future__ import annotations

from harness.prompts import Prompt
from harness.records import Passage, Query

YES_NO = ("Yes", "No")
SUPPORT = ("Yes", "Partly", "No")
UTILITY = ("Bad", "Poor", "Fair", "Good", "Perfect")
"""Words, worst first; many tokenizers spell a blank and a digit as two tokens."""

REPLY = "Reply:"


def retrieval(query: Query) -> Prompt:
    """Whether passages would help at all."""
    ask = "Would a passage from an encyclopedia help to answer the question, Yes or No?"
    return Prompt(f"Question: {query.text}\n{ask}", reply_start=REPLY)


def relevance(query: Query, passage: Passage) -> Prompt:
    """Whether a passage helps."""
    ask = "Does the passage help to answer the question, Yes or No?"
    return Prompt(f"Question: {query.text}\n{ask}", passages=(passage,), reply_start=REPLY)


def support(query: Query, passage: Passage, answer: str) -> Prompt:
    """Whether a passage bears an answer out."""
    ask = "Does the passage support the answer, Yes, Partly or No?"
    return Prompt(_answered(query, answer, ask), passages=(passage,), reply_start=REPLY)


def utility(query: Query, answer: str) -> Prompt:
    """How good an answer is, on a scale of five."""
    ask = "How good is the answer: Bad, Poor, Fair, Good or Perfect?"
    return Prompt(_answered(query, answer, ask), reply_start=REPLY)


def _answered(query: Query, answer: str, ask: str) -> str:
    return f"Question: {query.text}\nAnswer: {answer}\n{ask}"
