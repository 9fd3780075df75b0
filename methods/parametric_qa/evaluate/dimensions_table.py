"""The table of an ablation of a code's numbers and slots, paired by question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.boards.changing.asking import circumstances_line
from harness.metrics.statistics import loss_difference_ci
from harness.report import report

if TYPE_CHECKING:
    from methods.parametric_qa.evaluate.dimensions import DimensionsEvaluation, Kind, View

_NAMES: dict[Kind, str] = {
    "all": "all numbers",
    "other": "another question's memory",
    "none": "no memory",
    "first": "the first {last} kept",
    "group": "{first} to {last} zero",
    "number": "number {first} zero",
    "slot": "slot {first} zero",
}
_RANKED = ("group", "number", "slot")
"""Kinds whose lines stand in the order of what they cost, the dearest first."""
_HEADERS = ("Read", "Squares kept", "Loss", "Difference [95% CI]")


def lines(found: DimensionsEvaluation) -> list[dict[str, Any]]:
    """One record a view: its loss in nats a token, less that of the whole memory."""
    whole = [record.nats[0] for record in found.questions]
    tokens = [record.tokens for record in found.questions]
    made = []
    for number, (view, squares) in enumerate(zip(found.views, found.squares, strict=True)):
        nats = [record.nats[number] for record in found.questions]
        low, high = loss_difference_ci(whole, nats, tokens)
        made.append(
            {
                "kind": view.kind,
                "first": view.first,
                "last": view.last,
                "squares_kept": round(squares, 6),
                "n": len(nats),
                "tokens": sum(tokens),
                "loss": sum(nats) / sum(tokens),
                "difference": (sum(nats) - sum(whole)) / sum(tokens),
                "low": low,
                "high": high,
            }
        )
    kinds = list(dict.fromkeys(line["kind"] for line in made))
    # A stable sort, so that kinds stay together and the others in the order of their size.
    return sorted(made, key=lambda line: (kinds.index(line["kind"]), _cost(line)))


def records(found: DimensionsEvaluation) -> list[dict[str, Any]]:
    """One flat record a question: summed nats of its golden answer, by view."""
    names = [f"nats {name_of(view)}" for view in found.views]
    return [
        {
            "id": record.id,
            "tokens": record.tokens,
            **{name: round(nats, 5) for name, nats in zip(names, record.nats, strict=True)},
        }
        for record in found.questions
    ]


def table(found: DimensionsEvaluation) -> str:
    """The lines as markdown, under what was measured and how."""
    rows = [_cells(line) for line in lines(found)]
    return report("What numbers and slots of a code do", _caption(found), _HEADERS, rows)


def name_of(view: View) -> str:
    """What of a memory is read, in words."""
    return _NAMES[view.kind].format(first=view.first, last=view.last)


def _cost(line: Mapping[str, Any]) -> float:
    return -line["difference"] if line["kind"] in _RANKED else 0.0


def _cells(line: Mapping[str, Any]) -> list[str]:
    name = _NAMES[line["kind"]].format(first=line["first"], last=line["last"])
    if line["kind"] == "all":
        return [name, "100.0 %", f"{line['loss']:.3f}", "—"]
    kept = "—" if line["kind"] in ("other", "none") else f"{100 * line['squares_kept']:.1f} %"
    values = (line["difference"], line["low"], line["high"])
    difference, low, high = (f"{value + 0.0:+.3f}" for value in values)
    return [name, kept, f"{line['loss']:.3f}", f"{difference} [{low}, {high}]"]


def _caption(found: DimensionsEvaluation) -> list[str]:
    facts, tokens = found.facts, sum(record.tokens for record in found.questions)
    return [
        f"Model: {facts['model']}. Shared parts: {facts['shared']}, {facts['slots']} slots of "
        f"{facts['z_dim']} numbers, stored as {facts['stored']}.",
        f"Corpus: {facts['task']}, fingerprint {facts['corpus_fingerprint'][:12]}; "
        f"{len(found.questions)} train questions that training held out, {tokens} tokens of golden "
        "answers.",
        "The reader reads the memories of all gold passages. A zero is the mean of all embeddings; "
        "numbers and slots count from 1.",
        "Loss: of the golden answer, in nats a token. Difference: to all numbers, with a paired "
        "bootstrap interval over questions, of each line alone: of many lines, some differ by "
        "chance.",
        f"{circumstances_line(facts)} It took {facts['seconds']:,} s.",
    ]
