"""The table of an evaluation of forgetting: means before and after, and their difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from harness.boards.changing.asking import circumstances_line, methods_line, undo_lines
from harness.boards.changing.before_after import WHEN, cells, of_passages, of_scores
from harness.boards.changing.forgetting import CLOSED_BOOK, OLD_DOCUMENTS
from harness.report import NOT_COMPARABLE, report

if TYPE_CHECKING:
    from harness.boards.changing.forgetting import Forgetting

PERPLEXITY = "perplexity"
_HEADERS = (
    "Task", "Method", "Measure", "n", "Before", "After", "Difference [95% CI]", "Relative change",
)  # fmt: skip
_NAMES = {
    CLOSED_BOOK: "closed book",
    OLD_DOCUMENTS: "old documents, others added",
    PERPLEXITY: "Perplexity of held-out passages",
}


def lines(found: Forgetting) -> list[dict[str, Any]]:
    """One record a task, method and measure; without n where a difference is 0 by construction."""
    asked = [asdict(record) for record in found.questions]
    texts = [asdict(record) for record in found.passages]
    every: list[dict[str, Any]] = []
    for task in found.facts["corpora"]:
        for method in found.facts["methods"]:
            head = {"task": task, "method": method}
            every += _lines(head, _of(asked, head), _of(texts, head))
    return every


def table(found: Forgetting, rows: Sequence[Mapping[str, Any]]) -> str:
    """The records as markdown, under what was measured and how."""
    caption = _caption(found.facts, sum(bool(record.error) for record in found.questions))
    return report("Forgetting", caption, _HEADERS, list(map(_cells, rows)), left=3)


def _of(records: Sequence[Mapping[str, Any]], head: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in records if all(row[key] == value for key, value in head.items())]


def _lines(
    head: Mapping[str, Any],
    asked: Sequence[Mapping[str, Any]],
    texts: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    found = []
    for measure in (CLOSED_BOOK, OLD_DOCUMENTS):
        rows = [row for row in asked if row["measure"] == measure]
        if not rows:
            found.append({**head, "measure": measure, "n": None})
        for score in ("em", "f1") if rows else ():
            before, after = ([row[f"{score}_{when}"] for row in rows] for when in WHEN)
            found.append(of_scores({**head, "measure": f"{score} {measure}"}, before, after))
    if texts:
        found.append(of_passages({**head, "measure": PERPLEXITY}, texts))
    return found


def _cells(line: Mapping[str, Any]) -> list[str]:
    names, measure = [line["task"], line["method"]], line["measure"]
    if line["n"] is None:
        return [*names, "Closed book, perplexity", "—", "—", "—", "0 by construction", "—"]
    if measure == PERPLEXITY:
        return [*names, _NAMES[measure], *cells(line, percent=False)]
    score, _, kind = measure.partition(" ")
    return [*names, f"{score.upper()}, {_NAMES[kind]}", *cells(line, percent=True)]


def _caption(facts: Mapping[str, Any], errors: int) -> list[str]:
    corpora = ", ".join(
        f"{name} {mark[:12]} ({old:,} documents, then {more:,} more)"
        for (name, mark), (old, more) in zip(
            facts["corpora"].items(), facts["documents"].values(), strict=True
        )
    )
    still = ", ".join(facts["without_weights"])
    constructed = (
        f"0 by construction, and not measured: in {still} no weight changes that all questions "
        "share."
    )
    return [
        f"Model: {facts['model']}. {methods_line(facts['methods'])}",
        f"Corpora: {corpora}; questions and documents by the SHA-256 of their ids. Seed "
        f"{facts['seed']}.",
        "Closed book: the few-shot prompt without any memory, before and after the method's "
        "weights are in force. Perplexity is that of a passage's plain text after the start token, "
        "over all tokens, on passages that neither training nor the memory read.",
        "Old documents: questions about documents that the memory held at first, before and after "
        "the others were added.",
        *([constructed] if still else []),
        "EM and F1 are percentages. Difference: after minus before, with a paired 95% interval "
        f"over questions or passages. Questions that failed and count as wrong: {errors}.",
        *undo_lines(facts),
        circumstances_line(facts),
        NOT_COMPARABLE,
    ]
