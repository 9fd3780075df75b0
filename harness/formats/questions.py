"""Questions in columns of any name, with the passages that may stand beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from harness.formats.base import Asked, Dropped, Item, Note, Part
from harness.formats.cells import Cells
from harness.formats.columns import USUAL, Rows, find_columns, told, with_header
from harness.formats.rows import rows
from harness.records import Passage, Question

_LATE_GOLD = "gold ids in a column that the first 100 rows lack (give it to the first, as null)"


class QuestionColumns(BaseModel):
    """Where a file of questions has what, and how it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str | None = Field(None, description="column of the question")
    answers: str | None = Field(None, description="column of the answer, or of several")
    id: str | None = Field(None, description="column of a question's id; else the row's number")
    gold: str | None = Field(None, description="column of the ids of passages that it rests on")
    separator: str | None = Field(
        None, description="what parts answers, or ids, that share a cell", min_length=1
    )
    quotes: bool = Field(True, description="false for CSV and TSV in which quotes are text")
    under: str | None = Field(None, description="key of the list of rows inside one JSON object")


def read_questions(
    path: Path, options: QuestionColumns, part: Part, context: str | None = None
) -> Iterator[Item]:
    """The questions of a file.

    ``context`` names the option of a column of passages: these come too, gold for their question,
    with an id made of title and text.
    """
    header, table = with_header(_flat(rows(path, options.under, quoted=options.quotes)))
    needed = ["question", "answers", *filter(None, [context])]
    wanted = ["id", "gold", *needed, *(["title"] if context else [])]
    columns = find_columns(path, header, options.model_dump(), wanted, needed)
    yield Note(told(path, columns, "id"))
    unseen = frozenset(() if "gold" in columns else USUAL["gold"])
    for number, (where, row) in enumerate(table, 1):
        if not unseen.isdisjoint(row):
            yield Dropped(_LATE_GOLD, where)
        cells = Cells(where, row, columns)
        beside = _contexts(cells, context) if context else []
        yield from beside
        id_ = cells.id("id") if "id" in columns else str(number)
        gold = [passage.id for passage in beside] + cells.ids("gold", options.separator)
        answers, text = cells.texts("answers", options.separator), cells.text("question")
        yield _asked(cells, Question(id_, text, tuple(answers), tuple(gold)), part)
        yield from cells.changes


def _flat(table: Rows) -> Rows:
    """Rows with what their metadata say, where FlashRAG's form has gold ids."""
    for where, row in table:
        more = row.get("metadata")
        yield where, {**more, **row} if isinstance(more, dict) else row


def _asked(cells: Cells, question: Question, part: Part) -> Asked | Dropped:
    kind = "train questions" if part == "train" else "questions"
    if not question.id:
        return Dropped(f"{kind} without an id", cells.where)
    if not question.text.strip():
        return Dropped(f"{kind} without a text", cells.where)
    if not question.golden_answers:
        return Dropped(f"{kind} without an answer", cells.where)
    metadata = cells.row.get("metadata")
    if isinstance(metadata, dict):
        question = replace(question, metadata=metadata)
    return Asked(question, part)


def _contexts(cells: Cells, context: str) -> list[Passage]:
    title = " ".join(cells.text("title").split())
    found = (Passage("", title, text) for text in cells.texts(context))
    return [replace(passage, id=f"c-{_digest(passage.contents)}") for passage in found]


def _digest(contents: str) -> str:
    return sha256(contents.encode("utf-8", "surrogatepass")).hexdigest()[:16]
