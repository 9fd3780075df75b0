"""The table of an evaluation of forgetting: means before and after, and their difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from harness.boards.changing.before_after import WHEN, cells, of_passages, of_scores
from harness.report import NOT_COMPARABLE, report

if TYPE_CHECKING:
    from methods.parametric_qa.evaluate.forgetting import Forgetting

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
            before, after = ([row[f"{score}_{when}"] for row in rows] for when in WHEN)
            head = {"task": rows[0]["task"], "measure": f"{score} {prompt}"}
            lines.append(of_scores(head, before, after))
    return [*lines, of_passages({"task": passages[0]["task"], "measure": "perplexity"}, passages)]


def _cells(line: Mapping[str, Any]) -> list[str]:
    score, _, prompt = line["measure"].partition(" ")
    name = f"{score.upper()}, prompt of {prompt}" if prompt else "Perplexity of held-out passages"
    return [line["task"], name, *cells(line, percent=bool(prompt))]


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
