"""The command ``evaluate-update``: what is answered after facts have changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.common import check_writable, console
from harness.report import NOT_COMPARABLE, checked_options, given, report, save, share

_MODULE = "methods.parametric_qa.evaluate.updating"
_COUNTED = ("old", "new", "neither", "read_old", "read_new", "new_of_known")
_HEADERS = (
    "Method", "Scenario", "Facts", "Old answer", "New answer", "Neither", "Original was read",
    "Changed was read", "Known facts", "New answer, known facts",
)  # fmt: skip
_COSTS = ("Operation", "n", "Median seconds", "Bytes of the memory", "Median bytes written")


def evaluate_update(
    task: Annotated[str, typer.Option(help="Task whose questions and corpus are used.")] = "nq",
    facts: Annotated[int, typer.Option(help="How many facts change.")] = 50,
    shared: Annotated[
        str | None, typer.Option(help="Shared parts: a shipped name or a folder.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimisation steps on a code, 0 to 1000.")] = 0,
    text: Annotated[bool, typer.Option(help="Also BM25 over text changed likewise.")] = True,
    model: Annotated[str | None, typer.Option(help="Catalogue name, hf:ORG/NAME, path:…")] = None,
    seed: Annotated[int, typer.Option(help="Of the facts and demonstrations.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for facts.csv, changes.csv, summary.json.")
    ] = None,
) -> None:
    """Change facts in memories (and in text) and ask for them.

    A document is overwritten, deleted, or joined by one that contradicts it.
    """
    from dataclasses import asdict
    from importlib import import_module

    if out is not None:
        check_writable(out)
    values = given(
        task=task, facts=facts, shared=shared, steps=steps, text=text, model=model, seed=seed,
        device=device,
    )  # fmt: skip
    options = checked_options(_MODULE, "UpdateOptions", values)
    found = import_module(_MODULE).evaluate_update(options, console())
    records = [asdict(record) for record in found.records]
    changes = [asdict(change) for change in found.changes]
    lines, costs = _lines(records), _costs(changes)
    if out is not None:
        summary = {
            "facts": found.facts, "summary": lines, "costs": costs,
            "identical": found.identical, "opening_seconds": found.opening,
        }  # fmt: skip
        save(out, {"facts": records, "changes": changes}, summary)
    caption = _caption(found, sum(bool(record["error"]) for record in records))
    typer.echo(report("Changed facts", caption, _HEADERS, list(map(_cells, lines)), left=2))
    caption = _cost_caption(found)
    typer.echo("\n" + report("Changing one document", caption, _COSTS, list(map(_cost, costs))))


def _lines(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Counts of each method and scenario; those of a version that was not there are None."""
    lines = []
    for key in dict.fromkeys((row["method"], row["scenario"]) for row in records):
        rows = [row for row in records if (row["method"], row["scenario"]) == key]
        read = {
            name: None if rows[0][name] is None else sum(row[name] for row in rows)
            for name in ("read_old", "read_new")
        }
        lines.append(
            {
                "method": key[0],
                "scenario": key[1],
                "n": len(rows),
                "old": sum(row["answered_old"] for row in rows),
                "new": sum(row["answered_new"] for row in rows),
                "neither": sum(not (r["answered_old"] or r["answered_new"]) for r in rows),
                **read,
                "known": sum(row["known"] for row in rows),
                "new_of_known": sum(row["known"] and row["answered_new"] for row in rows),
            }
        )
    return lines


def _cells(line: Mapping[str, Any]) -> list[str]:
    shares = {
        name: "—"
        if line[name] is None
        else share(line[name], line["known"] if name == "new_of_known" else line["n"])
        for name in _COUNTED
    }
    *others, of_known = shares.values()
    return [line["method"], line["scenario"], f"{line['n']:,}", *others, f"{line['known']:,}",
            of_known]  # fmt: skip


def _costs(changes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    from statistics import median

    costs = []
    for operation in dict.fromkeys(change["operation"] for change in changes):
        rows = [change for change in changes if change["operation"] == operation]
        costs.append(
            {
                "operation": operation,
                "n": len(rows),
                **{
                    key: median(row[key] for row in rows)
                    for key in ("seconds", "memory_bytes", "written_bytes")
                },
            }
        )
    return costs


def _cost(cost: Mapping[str, Any]) -> list[str]:
    sizes = (f"{cost[key]:,.0f}" for key in ("memory_bytes", "written_bytes"))
    return [cost["operation"], f"{cost['n']:,}", f"{cost['seconds']:.3f}", *sizes]


def _caption(found: Any, errors: int) -> list[str]:
    facts = found.facts
    return [
        f"Model: {facts['model']}. Shared parts of parametric-qa: {facts['shared']}, "
        f"{facts['steps']} optimisation steps on a code; of those selected it reads "
        f"{facts['memories_read']}, of two alike the one written first. bm25: the plain model "
        f"reads {facts['passages_read']} passages of text.",
        f"Corpus: {facts['task']}, fingerprint {facts['corpus_fingerprint'][:12]}, "
        f"{facts['corpus_passages']:,} passages, all of them there in every scenario but for what "
        f"is changed. {facts['facts']:,} facts. Seed {facts['seed']}.",
        "A fact: an evaluated question whose golden answer stands in exactly one of its gold "
        "passages; there, another question's answer of the same kind takes its place. All facts "
        "change at once, in distinct documents. Other passages may hold either answer by chance.",
        "Percentages with 95% Wilson intervals. Old, new: the answer contains a golden answer, the "
        "new one (normalised); it may contain both. Known facts: the method's answer was right "
        f"over the original. Questions that failed and count as neither: {errors}.",
        f"Hardware: {facts['hardware']}, {facts['threads']} threads. {facts['date']}.",
        NOT_COMPARABLE,
    ]


def _cost_caption(found: Any) -> list[str]:
    same = ", ".join(f"{name} {count:,}" for name, count in found.identical.items())
    opening = max(found.opening.values())
    return [
        "From a document's text to the bank on disk, one document at a time. A bank writes the "
        "whole segment anew that holds the document.",
        f"To open a changed bank and compute the keys of all its memories: {opening:.2f} s at "
        "most.",
        f"Other documents whose every stored byte was compared and is the same: {same}.",
    ]
