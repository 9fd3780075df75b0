"""Tables: questions, train questions and passages in columns of any name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from harness.errors import InputError
from harness.formats.base import Dropped, Format, Item, Note
from harness.formats.cells import Cells
from harness.formats.columns import find_columns, told, with_header
from harness.formats.fields import NO_TEXT
from harness.formats.questions import QuestionColumns, read_questions
from harness.formats.rows import named, rows
from harness.records import Passage

Name = Literal["questions", "train", "corpus"]

# FlashRAG's column: the first line is the title.
_CONTENTS = "contents"


class Table(Format):
    """Tables of any columns; passages stand in a file of their own or beside the questions."""

    summary = "CSV, TSV, JSON Lines, JSON arrays or Parquet with columns of any name"
    source = (
        "a folder with questions.*, corpus.* and perhaps train.* (csv, tsv, jsonl, json, parquet), "
        "or a file of questions, each with its passage in a column, or with -o corpus=FILE"
    )

    class Options(QuestionColumns):
        """Columns by their names, and files that lie elsewhere."""

        context: str | None = Field(
            None, description="column of a question's own passage, where there is no corpus"
        )
        title: str | None = Field(None, description="column of a passage's title")
        text: str | None = Field(None, description="column of a passage's text, in the corpus")
        passage_id: str | None = Field(
            None, description="column of a passage's id, in the corpus; else the row's number"
        )
        corpus: Path | None = Field(None, description="file of the passages")
        train: Path | None = Field(None, description="file of train questions")
        alternatives: bool = Field(
            False, description="true if any one of a question's gold passages gives the answer"
        )

    options: Options

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.gold = "any" if options.alternatives else "all"

    def files(self, source: Path) -> list[Path]:
        """One to three tables."""
        return list(self._find(source).values())

    def read(self, source: Path) -> Iterator[Item]:
        """The corpus first, if it has a file of its own."""
        files, options = self._find(source), self.options
        if "corpus" in files:
            yield from read_passages(files["corpus"], options)
        context = None if "corpus" in files else "context"
        yield from read_questions(files["questions"], options, "questions", context)
        if "train" in files:
            yield from read_questions(files["train"], options, "train", context)

    def _find(self, source: Path) -> dict[Name, Path]:
        options = self.options
        inside = source.is_dir()
        found: dict[Name, Path | None] = {
            "corpus": options.corpus or (named(source, "corpus") if inside else None),
            "questions": named(source, "questions") if inside else source,
            "train": options.train or (named(source, "train") if inside else None),
        }
        if found["questions"] is None:
            raise InputError(
                f"{source}: holds no file questions.csv (.tsv .jsonl .json .parquet); name it so, "
                "or give the file of questions itself"
            )
        return {name: path for name, path in found.items() if path is not None}


def read_passages(path: Path, options: Table.Options) -> Iterator[Item]:
    """The passages of a file. FlashRAG's ``contents`` begin with the title."""
    header, table = with_header(rows(path, options.under, quoted=options.quotes))
    wanted, needed = ["passage_id", "title", "text"], ["text"]
    columns = find_columns(path, header, options.model_dump(), wanted, needed)
    yield Note(told(path, columns, "passage_id"))
    for number, (where, row) in enumerate(table, 1):
        cells = Cells(where, row, columns)
        id_ = cells.id("passage_id") if "passage_id" in columns else str(number)
        title, text = cells.text("title"), cells.text("text")
        if columns["text"] == _CONTENTS and "title" not in columns:
            title, _, text = text.partition("\n")
        if not id_:
            yield Dropped("passages without an id", where)
        elif not (title.strip() or text.strip()):
            yield Dropped(NO_TEXT, where)
        else:
            yield Passage(id_, title, text)
        yield from cells.changes
