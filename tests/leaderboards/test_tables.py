"""What a table shows: columns by name, order, short names, width; and how a file is chosen."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from harness.errors import ConfigError
from leaderboards import commands
from leaderboards.columns import find_columns
from leaderboards.compare import compare
from leaderboards.frame import leaderboard
from leaderboards.labels import Labelled, Name, find_label, short_names
from leaderboards.table import render
from leaderboards.view import view
from leaderboards.writers import chosen_format, write
from leaderboards.writers.grid import WIDTH, width
from tests.harness.conftest import CommandLine
from tests.leaderboards.conftest import HARDWARE, performance, score_lines

QUICKSTART: dict[str, dict[str, Any]] = {
    "adaptive-rag": {
        "bias_questions": 50, "max_passages": 10, "max_steps": 4, "silver_questions": 4,
    },
    "self-rag-prompted": {"k": 3}, "ircot": {"max_passages": 10, "max_steps": 4},
    "standard-rag": {}, "bm25": {}, "no-retrieval": {}, "parametric-qa": {}, "corag-prompted": {},
}  # fmt: skip


def cells(text: str, heading: str) -> list[str]:
    """One column of the first table that has it."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    start = next(place for place, row in enumerate(table) if heading in row)
    found = []
    for row in table[start + 2 :]:
        if len(row) != len(table[start]) or row[0].startswith("Method"):
            break
        found.append(row[table[start].index(heading)])
    return found


def test_no_line_of_a_board_of_eight_methods_is_wider_than_a_terminal(
    runs: Path, write_run
) -> None:
    for task, gold in (("nq", 1), ("hotpotqa", 2)):
        for place, (method, params) in enumerate(QUICKSTART.items()):
            costs = performance(0.02 * 3**place, 40)
            write_run(method, task, params=params, gold=gold, skill=place / 20, costs=costs)
    shown = view(runs)
    text = write(shown, "markdown").decode()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) > 3 * 10
    assert max(map(width, lines)) <= WIDTH == 120
    for heading in ("EM", "F1 [95% CI]", "Recall@5", "Latency", "Tokens/q", "MB/1k docs"):
        assert len(cells(text, heading)) == 8
    (name,) = [name for name in cells(text, "Method") if "adaptive" in name]
    assert name.replace("**", "") == "adaptive-rag \u00b3"  # the third of the rows with a footnote
    full = "adaptive-rag (bias_questions=50, max_passages=10, max_steps=4, silver_questions=4)"
    assert text.count(f"- \u00b3 {full}") == 3
    wide = write(replace(shown, columns=("all",)), "markdown").decode()
    assert max(map(width, wide.splitlines())) > WIDTH
    assert "Memory peak" in wide and "Memory peak" not in text
    for name in ("memory", "throughput", "all_gold"):
        assert name in text.partition("More columns")[2]


def names(*rows: tuple[str, dict[str, Any]]) -> list[str]:
    labels = [
        f"{method} ({', '.join(f'{k}={v}' for k, v in sorted(params.items()))})"
        if params
        else method
        for method, params in rows
    ]
    found = short_names(
        Labelled(label, method, params)
        for label, (method, params) in zip(labels, rows, strict=True)
    )
    return [found[label].text for label in labels]


def test_variants_of_a_method_are_told_apart_by_what_differs() -> None:
    assert names(("bm25", {}), ("bm25", {"k": 10})) == ["bm25", "bm25 (k=10)"]
    same = {"max_passages": 10, "reader": "none"}
    assert names(("ircot", same | {"max_steps": 3}), ("ircot", same | {"max_steps": 4})) == [
        "ircot (max_steps=3) \u00b9", "ircot (max_steps=4) \u00b2"
    ]  # fmt: skip
    assert names(("self-rag-prompted", {"k": 3})) == ["self-rag-prompted \u00b9"]
    assert names(("self-rag-prompted", {"k": 3}), ("self-rag-prompted", {"k": 5})) == [
        "self-rag-prompted (k=3)", "self-rag-prompted (k=5)"
    ]  # fmt: skip
    long = [{"retriever": f"faiss:/a/long/path/{name}@encoder"} for name in "xy"]
    assert names(("bm25", long[0]), ("bm25", long[1])) == ["bm25 \u00b9", "bm25 \u00b2"]
    grid = [{"a": a, "b": b} for a in (1, 2) for b in (1, 2)]
    assert names(*(("m", params) for params in grid)) == [
        f"m (a={a}, b={b})" for a in (1, 2) for b in (1, 2)
    ]
    (long_name,) = names(("x" * 80, {}))
    assert len(long_name) <= 30


