"""DPR's files: Wikipedia's passages, questions with answers, and the pools a retriever learns from.

Source: facebookresearch/DPR, README.md, "Retriever input data format", download_data.py and
retriever_data.py. ``psgs_w100.tsv`` is a table of ``id``, ``text``, ``title``, quoted as CSV.
``nq-test.qa.csv`` and its like have a question, a tab and a Python list of answers, and neither ids
nor gold. ``biencoder-nq-dev.json`` and its like are arrays of ``question``, ``answers``,
``positive_ctxs``, ``negative_ctxs``, ``hard_negative_ctxs``, each [{title, text, score,
passage_id}] (``psg_id`` for some datasets): positive ones hold an answer, so any of them is gold.
"""

from __future__ import annotations

import ast
import csv
import warnings
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from harness.errors import InputError
from harness.formats.base import Format, Item, Part
from harness.formats.fields import (
    Fields,
    asked_or_dropped,
    paragraph,
    passage_or_dropped,
    rows_of,
)
from harness.formats.parts import PartOptions, bare_name, parts_of
from harness.formats.sources import lines, table_rows
from harness.records import Passage, Question

# Pools mark gold, tables of questions do not: where a split has both, the pools are read.
SUFFIXES = (".json", ".jsonl", ".csv")
_POOLS = ("positive_ctxs", "negative_ctxs", "hard_negative_ctxs")
_LONGEST_ANSWERS = 100_000


class DPROptions(PartOptions):
    """Options of DPR's files."""

    split: str = Field("test", description="the split of a folder that is asked")
    corpus: Path | None = Field(
        None, description="the table of passages, if not the only .tsv file beside the questions"
    )
    questions: Path | None = Field(
        None, description="the file of questions, where SOURCE is the table of passages"
    )


class DPR(Format):
    """Questions over Wikipedia's passages or, without that table, over those of their pools."""

    summary = "DPR's psgs_w100.tsv, tables of questions (.csv) and retriever pools (.json)"
    source = "a folder of them, a file of questions, or psgs_w100.tsv with -o questions=FILE"
    gold = "any"
    hops = "single"

    Options = DPROptions
    options: DPROptions

    def files(self, source: Path) -> list[Path]:
        """The table of passages, if there is one, and the files of questions and of train."""
        corpus, parts = self._found(source)
        return ([corpus] if corpus else []) + [path for _, path in parts]

    def read(self, source: Path) -> Iterator[Item]:
        """The passages, then the questions."""
        corpus, parts = self._found(source)
        if corpus:
            yield from _passages(corpus)
        for part, path in parts:
            if _is_questions(path):
                yield from _questions(path, part)
            else:
                yield from _pools(path, part, with_passages=corpus is None)

    def _found(self, source: Path) -> tuple[Path | None, list[tuple[Part, Path]]]:
        given = self.options
        is_table = _is_table(source)
        if is_table and given.questions is None:
            raise InputError(
                f"{source}: holds passages; give questions too: -o questions=FILE, or the folder "
                "of both as SOURCE"
            )
        asked = given.questions if is_table and given.questions else source
        parts = parts_of(asked, given, SUFFIXES)
        folder = source if source.is_dir() else source.parent
        corpus = source if is_table else given.corpus or _corpus_in(folder)
        if corpus is None and all(_is_questions(path) for _, path in parts):
            raise InputError(
                f"{source}: holds questions; put psgs_w100.tsv beside it or give it: -o corpus=FILE"
            )
        return corpus, parts


def _is_table(path: Path) -> bool:
    return path.is_file() and bare_name(path).lower().endswith(".tsv")


def _is_questions(path: Path) -> bool:
    return bare_name(path).lower().endswith(".csv")


def _corpus_in(folder: Path) -> Path | None:
    """The one table of passages of a folder; of a plain and a packed copy the plain one."""
    tables: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if _is_table(path):
            tables.setdefault(bare_name(path), path)
    if len(tables) > 1:
        raise InputError(
            f"{folder}: has several .tsv files ({', '.join(tables)}); say which holds the "
            "passages: -o corpus=FILE"
        )
    return next(iter(tables.values()), None)


def _passages(path: Path) -> Iterator[Item]:
    for where, values in table_rows(path):
        row = Fields(where, values)
        passage = Passage(row.identifier("id"), row.text("title").strip(), row.text("text"))
        yield passage_or_dropped(where, passage)


def _questions(path: Path, part: Part) -> Iterator[Item]:
    """Questions are numbered from 0 and named after the file, for want of ids."""
    name = bare_name(path).partition(".")[0]
    reader = csv.reader((f"{line}\n" for _, line in lines(path)), delimiter="\t", strict=True)
    at = 0
    try:
        for fields in reader:
            where = f"{path}:{reader.line_num}"
            if any(fields):
                answers = _answers(where, fields)
                question = Question(f"{name}-{at}", fields[0], answers, (), {"hops": 1})
                yield asked_or_dropped(where, question, part)
                at += 1
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: not a row of a table ({error})") from None


def _answers(where: str, fields: list[str]) -> tuple[str, ...]:
    """The strings of a Python list, which is read as a literal and never run."""
    wanted = "expected a question, a tab and a list such as ['one', 'two']"
    if len(fields) < 2:
        raise InputError(f"{where}: has no tab; {wanted}")
    if len(fields[1]) > _LONGEST_ANSWERS:
        raise InputError(f"{where}: answers of {len(fields[1]):,} characters; {wanted}")
    try:
        with warnings.catch_warnings():
            # Patterns among the answers have escapes that are none of Python's.
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            values = ast.literal_eval(fields[1].strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise InputError(f"{where}: the answers are no list; {wanted}") from None
    return Fields(where, {"answers": values}).texts("answers")


def _pools(path: Path, part: Part, *, with_passages: bool) -> Iterator[Item]:
    name = bare_name(path).partition(".")[0]
    for at, row in enumerate(rows_of(path)):
        gold = []
        if with_passages:
            row.require("positive_ctxs")
        for pool in _POOLS:
            for each in row.objects(pool) if row.get(pool) is not None else ():
                passage = _passage(each)
                if with_passages:
                    yield passage_or_dropped(each.where, passage)
                if pool == "positive_ctxs":
                    gold.append(passage.id)
        question = Question(
            row.identifier("id") if row.get("id") is not None else f"{name}-{at}",
            row.text("question"),
            row.texts("answers"),
            tuple(dict.fromkeys(gold)),
            {"hops": 1},
        )
        yield asked_or_dropped(row.where, question, part)


def _passage(row: Fields) -> Passage:
    title = row.text_or_empty("title")
    passage = paragraph("dpr", title, row.text("text"))
    if row.get("passage_id", "psg_id") is None:
        return passage
    return Passage(row.identifier("passage_id", "psg_id"), title, row.text("text"))
