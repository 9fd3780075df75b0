"""Decompositions of questions into hops, as MuSiQue gives them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from harness.records import Question

_REFERENCE = re.compile(r"#(\d+)")


def hops_of(question: Question) -> list[Mapping[str, object]]:
    """The hops of a question's metadata, each with ``question`` and ``answer``; else none."""
    hops = question.metadata.get("question_decomposition")
    found = hops if isinstance(hops, list) else []
    whole = all(isinstance(hop, Mapping) and {"question", "answer"} <= set(hop) for hop in found)
    return found if whole else []


def resolve(asked: str, answers: Sequence[str]) -> str:
    """A hop's question with "#n" replaced by the n-th answer; references to none stay."""

    def answer(reference: re.Match[str]) -> str:
        number = int(reference[1])
        return answers[number - 1] if 1 <= number <= len(answers) else reference[0]

    return _REFERENCE.sub(answer, asked)
