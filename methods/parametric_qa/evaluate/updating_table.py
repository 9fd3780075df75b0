"""The tables of an evaluation of updates: what is answered then, and what a change costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

from harness.report import NOT_COMPARABLE, report, share

if TYPE_CHECKING:
    from methods.parametric_qa.evaluate.updating import Updating

_COUNTED = ("old", "new", "neither", "read_old", "read_new", "new_of_known")
_HEADERS = (
    "Method", "Scenario", "Facts", "Old answer", "New answer", "Neither", "Original was read",
    "Changed was read", "Known facts", "New answer, known facts",
)  # fmt: skip
_COSTS = ("Operation", "n", "Median seconds", "Bytes of the memory", "Median bytes written")


def summary(found: Updating) -> dict[str, Any]:
    """Facts, counts of each method and scenario (``summary``), and costs of each operation."""
    return {
        "facts": found.facts,
        "summary": _lines([asdict(record) for record in found.records]),
        "costs": _costs([asdict(change) for change in found.changes]),
        "identical": found.identical,
        "opening_seconds": found.opening,
    }


def tables(found: Updating, counted: Mapping[str, Any]) -> str:
    """Both tables of a ``summary`` as markdown, each under what was done and how."""
    errors = sum(bool(record.error) for record in found.records)
    answers = list(map(_cells, counted["summary"]))
    costs = list(map(_cost, counted["costs"]))
    return "\n\n".join(
        (
            report("Changed facts", _caption(found, errors), _HEADERS, answers, left=2),
            report("Changing one document", _cost_caption(found), _COSTS, costs),
        )
    )


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


def _caption(found: Updating, errors: int) -> list[str]:
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
        "Percentages with exact 95% intervals. Old, new: the answer contains a golden answer, the "
        "new one (normalised); it may contain both. Known facts: the method's answer was right "
        f"over the original. Questions that failed and count as neither: {errors}.",
        f"Hardware: {facts['hardware']}, {facts['threads']} threads. {facts['date']}.",
        NOT_COMPARABLE,
    ]


def _cost_caption(found: Updating) -> list[str]:
    same = ", ".join(f"{name} {count:,}" for name, count in found.identical.items())
    opening = max(found.opening.values())
    return [
        "From a document's text to the bank on disk, one document at a time. A bank writes the "
        "whole segment anew that holds the document.",
        f"To open a changed bank and compute the keys of all its memories: {opening:.2f} s at "
        "most.",
        f"Other documents whose every stored byte was compared and is the same: {same}.",
    ]
