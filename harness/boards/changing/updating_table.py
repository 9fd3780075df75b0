"""The tables of an evaluation of updates: what follows a change, what stays, what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

from harness.boards.changing.asking import circumstances_line, methods_line, undo_lines
from harness.metrics.statistics import difference_ci
from harness.report import NOT_COMPARABLE, report, share

if TYPE_CHECKING:
    from harness.boards.changing.update_records import Updating

Records = Sequence[Mapping[str, Any]]

_COUNTED = ("old", "new", "neither", "read_old", "read_new", "new_of_known")
_HEADERS = (
    "Method", "Scenario", "Facts", "Old answer", "New answer", "Neither", "Original was read",
    "Changed was read", "Known facts", "New answer, known facts",
)  # fmt: skip
_PAIRED = (
    "Method", "Scenario", "New answer, gained", "Stale answers", "Unchanged questions",
    "Same answer", "F1", "F1, gained",
)  # fmt: skip
_COSTS = (
    "Method", "Operation", "How", "Times", "Documents each", "Median seconds",
    "Bytes of a document", "Median bytes written",
)  # fmt: skip


def summary(found: Updating) -> dict[str, Any]:
    """Facts, counts (``summary``), differences (``paired``) and costs of each method."""
    records = [asdict(record) for record in found.records]
    return {
        "facts": found.facts,
        "summary": _lines(records),
        "paired": _paired(records, [asdict(record) for record in found.kept]),
        "costs": _costs([asdict(change) for change in found.changes]),
        "identical": found.identical,
        "opening_seconds": found.opening,
    }


def tables(found: Updating, counted: Mapping[str, Any]) -> str:
    """The tables of a ``summary`` as markdown, each under what was done and how."""
    errors = sum(bool(error) for error in _errors(found))
    answers = list(map(_cells, counted["summary"]))
    paired = list(map(_paired_cells, counted["paired"]))
    costs = list(map(_cost, counted["costs"]))
    return "\n\n".join(
        (
            report("Changed facts", _caption(found, errors), _HEADERS, answers, left=2),
            report("Against the original", _PAIRED_CAPTION, _PAIRED, paired, left=2),
            report("Changing documents", _cost_caption(found), _COSTS, costs, left=3),
        )
    )


def _errors(found: Updating) -> list[str]:
    return [record.error for record in found.records] + [record.error for record in found.kept]


def _groups(records: Records, *names: str) -> list[Records]:
    """Records that agree in the fields of these names, in the order of their first."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault(tuple(record[name] for name in names), []).append(record)
    return list(groups.values())