def test_a_row_is_found_by_its_full_and_by_its_short_name(runs: Path, write_run) -> None:
    known = {
        "ircot (a=1, long=yes)": Name("ircot", 1, "ircot (a=1, long=yes)"),
        "ircot (a=2, long=yes)": Name("ircot", 2, "ircot (a=2, long=yes)"),
        "rag (a=1)": Name("rag", 3, "rag (a=1)"),
    }
    for given, meant in {
        "ircot (a=1, long=yes)": 0, "rag": 2, "rag \u00b3": 2, "rag 1": 2, "RAG 3 \u2020oracle": 2,
    }.items():  # fmt: skip
        assert find_label(given, known) == list(known)[meant]
    for given in (
        "ircot",
        "ircot 2",
        "ircot \u00b2",
    ):  # numbers are a table's, and change by sorting
        assert find_label(given, known) is None
    write_run("adaptive-rag", params=QUICKSTART["adaptive-rag"])
    write_run("bm25", skill=0.1)
    full = next(row.label for row in view(runs).board.tables[0].rows if row.params)
    by_full = compare(runs, "bm25", full)
    assert (
        compare(runs, "bm25", "adaptive-rag") == compare(runs, "bm25", "adaptive-rag 1") == by_full
    )


def test_columns_are_chosen_by_name(runs: Path, write_run) -> None:
    write_run(costs=performance(0.1, 40))
    header = next(x for x in render(runs, columns=["latency", "em"]).splitlines() if x[:1] == "|")
    assert [cell.strip() for cell in header.strip("|").split("|")] == [
        "Method", "Latency p50 / p90", "EM [95% CI]"
    ]  # fmt: skip
    with pytest.raises(
        ConfigError, match=r"no column is called 'latencyy'; did you mean 'latency'"
    ):
        render(runs, columns=["latencyy"])
    with pytest.raises(ConfigError, match="JSON holds everything"):
        render(runs, "json", columns=["em"])
    lines = render(runs, "csv", columns=["em"]).splitlines()
    assert "em_low" in lines[0] and "f1" not in lines[0]


def test_the_help_names_every_column() -> None:
    text = " ".join((commands.leaderboard.__doc__ or "").split())
    told = text.partition("Columns: ")[2].partition(", and any other score")[0]
    assert told.split(", ") == list(find_columns())


def test_rows_are_sorted_best_first(runs: Path, write_run) -> None:
    for method, seconds in (("slow", 2.0), ("fast", 0.1), ("middle", 1.0)):
        write_run(method, costs=performance(seconds, 40), skill=seconds / 10)
    write_run("untimed", skill=0.3)
    for column, order in {
        "latency": ["fast", "middle", "slow", "untimed"],
        "throughput": ["fast", "middle", "slow", "untimed"],
        "f1": ["untimed", "slow", "middle", "fast"],
        "method": ["fast", "middle", "slow", "untimed"],
    }.items():
        shown = view(runs, sort=column)
        assert [row.label for row in shown.board.tables[0].rows] == order, column
    with pytest.raises(ConfigError, match="no column is called 'speed'"):
        view(runs, sort="speed")


def test_tables_are_grouped_by_task_or_model(runs: Path, write_run) -> None:
    for task in ("nq", "hotpotqa"):
        for model in ("small", "large"):
            write_run("a", task, model_config={"name": model})
    by_task = view(runs, group="task")
    assert list(by_task.sections) == ["Mean over hotpotqa, nq", "hotpotqa", "nq"]
    assert all(len(tables) == 2 for tables in by_task.sections.values())
    by_model = view(runs, group="model")
    assert {name: len(tables) for name, tables in by_model.sections.items()} == {
        "large": 3, "small": 3
    }  # fmt: skip
    text = write(by_model, "markdown").decode()
    assert "\n## large\n" in text and "\n### nq (sample): large\n" in text
    with pytest.raises(ConfigError, match="--group tasks: no such grouping; did you mean 'task'"):
        view(runs, group="tasks")


def test_only_timings_of_the_tables_hardware_are_in_any_format(runs: Path, write_run) -> None:
    """And a mean over tasks, whose tables may be of several machines, has none."""
    costs = performance(0.123, 40)
    costs["cold_start"] = {"model": 4.5, "index": 0.5, "memory": 0.5}
    costs["index"] = {"seconds": 6.5, "cached": False}
    costs["write"] = {"seconds": 7.5}
    costs["prefix"] = {"positions": 9, "bytes": 99, "seconds": 0.5, "first_token": [0.2]}
    costs["latency"] |= {"first_token": [0.01] * 11, "again": [[0.1] * 11]}
    there = HARDWARE | {"fingerprint": "other"}
    for task in ("nq", "hotpotqa"):
        for method in ("a", "b"):
            write_run(method, task, costs=costs)
        write_run("far", task, costs=costs, hardware=there)
    frame = leaderboard(runs, 5)
    timed = [
        name for name in frame.columns
        if name.endswith(("_seconds", "_per_second", "_noise_share", "memory_peak_bytes"))
    ]  # fmt: skip
    assert len(timed) == 12
    at_home = (frame["table"] == "task") & (frame["row"] != "far")
    assert frame.loc[at_home, timed].notna().all().all()
    assert frame.loc[~at_home, timed].isna().all().all()
    table = pq.read_table(io.BytesIO(write(view(runs), "parquet"))).to_pandas()
    assert (table[timed].notna() == frame[timed].notna()).all().all()
    for row in (row for t in json.loads(render(runs, "json"))["tables"] for row in t["rows"]):
        is_far = "ttft_p50" not in row["cost"] or row["cost"]["ttft_p50"] is None
        assert (
            is_far == (row["cost"]["latency_p50"] is None) == (row["cost"]["index_seconds"] is None)
        )
    for form in ("markdown", "latex"):
        names_of_timed = [
            "latency",
            "noise",
            "ttft",
            "prefix",
            "throughput",
            "cold_start",
            "index",
            "write",
        ]
        text = write(view(runs, columns=names_of_timed), form).decode()
        dash = "---" if form == "latex" else "\u2014"
        for line in (line for line in text.splitlines() if "far" in line and " & " in line):
            assert not set("0123456789") & set(line.partition("&")[2])
        for line in (line for line in text.splitlines() if line.startswith("| far")):
            assert line.count(dash) == 7


