"""All predictions of a folder of runs as one table, CSV or Parquet: a row an answer, flat cells."""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from harness.errors import ConfigError, InputError
from harness.escape import csv_text, utf8
from harness.files import atomic_file, check_writable, writing
from harness.runs.predictions import read_ids, read_predictions, tells_read
from leaderboards.collect import Golds, Run
from leaderboards.dealt import read_runs
from leaderboards.labels import identity, row_labels
from leaderboards.unfinished import unfinished_note

SEPARATOR = " | "
"""Between the values of a list in a CSV cell, in which a bar is written ``\\|``."""

_RUN = {
    "task": "text", "split": "text", "model": "text", "method": "text", "label": "text",
    "seed": "whole", "run_id": "text", "oracle": "yes or no", "external": "text",
    "documents": "whole", "pool": "whole",
}  # fmt: skip
_QUESTION = {
    "question_id": "text", "question": "text", "golden_answers": "list", "gold_doc_ids": "list",
    "answer": "text",
}  # fmt: skip
_ANSWER = {
    "retrieved_ids": "list", "read_ids": "list", "llm_calls": "whole", "retrievals": "whole",
    "prompt_tokens": "whole", "completion_tokens": "whole", "error": "text",
}  # fmt: skip
_FIRST = ("em", "f1", "contains")
_ROWS = 1_000

Columns = Mapping[str, str]
Row = Mapping[str, Any]
Write = Callable[[BinaryIO, Columns, Iterable[Row]], int]


def export(runs_dir: Path, out: Path) -> tuple[int, list[str]]:
    """Write every answer of the finished runs below ``runs_dir``; the count, and what to know.

    Answers over dealt pools follow each other, those of a size once all of its pools are there.
    Texts pass through one at a time: memory holds scores and ids. Raises ConfigError for a name
    that ends in neither .csv nor .parquet, InputError if no run is left or the gold is missing.
    """
    writer = _WRITERS.get(out.suffix.lower())
    if writer is None:
        raise ConfigError(f"-o {out}: name a file that ends in {' or '.join(_WRITERS)}")
    check_writable(out.parent)
    runs, unfinished, notes = read_runs(runs_dir)
    # As the leaderboard names them.
    labels = row_labels([*(run.manifest for run in runs), *(u.manifest for u in unfinished)])
    notes += [unfinished_note(u, labels[identity(u.manifest)], task=True) for u in unfinished]
    lost = sum(len(run.unanswered) for run in runs)
    notes += [f"Questions left unanswered by a server, so without a row: {lost:,}"] if lost else []
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(out) as file:
        return writer(file, _columns(runs), _rows(runs, labels)), notes


def _columns(runs: Sequence[Run]) -> dict[str, str]:
    metrics = sorted({name for run in runs for name in run.scores} - {*_FIRST})
    return {**_RUN, **_QUESTION, **dict.fromkeys([*_FIRST, *metrics], "number"), **_ANSWER}


def _rows(runs: Iterable[Run], labels: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    golds = Golds()
    for run, part in ((one, part) for one in runs for part in one.on_disk):
        gold = golds.of(part.folder, part.manifest)
        if gold is None:
            raise InputError(
                f"{part.folder}: the gold of its questions is missing; run the same board again"
            )
        whole = _of_run(part, labels[identity(run.manifest)])
        for _, row in read_predictions(part.folder / "predictions.jsonl"):
            id_ = row["question_id"]
            yield whole | _of_question(gold[id_]) | _scores(run, id_) | _of_answer(row)


def _of_run(run: Run, label: str) -> dict[str, Any]:
    config, external = run.manifest.config, run.manifest.external
    return {
        "task": config.task.name,
        "split": config.task.split,
        "model": config.model.called,
        "method": config.method.name,
        "label": label,
        "seed": config.seed,
        "run_id": run.manifest.run_id,
        "oracle": run.manifest.method_card.oracle,
        "external": external.source if external else None,
        "documents": config.task.passages,
        "pool": config.task.dealt.number if config.task.dealt else None,
    }


def _of_question(gold: Row) -> dict[str, Any]:
    return {
        "question": gold["question"],
        "golden_answers": gold["golden_answers"],
        "gold_doc_ids": gold["gold_doc_ids"],
    }


def _scores(run: Run, question_id: str) -> dict[str, float | None]:
    place = bisect_left(run.question_ids, question_id)
    found = {name: float(values[place]) for name, values in run.scores.items()}
    return {name: None if np.isnan(value) else value for name, value in found.items()}


def _of_answer(row: Row) -> dict[str, Any]:
    used = row["usage"]
    counts = ("llm_calls", "retrievals", "prompt_tokens", "completion_tokens")
    return {
        "question_id": row["question_id"],
        "answer": row["answer"],
        "retrieved_ids": row["retrieved_ids"],
        "read_ids": read_ids(row) if tells_read(row) else None,
        **{name: used.get(name) for name in counts},
        "error": row.get("error"),
    }


def _write_csv(file: BinaryIO, columns: Columns, rows: Iterable[Row]) -> int:
    count = 0
    text = TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    for count, row in enumerate(rows, start=1):  # noqa: B007
        table.writerow([_cell(row.get(name)) for name in columns])
    text.detach()
    return count


def _cell(value: Any) -> Any:
    """Text on one line that no spreadsheet takes for a formula; None is empty."""
    if isinstance(value, list):
        value = SEPARATOR.join(each.replace("\\", "\\\\").replace("|", "\\|") for each in value)
    return csv_text(utf8(value)) if isinstance(value, str) else value


def _write_parquet(file: BinaryIO, columns: Columns, rows: Iterable[Row]) -> int:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    kinds = {
        "text": pa.string(), "list": pa.list_(pa.string()), "whole": pa.int64(),
        "number": pa.float64(), "yes or no": pa.bool_(),
    }  # fmt: skip
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    count = 0
    with ParquetWriter(file, schema, compression="zstd") as table:
        left = iter(rows)
        while some := list(islice(left, _ROWS)):
            texts = [{name: _utf8(row.get(name)) for name in columns} for row in some]
            table.write_table(pa.Table.from_pylist(texts, schema))
            count += len(some)
    return count


def _utf8(value: Any) -> Any:
    if isinstance(value, list):
        return list(map(utf8, value))
    return utf8(value) if isinstance(value, str) else value


_WRITERS: dict[str, Write] = {".csv": _write_csv, ".parquet": _write_parquet}
