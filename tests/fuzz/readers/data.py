"""Readers of a task's data: questions, train, corpora, packed or not, Parquet, tasks of lm-eval."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import zstandard

from tests.fuzz.mutations import Files
from tests.fuzz.rule import Reader, contents, each, write
from tests.harness.formats.published import RIVERS, asked, lines, text_of, tsv

CORPUS: list[dict[str, Any]] = [
    {"id": f"d{n}", "contents": f'"{town}"\n{text_of(town)}'} for n, town in enumerate(RIVERS)
] + [{"id": 9, "title": "Nine", "text": "A number."}]
QUESTIONS: list[dict[str, Any]] = [
    {"id": f"q{n}", "question": asked(town), "golden_answers": [river, f"the {river}"],
     "metadata": {"gold_doc_ids": [f"d{n}"], "hops": 1}}
    for n, (town, river) in enumerate(RIVERS.items())
]  # fmt: skip
TASK = {
    "task": "toy_rivers",
    "dataset_path": "json",
    "test_split": "test",
    "output_type": "generate_until",
    "doc_to_text": "Q: {{question}}\nA:",
    "doc_to_target": "{{golden_answers[0]}}",
    "generation_kwargs": {"until": ["\n"]},
    "metadata": {"version": 1},
}


@cache
def _plain() -> list[Files]:
    asked_, shown = QUESTIONS[:3], [{**row, "id": f"t{n}"} for n, row in enumerate(QUESTIONS[4:6])]
    files = {
        "questions.jsonl": lines(asked_),
        "corpus.jsonl": lines(CORPUS),
        "train.jsonl": lines(shown),
    }
    windows = {name: b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n") for name, data in files.items()}
    return [files, windows]


def _load(folder: Path) -> None:
    from harness.data.card import custom_task
    from harness.data.corpus import Corpus
    from harness.data.questions import read_questions
    from harness.data.task import load_task

    paths: dict[str, Any] = {n: folder / f"{n}.jsonl" for n in ("questions", "corpus", "train")}

    def corpus() -> None:
        opened = Corpus.open(paths["corpus"])
        assert [opened.get(id_).id for id_ in opened.ids] == [p.id for p in opened]

    each(
        lambda: read_questions(paths["questions"]),
        lambda: read_questions(paths["train"]),
        corpus,
        lambda: load_task(custom_task("toy"), **paths, limit=2, documents=4),
    )


@cache
def _packed() -> list[Files]:
    data = lines(CORPUS)
    made = (gzip.compress(data), zstandard.compress(data), bz2.compress(data), lzma.compress(data))
    twice = gzip.compress(data[:300]) + gzip.compress(data[300:])
    return [{"corpus.jsonl": packed} for packed in (*made, twice)]


def _unpack(folder: Path) -> None:
    from harness.data.corpus import Corpus
    from harness.formats.rows import rows

    path = folder / "corpus.jsonl"
    each(lambda: list(Corpus.open(path)), lambda: list(rows(path)))


@cache
def _parquet() -> list[Files]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = []
    for rows in (CORPUS[:-1], QUESTIONS):
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), out)
        found.append({"corpus.parquet": out.getvalue()})
    return found


def _read_parquet(folder: Path) -> None:
    from harness.data.corpus import Corpus
    from harness.formats.rows import rows

    path = folder / "corpus.parquet"
    each(lambda: list(rows(path)), lambda: Corpus.open(path))


@cache
def _tables() -> list[Files]:
    pairs = [[asked(town), river, text_of(town)] for town, river in RIVERS.items()]
    header = ["question", "answer", "context"]
    listed = [{"question": q, "answers": str([a, "x"]), "text": t, "id": 7.0} for q, a, t in pairs]
    excel = b"sep=;\n" + tsv([header, *pairs]).replace(b"\t", b";")
    return [
        {"table": tsv([header, *pairs])},
        {"table": excel},
        {"table": lines(listed)},
        {"table": json.dumps(listed).encode()},
    ]


def _table(folder: Path) -> None:
    from harness.formats.importing import import_source
    from harness.formats.open import open_format

    import_source("table", open_format("table", {}), folder / "table", folder.parent / "out")


def _lm_eval(folder: Path) -> None:
    """The file of a task; its documents, which the library datasets reads, are sound."""
    from harness.boards.task_entry import TaskFiles, load_task_data
    from harness.llm.powers import ALLOWED, REMOTE_CODE

    beside = folder.parent / "beside"
    docs = lines([{**row, "metadata": 1} for row in QUESTIONS[:2]])
    card = contents(folder).get("task.yaml", b"")
    write({"docs.json": docs, "task.yaml": card.replace(b"HERE", str(beside).encode())}, beside)
    os.environ[ALLOWED] = REMOTE_CODE
    try:
        files = TaskFiles(corpus=folder / "corpus.jsonl")
        load_task_data(f"lm-eval:{beside}/task.yaml", "sample", None, files)
    finally:
        del os.environ[ALLOWED]
        shutil.rmtree(beside)


@cache
def _lm_eval_tasks() -> list[Files]:
    import yaml

    more = {"dataset_kwargs": {"data_files": {"test": "HERE/docs.json"}}}
    return [{"task.yaml": yaml.safe_dump({**TASK, **more}).encode(), "corpus.jsonl": lines(CORPUS)}]


READERS = (
    Reader("data", _plain, _load),
    Reader("packed", _packed, _unpack),
    Reader("parquet", _parquet, _read_parquet, share=0.5),
    Reader("tables", _tables, _table),
    Reader("lm-eval-task", _lm_eval_tasks, _lm_eval, share=0.1),
)
