"""Outcomes: what became of each question that a method was asked, and how two of them differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.records import Prediction
from harness.runs.predictions import prediction_row
from harness.testing.places import Code


@dataclass(slots=True)
class Outcome:
    """What became of one question: what ``answer`` returned or raised, and the prediction."""

    where: str
    returned: Any = None
    raised: Exception | None = None
    prediction: Prediction = field(default_factory=lambda: Prediction(""))

    @property
    def is_whole(self) -> bool:
        """Whether ``answer`` returned what the harness can score."""
        return self.raised is None and unfit(self.returned) is None

    def problem(self, code: Code) -> str:
        """Why it is not whole, with the author's line where an error arose."""
        return code.told(self.raised) if self.raised else unfit(self.returned) or "nothing"


Outcomes = dict[str, Outcome]
"""By question id."""


def unfit(value: Any) -> str | None:
    """What keeps a value from being a prediction that the harness can score; None if nothing."""
    if not isinstance(value, Prediction):
        return f"it returned {value!r:.80}" if value is not None else "it returned nothing"
    if not isinstance(value.answer, str):
        return f"its answer is {value.answer!r:.80}"
    if not isinstance(value.ranked, Sequence) or isinstance(value.ranked, str):
        return f"ranked is {value.ranked!r:.80}"
    if not all(hasattr(each, "id") for each in value.ranked):
        return f"ranked holds {next(e for e in value.ranked if not hasattr(e, 'id'))!r:.80}"
    for name in ("read", "support"):
        ids = getattr(value, name)
        if ids is not None and not _are_texts(ids):
            return f"{name} is {ids!r:.80}"
    return None if value.raw is None or isinstance(value.raw, str) else f"raw is {value.raw!r:.80}"


def _are_texts(values: Any) -> bool:
    is_list = isinstance(values, Sequence) and not isinstance(values, str)
    return is_list and all(isinstance(value, str) for value in values)


def difference(first: Outcomes, again: Outcomes, code: Code, *, exact: bool) -> str | None:
    """The first question whose answer changed, and how; None if none did.

    Where it is not ``exact``, only answers and ranked documents are compared.
    """
    for question_id, before in first.items():
        now = again[question_id]
        if not now.is_whole:
            return f"question {question_id}: {now.problem(code)}"
        was = prediction_row(question_id, before.prediction)
        row = prediction_row(question_id, now.prediction)
        if changed := changed_key(was, row, exact=exact):
            return f"question {question_id}: {changed}"
    return None


def changed_key(was: Mapping[str, Any], row: Mapping[str, Any], *, exact: bool) -> str | None:
    """What differs of two rows of a prediction, and how; None if nothing does."""
    for key in sorted(was.keys() | row.keys()) if exact else ["answer", "retrieved_ids"]:
        if was.get(key) != row.get(key):
            return f"{key} {row.get(key)!r:.200}, not {was.get(key)!r:.200}"
    return None
