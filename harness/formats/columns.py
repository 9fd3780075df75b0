"""Columns of a table: named by an option, else known by the names that people give them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from harness.errors import InputError, did_you_mean

USUAL: dict[str, tuple[str, ...]] = {
    "question": ("question", "query", "question_text", "input"),
    "answers": (
        "golden_answers", "answers", "answer", "gold_answers", "reference_answers",
        "possible_answers", "ground_truths", "ground_truth", "references", "reference",
    ),
    "id": ("id", "_id", "qid", "question_id", "query_id"),
    "gold": ("gold_doc_ids", "gold_ids", "gold"),
    "context": ("context", "contexts", "passage", "passages", "text", "document"),
    "passage_id": ("id", "_id", "passage_id", "pid", "doc_id", "docid", "document_id", "corpus_id"),
    "title": ("title", "page_title", "doc_title", "heading"),
    "text": (
        "text", "contents", "content", "passage", "context", "document", "body", "paragraph",
        "chunk",
    ),
}  # fmt: skip
"""Option -> usual names of its column, the more telling first."""
_LOOKED_AT = 100

Rows = Iterator[tuple[str, dict[str, Any]]]


def with_header(rows: Rows) -> tuple[list[str], Rows]:
    """The columns of the first hundred rows, in their order, and all rows."""
    first = list(islice(rows, _LOOKED_AT))
    header = list(dict.fromkeys(name for _, row in first for name in row))
    return header, chain(first, rows)


def find_columns(
    path: Path,
    header: Sequence[str],
    named: Mapping[str, str | None],
    wanted: Iterable[str],
    needed: Iterable[str],
) -> dict[str, str]:
    """Option -> column of a file, for those that it has.

    Raises InputError for a column that is ``named`` and not there, or ``needed`` and not found.
    """
    usual = {name.strip().lower(): name for name in reversed(header)}
    found = {}
    for option in wanted:
        column = named.get(option)
        if column is None:
            column = next((usual[name] for name in USUAL[option] if name in usual), None)
        elif column not in header:
            raise InputError(
                f"{path}: has no column '{column}'{did_you_mean(column, list(header))}"
            )
        if column is not None:
            found[option] = column
    for option in needed:
        if option not in found:
            more = ", or give a file of passages, -o corpus=FILE" if option == "context" else ""
            raise InputError(
                f"{path}: which column holds the {option}? name it, -o {option}=COLUMN{more} "
                f"(columns: {', '.join(header) or 'none'})"
            )
    return found


def told(path: Path, found: Mapping[str, str], id_: str) -> str:
    """The columns that are taken, in a line; ``id_`` is the option that may be missing."""
    taken = [f"{option}={column}" for option, column in found.items()]
    return f"{path.name}: {', '.join(taken)}" + ("" if id_ in found else "; ids: the rows' numbers")
