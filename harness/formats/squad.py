"""SQuAD's questions, each about one paragraph of an article.

Source: rajpurkar/SQuAD-explorer and its evaluation scripts: {version, data: [{title, paragraphs:
[{context, qas: [{id, question, answers: [{text, answer_start}]}]}]}]}; version 2.0 adds
``is_impossible`` and ``plausible_answers``, which answer nothing and are not read. KorQuAD 1.0 and
others are of this shape. The hub's ``squad`` has a row for each question: ``id``, ``title``,
``context``, ``question``, ``answers`` {text: [], answer_start: []}; read from .jsonl and .parquet.
Titles are names of Wikipedia's pages, in which "_" stands for a space.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.formats.base import Dropped, Format, Item, Part
from harness.formats.fields import (
    UNANSWERABLE,
    Fields,
    asked_or_dropped,
    paragraph,
    passage_or_dropped,
    rows_of,
)
from harness.formats.parts import PartOptions, bare_name, parts_of
from harness.formats.sources import json_rows
from harness.records import Passage, Question


class SQuAD(Format):
    """Questions whose gold document is the paragraph that they were written for."""

    summary = "SQuAD 1.1 or 2.0, KorQuAD and others of their shape, or the hub's columns"
    source = "a JSON, JSON Lines or Parquet file, or a folder of them by split"
    hops = "single"

    Options = PartOptions
    options: PartOptions

    def files(self, source: Path) -> list[Path]:
        """The files of questions and of train."""
        return [path for _, path in parts_of(source, self.options)]

    def read(self, source: Path) -> Iterator[Item]:
        """Each paragraph and its questions; an article is held in memory at a time."""
        for part, path in parts_of(source, self.options):
            if bare_name(path).lower().endswith(".json"):
                for where, article in json_rows(path, under="data"):
                    yield from _article(Fields(where, article), part)
            else:
                for row in rows_of(path):
                    passage = _paragraph(row, row)
                    yield passage_or_dropped(row.where, passage)
                    yield _asked(row, passage, part)


def _article(article: Fields, part: Part) -> Iterator[Item]:
    for each in article.objects("paragraphs"):
        passage = _paragraph(article, each)
        yield passage_or_dropped(each.where, passage)
        for row in each.objects("qas"):
            yield _asked(row, passage, part)


def _paragraph(titled: Fields, row: Fields) -> Passage:
    title = titled.text_or_empty("title")
    return paragraph("squad", title.replace("_", " "), row.text("context"))


def _asked(row: Fields, passage: Passage, part: Part) -> Item:
    if row.get("is_impossible") is True:
        return Dropped(UNANSWERABLE, row.where)
    answers = row.require("answers")
    if isinstance(answers, dict):
        texts = Fields(f"{row.where}, answers", answers).texts("text")
    else:
        found = [text for each in row.objects("answers") for text in each.texts("text")]
        texts = tuple(dict.fromkeys(found))
    question = Question(
        row.identifier("id"), row.text("question"), texts, (passage.id,), {"hops": 1}
    )
    return asked_or_dropped(row.where, question, part)