def _lines(records: Records) -> list[dict[str, Any]]:
    """Counts of each method and scenario; those of a version that was not there are None."""
    lines = []
    for rows in _groups(records, "method", "scenario"):
        read = {
            name: None if rows[0][name] is None else sum(row[name] for row in rows)
            for name in ("read_old", "read_new")
        }
        lines.append(
            {
                "method": rows[0]["method"],
                "scenario": rows[0]["scenario"],
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


def _paired(records: Records, kept: Records) -> list[dict[str, Any]]:
    """Each method's scenarios against its original, question by question."""
    before = {(r["method"], r["question_id"]): r for r in records if r["scenario"] == "original"}
    stood = {(r["method"], r["question_id"]): r for r in kept if r["scenario"] == "original"}
    others = {(rows[0]["method"], rows[0]["scenario"]): rows for rows in
              _groups(kept, "method", "scenario")}  # fmt: skip
    lines = []
    for rows in _groups(records, "method", "scenario"):
        method, scenario = rows[0]["method"], rows[0]["scenario"]
        if scenario == "original":
            continue
        gained = [
            row["answered_new"] - before[method, row["question_id"]]["answered_new"] for row in rows
        ]
        same = others.get((method, scenario), [])
        moved = [row["f1"] - stood[method, row["question_id"]]["f1"] for row in same]
        # An old answer beside the new one is not stale: the text may name both.
        stale = [row["answered_old"] and not row["answered_new"] for row in rows]
        lines.append(
            {
                "method": method,
                "scenario": scenario,
                "n": len(rows),
                "new_gained": _mean(gained),
                "stale": None if scenario == "conflicting" else sum(stale),
                "unchanged": len(same),
                "same": sum(row["same"] for row in same),
                "f1": _mean([row["f1"] for row in same]),
                "f1_gained": _mean(moved),
                **_interval("new_gained", gained),
                **_interval("f1_gained", moved),
            }
        )
    return lines


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _interval(name: str, differences: Sequence[float]) -> dict[str, float | None]:
    low, high = difference_ci(differences) if differences else (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


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


def _paired_cells(line: Mapping[str, Any]) -> list[str]:
    stale = "—" if line["stale"] is None else share(line["stale"], line["n"])
    f1 = "—" if line["f1"] is None else f"{100 * line['f1']:.1f}"
    same = share(line["same"], line["unchanged"])
    return [line["method"], line["scenario"], _difference(line, "new_gained"), stale,
            f"{line['unchanged']:,}", same, f1, _difference(line, "f1_gained")]  # fmt: skip


def _difference(line: Mapping[str, Any], name: str) -> str:
    if line[name] is None:
        return "—"
    values = (100 * line[key] + 0.0 for key in (name, f"{name}_low", f"{name}_high"))
    mean, low, high = (f"{value:+.1f}" for value in values)
    return f"{mean} [{low}, {high}]"


def _costs(changes: Records) -> list[dict[str, Any]]:
    costs = []
    for rows in _groups(changes, "method", "operation", "how", "documents"):
        costs.append(
            {
                **{key: rows[0][key] for key in ("method", "operation", "how", "documents")},
                "n": len(rows),
                **{
                    key: median(row[key] for row in rows)
                    for key in ("seconds", "memory_bytes", "written_bytes")
                },
            }
        )
    return costs


def _cost(cost: Mapping[str, Any]) -> list[str]:
    names = [cost[key] for key in ("method", "operation", "how")]
    counts = [f"{cost['n']:,}", f"{cost['documents']:,}", f"{cost['seconds']:.3f}"]
    sizes = (f"{cost[key]:,.0f}" for key in ("memory_bytes", "written_bytes"))
    return [*names, *counts, *sizes]


def _caption(found: Updating, errors: int) -> list[str]:
    facts = found.facts
    return [
        f"Model: {facts['model']}. {methods_line(facts['methods'])}",
        f"Corpus: {facts['task']}, fingerprint {facts['corpus_fingerprint'][:12]}, "
        f"{facts['corpus_passages']:,} passages, all of them there in every scenario but for what "
        f"is changed. {facts['facts']:,} facts. Seed {facts['seed']}.",
        "A fact: an evaluated question whose golden answer stands in exactly one of its gold "
        "passages; there, another question's answer of the same kind takes its place. All facts "
        "change, in distinct documents, before one is asked. Other passages may hold either answer "
        "by chance.",
        "Percentages with exact 95% intervals. Old, new: the answer contains a golden answer, the "
        "new one (normalised); it may contain both. Known facts: the method's answer was right "
        f"over the original. Questions that failed and count as neither: {errors}.",
        *undo_lines(facts),
        circumstances_line(facts),
        NOT_COMPARABLE,
    ]


_PAIRED_CAPTION = [
    "The same questions before and after: differences in percentage points with 95% intervals.",
    "Stale: an old answer and not the new one, though no document of the question says it any "
    "more. A model may know it from elsewhere: see a method without a memory.",
    "Unchanged: questions about documents that do not change. Same answer: verbatim as over the "
    "original.",
]


def _cost_caption(found: Updating) -> list[str]:
    opening = {method: max(seconds.values()) for method, seconds in found.opening.items()}
    lines = [
        "From documents to what the method is asked with. What is made anew (an index, a memory) "
        "takes as long for one document as for all, so all change at once; else one after the "
        "other. Text itself is counted neither in seconds nor in bytes written.",
        "Loading after the changes, seconds at most: "
        + ", ".join(f"{method} {seconds:.2f}" for method, seconds in opening.items())
        + ".",
    ]
    if names := ", ".join(found.facts["revised_together"]):
        lines.insert(1, f"By the method's choice revised for all documents at once: {names}.")
    for method, counts in found.identical.items():
        same = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        lines.append(
            f"Other documents of {method} whose every stored byte was compared and is the same: "
            f"{same}."
        )
    return lines
