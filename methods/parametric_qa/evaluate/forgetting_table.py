"""The table of an evaluation of forgetting: means before and after, and their difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import exp
from typing import TYPE_CHECKING, Any

from harness.metrics.statistics import difference_ci, perplexity_difference_ci
from harness.report import NOT_COMPARABLE, report

if TYPE_CHECKING:
    from methods.parametric_qa.evaluate.forgetting import Forgetting

_WHEN = ("before", "after")
_HEADERS = ("Task", "Measure", "n", "Before", "After", "Difference [95% CI]", "Relative change")


def lines(found: Forgetting) -> list[dict[str, Any]]:
    """One record a task and measure."""
    questions = [asdict(record) for record in found.questions]
    texts = [asdict(record) for record in found.passages]
    return [
        line
        for name in found.facts["corpora"]
        for line in _lines(_of(questions, task=name), _of(texts, task=name))
    ]


def table(found: Forgetting, rows: Sequence[Mapping[str, Any]]) -> str:
    """The records as markdown, under what was measured and how."""
    caption = _caption(found.facts, sum(bool(record.error) for record in found.questions))
    return report("Forgetting", caption, _HEADERS, list(map(_cells, rows)), left=2)


def _of(rows: Sequence[Mapping[str, Any]], **wanted: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def _lines(
    questions: Sequence[Mapping[str, Any]], passages: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """One task's measures: means before and after, and their difference with its interval."""
    lines = []
    for prompt in dict.fromkeys(row["prompt"] for row in questions):
        rows = _of(questions, prompt=prompt)
        for score in ("em", "f1"):
            before, after = ([row[f"{score}_{when}"] for row in rows] for when in _WHEN)
            lines.append(_of_scores(rows[0]["task"], f"{score} {prompt}", before, after))
    return [*lines, _of_passages(passages)]


def _of_scores(
    task: str, measure: str, before: Sequence[float], after: Sequence[float]
) -> dict[str, Any]:
    differences = [b - a for a, b in zip(before, after, strict=True)]
    means = (sum(before) / len(before), sum(after) / len(after))
    return _line(task, measure, len(before), means, difference_ci(differences))


def _of_passages(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    tokens = [row["tokens"] for row in rows]
    nats = {when: [row[f"nats_{when}"] for row in rows] for when in _WHEN}
    interval = perplexity_difference_ci(nats["before"], nats["after"], tokens)
    before, after = (exp(sum(nats[when]) / sum(tokens)) for when in _WHEN)
    return _line(rows[0]["task"], "perplexity", len(rows), (before, after), interval)


def _line(
    task: str, measure: str, n: int, means: tuple[float, float], interval: Sequence[float]
) -> dict[str, Any]:
    before, after = means
    return {
        "task": task,
        "measure": measure,
        "n": n,
        "before": before,
        "after": after,
        "difference": after - before,
        "low": interval[0],
        "high": interval[1],
        "relative": (after - before) / before if before else None,
    }


def _cells(line: Mapping[str, Any]) -> list[str]:
    score, _, prompt = line["measure"].partition(" ")
    scale, form = (100, ".1f") if prompt else (1, ".2f")
    name = f"{score.upper()}, prompt of {prompt}" if prompt else "Perplexity of held-out passages"
    values = [scale * line[key] for key in ("difference", "low", "high")]
    difference, low, high = (format(value + 0.0, f"+{form}") for value in values)
    relative = "—" if line["relative"] is None else f"{100 * line['relative']:+.1f} %"
    means = [format(scale * line[when], form) for when in _WHEN]
    return [line["task"], name, f"{line['n']:,}", *means, f"{difference} [{low}, {high}]", relative]


def _caption(facts: Mapping[str, Any], errors: int) -> list[str]:
    tuned = f"with the adapter of the shared parts {facts['after']}"
    if facts["same_model"]:
        tuned = (
            f"the same, since the shared parts {facts['after']} hold no adapter; it was measured "
            "once, and all differences are 0"
        )
    elif facts["full"]:
        tuned = f"the model {facts['after']}"
    corpora = ", ".join(f"{name} {mark[:12]}" for name, mark in facts["corpora"].items())
    return [
        f"Before: {facts['model']}. After: {tuned}.",
        f"Corpora: {corpora}; questions and passages with the smallest SHA-256 of their ids. "
        f"Seed {facts['seed']}.",
        "No memory is read. EM and F1 are percentages over the evaluated questions, asked with the "
        "few-shot prompt of no-retrieval, then as the tuned reader is asked.",
        "Perplexity is that of a passage's plain text after the start token, over all tokens, on "
        "passages that training never read.",
        "Difference: after minus before, with a paired 95% bootstrap interval over questions or "
        f"passages. Questions that failed and count as wrong: {errors}.",
        f"Hardware: {facts['hardware']}, {facts['threads']} threads. {facts['date']}.",
        NOT_COMPARABLE,
    ]
