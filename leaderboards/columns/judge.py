"""Columns on a judge's opinion: the share that it called right, and whether EM says the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from leaderboards import cells
from leaderboards.columns.base import Column, Field, Value
from leaderboards.judged import Judged
from leaderboards.rows import Row


def judging() -> Iterator[Column]:
    """They are there only where some row was judged."""
    yield Column(
        "judge",
        "Judge [95% CI]",
        "Answers that a language model called right, in percent: an opinion, no score.",
        _right,
        (
            Field("judge", "float", _of(lambda found: found.right)),
            Field("judge_low", "float", _of(lambda found: found.interval and found.interval.low)),
            Field("judge_high", "float", _of(lambda found: found.interval and found.interval.high)),
            Field("judge_unclear", "int", _of(lambda found: found.unclear)),
            Field("judge_by", "text", _of(lambda found: found.judge)),
        ),
        "high",
        short="Judge",
        short_text=lambda row: cells.percent(row.judge and row.judge.right),
    )
    yield Column(
        "judge_agreement",
        "Judge = EM / kappa",
        "Answers on which judge and EM say the same, in percent, and Cohen's kappa, 0 for chance.",
        _agreement,
        (
            Field("judge_em_agreement", "float", _of(lambda found: found.agreement)),
            Field("judge_em_kappa", "float", _of(lambda found: found.kappa)),
        ),
        "high",
        short="= EM / kappa",
    )


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
