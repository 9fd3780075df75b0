"""The command ``evaluate-forgetting``: what training a memory's reader cost the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.common import check_writable, console
from harness.report import NOT_COMPARABLE, checked_options, given, report, save

_MODULE = "methods.parametric_qa.evaluate.forgetting"
_WHEN = ("before", "after")
_HEADERS = ("Task", "Measure", "n", "Before", "After", "Difference [95% CI]", "Relative change")


def evaluate_forgetting(
    shared: Annotated[
        str | None, typer.Option(help="Shared parts: a shipped name or a folder.")
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="Task; repeat for more (default nq, triviaqa).")
    ] = None,
    limit: Annotated[int, typer.Option(help="Questions of each task.")] = 100,
    passages: Annotated[int, typer.Option(help="Held-out passages of each task.")] = 100,
    after: Annotated[
        str | None, typer.Option(help="A fully tuned model instead, path:FOLDER/model.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model before: a name, path:…")] = None,
    seed: Annotated[int, typer.Option(help="Of the demonstrations.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for questions.csv, passages.csv, summary.json.")
    ] = None,
) -> None:
    """Compare a model before and after its reader was trained, without any memory.

    Closed-book answers to evaluated questions, and perplexity of passages that training left out.
    """
    from dataclasses import asdict
    from importlib import import_module

    if out is not None:
        check_writable(out)
    values = given(
        tasks=tuple(task) if task else None, limit=limit, passages=passages, shared=shared,
        after=after, model=model, seed=seed, device=device,
    )  # fmt: skip
    options = checked_options(_MODULE, "ForgettingOptions", values)
    found = import_module(_MODULE).evaluate_forgetting(options, console())
    questions = [asdict(record) for record in found.questions]
    texts = [asdict(record) for record in found.passages]
    lines = [
        line
        for name in found.facts["corpora"]
        for line in _lines(_of(questions, task=name), _of(texts, task=name))
    ]
    if out is not None:
        summary = {"facts": found.facts, "summary": lines}
        save(out, {"questions": questions, "passages": texts}, summary)
    caption = _caption(found.facts, sum(bool(q["error"]) for q in questions))
    typer.echo(report("Forgetting", caption, _HEADERS, list(map(_cells, lines)), left=2))


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
    from importlib import import_module

    statistics = import_module("harness.metrics.statistics")
    differences = [b - a for a, b in zip(before, after, strict=True)]
    means = (sum(before) / len(before), sum(after) / len(after))
    return _line(task, measure, len(before), means, statistics.bootstrap_ci(differences))


def _of_passages(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    from importlib import import_module
    from math import exp

    tokens = [row["tokens"] for row in rows]
    nats = [[row[f"nats_{when}"] for row in rows] for when in _WHEN]
    interval = import_module("harness.metrics.statistics").perplexity_difference_ci(*nats, tokens)
    before, after = (exp(sum(column) / sum(tokens)) for column in nats)
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