def test_costs_and_comparisons_have_columns(runs: Path, write_run) -> None:
    costs = performance(0.1, 40)
    costs["latency"] |= {"first_token": [0.01] * 7 + [None] * 4}
    costs["index"] = {"seconds": 6.5, "cached": False}
    write_run("good", skill=0.3, costs=costs)
    write_run("bad", skill=-0.3)
    text = render(runs, columns=["ttft", "index", "parts", "ranks", "letters", "p"])
    assert cells(text, "First token p50 / p90") == ["10 / 10 ms (of 7)", "\u2014"]
    assert cells(text, "Index build") == ["6.5 s", "\u2014"]
    assert cells(text, "Storage by part") == ["sparse index 0.3, text 0.4", "\u2014"]
    assert cells(text, "Rank") == ["1", "2"]
    assert cells(text, "Letters") == ["a", "b"]
    frame = leaderboard(runs, 5).set_index("row")
    assert frame.loc["good", "storage_text_mb_per_1000_documents"] == pytest.approx(0.4)
    assert np.isnan(frame.loc["bad", "storage_text_mb_per_1000_documents"])


def test_failures_are_told_by_kind(runs: Path, write_run) -> None:
    lines = score_lines(40, 0.0, 0, 1)
    for line in lines[:3]:
        line["error"] = True
    kinds = {"ServerError": 2, "ValueError": 1}
    folder = write_run(lines=lines)
    stamp = json.loads((folder / "scores.json").read_text())
    (folder / "scores.json").write_text(json.dumps(stamp | {"failures": kinds}))
    note = "bm25: 3 failed and count as wrong: ServerError 2, ValueError 1."
    assert note in view(runs).board.tables[0].notes and f"- {note}" in render(runs)
    (row,) = leaderboard(runs, 5).to_dict("records")
    assert (row["errors"], row["failed_ServerError"], row["failed_ValueError"]) == (3, 2, 1)


def test_failures_that_were_the_machines_are_told_as_such(runs: Path, write_run) -> None:
    lines = score_lines(40, 0.0, 0, 1)
    lines[0]["error"] = True
    folder = write_run(lines=lines)
    stamp = json.loads((folder / "scores.json").read_text())
    failures = {"failures": {"OutOfMemoryError": 1}}
    (folder / "scores.json").write_text(json.dumps(stamp | failures))
    (note,) = [line for line in view(runs).board.tables[0].notes if "failed" in line]
    assert "no fault of the method: run again with --retry-errors." in note


def test_flat_files_hold_one_value_a_cell_and_their_settings_beside(
    cli: CommandLine, example: Path, tmp_path: Path
) -> None:
    for name in ("board.csv", "board.parquet"):
        done = cli("leaderboard", example, "-o", tmp_path / "new" / name)
        assert (done.code, done.out) == (0, "")
        beside = json.loads((tmp_path / "new" / "board.settings.json").read_text())
        assert "board.settings.json" in done.err
    table = pq.read_table(tmp_path / "new" / "board.parquet")
    assert not [str(kind) for kind in table.schema.types if str(kind) not in KINDS]
    for row in table.to_pylist():
        assert not [value for value in row.values() if str(value).startswith(("{", "["))]
        own = beside["rows"][row["row_id"]]
        assert own["row"] == row["row"] and len(own["seeds"]) == row["seeds"]
        assert beside["settings"][row["settings_id"]]["model.name"] == row["model"]
    assert len(beside["rows"]) == table.num_rows
    frame = leaderboard(example, 5)
    assert list(frame.columns) == table.column_names
    assert frame.attrs == beside


KINDS = {"double", "int64", "bool", "string"}


def test_the_format_follows_the_name_of_the_file() -> None:
    for name, format in {
        "a.md": "markdown", "a.CSV": "csv", "a.tex": "latex", "a.json": "json",
        "a.parquet": "parquet", "a.html": "html", "board": "markdown",
    }.items():  # fmt: skip
        assert chosen_format(None, Path(name)) == format
    assert chosen_format("csv", Path("a.md")) == "csv"
    assert chosen_format(None, None) == "markdown"
    with pytest.raises(ConfigError, match=r"a.xlsx: no format has the ending '.xlsx' .*--format"):
        chosen_format(None, Path("a.xlsx"))
    with pytest.raises(ConfigError, match="--format parquet: .* add --output FILE"):
        chosen_format("parquet", None)
