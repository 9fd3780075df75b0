"""Decompositions of questions into hops, as MuSiQue gives them."""

from __future__ import annotations

import re
from collections.abc import Sequence

_REFERENCE = re.compile(r"#(\d+)")


def resolve(asked: str, answers: Sequence[str]) -> str:
    """A hop's question with "#n" replaced by the n-th answer; references to none stay."""

    def answer(reference: re.Match[str]) -> str:
        number = int(reference[1])
        return answers[number - 1] if 1 <= number <= len(answers) else reference[0]

    return _REFERENCE.sub(answer, asked)
