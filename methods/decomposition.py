"""Decompositions of questions into hops, as MuSiQue gives them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from harness.prompts import Example
from harness.records import Question

_REFERENCE = re.compile(r"#(\d+)")


def hops_of(question: Question) -> list[Mapping[str, object]]:
    """The hops of a question's metadata, each with ``question`` and ``answer``; else none."""
    hops = question.metadata.get("question_decomposition")
    found = hops if isinstance(hops, list) else []
    whole = all(isinstance(hop, Mapping) and {"question", "answer"} <= set(hop) for hop in found)
    return found if whole else []


def shows_steps(example: Example) -> bool:
    """Whether anything tells the steps to an example's answer: gold passages or a decomposition."""
    return bool(example.passages or hops_of(example.question))


def stepless(examples: Sequence[Example], most: int | None = None) -> str:
    """What to say if fewer of the examples, up to ``most``, show steps than could; else ""."""
    able = sum(map(shows_steps, examples))
    wanted = len(examples) if most is None else min(most, len(examples))
    if able >= wanted:
        return ""
    shown = f"only {able} of its {wanted} demonstrations show" if able else "no demonstration shows"
    return f"{shown} steps, for lack of gold passages in the corpus"


def resolve(asked: str, answers: Sequence[str]) -> str:
    """A hop's question with "#n" replaced by the n-th answer; references to none stay."""

    def answer(reference: re.Match[str]) -> str:
        number = int(reference[1])
        return answers[number - 1] if 1 <= number <= len(answers) else reference[0]

    return _REFERENCE.sub(answer, asked)
