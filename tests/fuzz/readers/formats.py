"""Readers of ``memory-harness import`` and ``import-results``: published datasets, documents."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import yaml

from tests.fuzz.mutations import Files
from tests.fuzz.readers.data import CORPUS, QUESTIONS
from tests.fuzz.rule import Reader, contents, write
from tests.harness.formats.published import (
    SOURCES,
    array,
    hotpot_row,
    in_columns,
    lines,
    plain,
    tsv,
    wiki_row,
)

DOCUMENTS: Files = {
    "a.md": "---\nx: 1\n---\n# Towns\n\nArvel lies on the Osk.\n\n## Bintu\n町はレム。\n".encode(),
    "more/b.txt": b"Bintu is a town.\r\nIt lies on the Lemm river.\n" * 20,
    "questions.csv": b"question,answer,gold\nWhere is Arvel?,on the Osk,a.md\nBintu?,Lemm,b#1\n",
    "train.jsonl": lines([{"question": "Where?", "answers": ["here", "there"], "gold": None}]),
}


def _written(make: Callable[[Path], object]) -> Files:
    with tempfile.TemporaryDirectory() as place:
        make(Path(place))
        return contents(Path(place))


@cache
def _published(name: str) -> list[Files]:
    found = [_written(lambda folder: SOURCES[name](folder, plain))]
    if name == "hotpotqa":
        found.append({"dev.jsonl": lines([in_columns(hotpot_row(0)), in_columns(hotpot_row(1))])})
    if name == "2wikimultihopqa":
        row = wiki_row(0)
        texts = {k: json.dumps(row[k]) for k in ("context", "supporting_facts", "evidences")}
        found.append({"dev.jsonl": lines([row | texts])})
    return found


def _import(name: str, folder: Path) -> None:
    from harness.formats.importing import import_source
    from harness.formats.open import open_format

    out = folder.parent / "out"
    try:
        import_source(name, open_format(name, {}), folder, out)
    finally:
        _remove(out)


def _folder_table() -> list[Files]:
    rows = [["question", "answers", "gold", "id"]]
    rows += [[q["question"], str(q["golden_answers"]), f"d{n}", f"{n}"]
             for n, q in enumerate(QUESTIONS[:3])]  # fmt: skip
    corpus = lines([{"id": f"d{n}", "title": "T", "text": "x y"} for n in range(3)])
    return [
        {"questions.tsv": tsv(rows), "corpus.jsonl": corpus, "train.tsv": tsv(rows[:2])},
        {"questions.json": array(QUESTIONS), "corpus.jsonl": lines(CORPUS[:-1])},
    ]


@cache
def _flashrag() -> list[Files]:
    items = [
        {
            "id": question["id"], "question": question["question"],
            "golden_answers": question["golden_answers"],
            "output": {
                "pred": question["golden_answers"][0], "metric_score": {"em": 1.0},
                "prompt": "Ask.",
                "retrieval_result": [{"id": row["id"], "contents": row["contents"], "score": 1.5}
                                     for row in CORPUS[:2]],
            },
        }
        for question in QUESTIONS[:3]
    ]  # fmt: skip
    settings = {"seed": 3, "generator_model": "llama", "retrieval_method": "bm25",
                "retrieval_topk": 5, "gpu_id": "0", "openai_setting": {"api": None}}  # fmt: skip
    config = yaml.safe_dump(settings).encode()
    own = {"intermediate_data.json": array(items), "config.yaml": config}
    return [own, {"intermediate_data.json.gz": gzip.compress(array(items)), "config.yaml": config}]


def _results(folder: Path) -> None:
    from harness.data.card import custom_task
    from harness.data.task import load_task
    from harness.runs.flashrag_results import read_flashrag
    from harness.runs.import_results import import_results

    results = read_flashrag(folder)
    beside = folder.parent / "beside"
    write({"q.jsonl": lines(QUESTIONS[:4]), "c.jsonl": lines(CORPUS)}, beside)
    try:
        data = load_task(
            custom_task("toy"), questions=beside / "q.jsonl", corpus=beside / "c.jsonl"
        )
        import_results(results, data, beside / "runs", "theirs", partial=True)
    finally:
        _remove(beside)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


READERS = (
    *(
        Reader(f"import-{name}", partial(_published, name), partial(_import, name))
        for name in SOURCES
    ),
    Reader("import-table", _folder_table, partial(_import, "table")),
    Reader("import-texts", lambda: [DOCUMENTS], partial(_import, "texts")),
    Reader("import-results", _flashrag, _results),
)
