"""Columns on a judge's opinion: the share that it called right, and whether EM says the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from leaderboards import cells
from leaderboards.columns.base import Column, Field, Value
from leaderboards.judged import Judged
from leaderboards.rows import Row


def judging() -> Iterator[Column]:
    """Apart from all scores."""
    yield Column(
        "judge",
        "Judged right [95% CI]",
        "Answers that a recorded language model called right, in percent; no score counts it.",
        _right,
        (
            Field("judged_right", "float", _of(lambda found: found.right)),
            Field("judged_right_low", "float", _of(lambda found: _interval(found)[0])),
            Field("judged_right_high", "float", _of(lambda found: _interval(found)[1])),
            Field("judged_answers", "int", _of(lambda found: found.answers)),
            Field("judge_unclear", "int", _of(lambda found: found.unclear)),
            Field("judge", "text", _of(lambda found: found.judge)),
        ),
        "high",
        short="Judge",
        short_text=lambda row: cells.percent(None if row.judge is None else row.judge.right),
    )
    yield Column(
        "judge_agreement",
        "Judge = EM / kappa",
        "Answers on which judge and EM say the same, in percent, and Cohen's kappa, 0 for chance.",
        _agreement,
        (
            Field("judge_agrees_with_em", "float", _of(lambda found: found.agreement)),
            Field("judge_kappa", "float", _of(lambda found: found.kappa)),
        ),
        "high",
        short="= EM / kappa",
    )


def _interval(found: Judged) -> tuple[float, float] | tuple[None, None]:
    return found.interval or (None, None)


def _of(value: Callable[[Judged], Value]) -> Callable[[Row], Value]:
    return lambda row: None if row.judge is None else value(row.judge)


def _right(row: Row) -> str:
    if row.judge is None or row.judge.interval is None:
        return cells.MISSING
    low, high = row.judge.interval
    return f"{cells.percent(row.judge.right)} [{cells.percent(low)}, {cells.percent(high)}]"


def _agreement(row: Row) -> str:
    if row.judge is None or row.judge.agreement is None:
        return cells.MISSING
    kappa = cells.MISSING if row.judge.kappa is None else f"{row.judge.kappa:.2f}"
    return f"{cells.percent(row.judge.agreement)} / {kappa}"
