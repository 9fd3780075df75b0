"""Questions: reading them, where they stand, and checks against the corpus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.data.corpus import Corpus
from harness.data.jsonl import Row, read_rows
from harness.errors import InputError
from harness.fingerprint import fingerprint_lines
from harness.records import Question


def read_questions(path: str | Path) -> tuple[Question, ...]:
    """Read a whole question file in FlashRAG's form, in file order.

    Rows are ``{"id", "question", "golden_answers": [...], "metadata": {...}}``; gold document ids
    are optional, in ``metadata.gold_doc_ids`` or beside ``metadata``; ids may be whole numbers.
    Raises InputError naming file, line, field and fix.
    """
    path = Path(path)
    lines: dict[str, str] = {}
    questions = []
    for row in read_rows(path):
        question = _question(row)
        first = lines.setdefault(question.id, row.counted)
        if first != row.counted:
            raise row.error(
                f"'id' {question.id!r} was already used on {first}; give each question its own id"
            )
        questions.append(question)
    if not questions:
        raise InputError(f"{path}: holds no questions; expected one JSON object a line")
    return tuple(questions)


def check_gold(path: Path, questions: Sequence[Question], corpus: Corpus) -> None:
    """Raise InputError for the first gold document id that the corpus does not hold."""
    for question in questions:
        for gold in question.gold_doc_ids:
            if gold not in corpus:
                name = corpus.path or "the corpus"
                raise _row(path, question.id).error(
                    f"'gold_doc_ids' names {gold!r}, which is not in {name}; "
                    "add that passage or remove the id"
                )


def where_asked(path: Path, question: Question) -> str:
    """A question by its id and its place in a file, for messages."""
    return f"{question.id!r} ({_row(path, question.id).where})"


def questions_fingerprint(questions: Iterable[Question]) -> str:
    """SHA-256 over ids, texts, golden answers and gold document ids, in order."""
    return fingerprint_lines(
        {
            "id": question.id,
            "question": question.text,
            "golden_answers": question.golden_answers,
            "gold_doc_ids": question.gold_doc_ids,
        }
        for question in questions
    )


def metadata_fingerprint(questions: Iterable[Question]) -> str | None:
    """SHA-256 over what questions say beyond that, such as hops; None if they say nothing."""
    rows = [
        [q.id, {name: value for name, value in q.metadata.items() if name != "gold_doc_ids"}]
        for q in questions
    ]
    return fingerprint_lines(rows) if any(more for _, more in rows) else None


def _question(row: Row) -> Question:
    metadata: Any = row.values.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise row.error("'metadata' is not an object; expected {\"name\": value} or nothing")
    gold_row = row
    if "gold_doc_ids" not in row.values:
        gold_row = Row(row.path, row.line, row.start, metadata)
    gold = gold_row.identifiers("gold_doc_ids") if gold_row.values.get("gold_doc_ids") else ()
    return Question(
        id=row.identifier("id"),
        text=row.text("question"),
        golden_answers=row.texts("golden_answers"),
        gold_doc_ids=tuple(dict.fromkeys(gold)),
        metadata=metadata,
    )


def _row(path: Path, question_id: str) -> Row:
    return next(row for row in read_rows(path) if row.identifier("id") == question_id)
