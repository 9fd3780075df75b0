"""Runs over dealt pools: one row of all questions, with the costs of all pools together."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness.llm.open
from harness.boards.config import parse_board
from harness.boards.whole import run_whole
from harness.cli.show import story
from harness.errors import InputError
from harness.runs.performance import Latency, Performance, Storage, Usage, Write
from leaderboards.analysis.report import Written, analyse
from leaderboards.beside import beside
from leaderboards.board import build
from leaderboards.collect import Run, collect
from leaderboards.compare import compare
from leaderboards.compare_runs import compare_runs
from leaderboards.dealt import joined
from leaderboards.dealt_costs import _latency
from leaderboards.export import export
from leaderboards.flat import records
from leaderboards.page.data import _short_title
from leaderboards.view import view
from tests.harness.lab import CountingModel, quiet, without_torch, write_task

SIZES = (2, 5, 20)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten questions over pools of 2, 5 and 20 passages: five pools, two and one."""
    place = tmp_path_factory.mktemp("dealt")
    files = write_task(place / "toy")
    task = {
        "name": "toy",
        "limit": 10,
        "pools": list(SIZES),
        "files": {key: str(files / f"{key}.jsonl") for key in ("questions", "corpus", "train")},
    }
    methods = [{"name": "bm25", "params": {"k": 2}}, {"name": "no-retrieval", "up_to": 5}]
    values = {"name": "b", "tasks": [task], "methods": methods}
    board = parse_board({**values, "latency": {"queries": 5, "warmup": 0}}, "board")
    with pytest.MonkeyPatch.context() as patched:
        without_torch(patched)
        patched.setattr(harness.llm.open, "open_model", lambda *_, **__: CountingModel())
        run_whole(board, place / "runs", quiet())
    return place / "runs"


def test_each_size_is_one_table_of_all_questions(runs: Path) -> None:
    raw = collect(runs).runs
    tables = {table.settings["task.passages"]: table for table in build(runs).tables}
    assert set(tables) == set(SIZES)
    for size, pools in zip(SIZES, (5, 2, 1), strict=True):
        table = tables[size]
        assert (table.questions, table.settings["task.questions"]) == (10, 10)
        parts = [
            run for run in raw
            if run.manifest.config.method.name == "bm25"
            and run.manifest.config.task.passages == size
        ]  # fmt: skip
        (row,) = [row for row in table.rows if row.method == "bm25"]
        assert len(parts) == pools == len(row.run_ids) == len(set(row.folders))
        assert row.f1.mean == pytest.approx(np.concatenate([p.scores["f1"] for p in parts]).mean())
        assert row.cost.latency_queries == max(5, pools if pools > 2 else 6 if pools == 2 else 5)
    assert [len(tables[size].rows) for size in SIZES] == [2, 2, 1]
    assert any("5 pools of 2 passages, each question asked in one" in c for c in tables[2].caption)
    told = "writing and seconds of indexing are sums over the pools"
    assert [any(told in c for c in tables[size].caption) for size in SIZES] == [True, True, False]
    assert tables[2].rows[0].letters  # rows are compared, question by question


def test_the_ids_of_a_joined_run_are_sorted_with_their_own_scores(runs: Path) -> None:
    found = collect(runs)
    (run,) = [
        run for run in joined(found.runs, found.unfinished)[0]
        if run.manifest.config.method.name == "bm25" and run.manifest.config.task.passages == 2
    ]  # fmt: skip
    assert list(run.question_ids) == sorted(run.question_ids) and len(run.question_ids) == 10
    alone: dict[str, float] = {}
    for part in run.parts:
        alone |= dict(zip(part.question_ids, part.scores["f1"], strict=True))
    assert [alone[id_] for id_ in run.question_ids] == run.scores["f1"].tolist()


def test_pools_whose_letters_need_no_later_revision_are_of_the_row_of_the_others(
    runs: Path,
) -> None:
    found = [r for r in collect(runs).runs if r.manifest.config.method.name == "bm25"]
    plain, *others = [run for run in found if run.manifest.config.task.passages == 2]
    (row,), left = joined([plain, *(revised(run, 2) for run in others)], [])
    assert not left and len(row.parts) == 5 and len(row.question_ids) == 10
    assert (row.manifest.config.retriever or {})["revision"] == 2
    mixed = [revised(run, 2 + place % 2) for place, run in enumerate(others)]
    whole, left = joined([plain, *mixed], [])
    assert not whole and [each.answered for each in left] == [6, 6]


def revised(run: Run, revision: int) -> Run:
    config = run.manifest.config
    retriever = {**(config.retriever or {}), "revision": revision}
    changed = config.model_copy(update={"retriever": retriever})
    return replace(run, manifest=run.manifest.model_copy(update={"config": changed}))


def test_a_size_lacking_a_pool_stands_in_no_table_and_is_told(runs: Path, tmp_path: Path) -> None:
    some = tmp_path / "runs"
    shutil.copytree(runs, some)
    lost = next(
        path for path in sorted(some.rglob("manifest.json"))
        if (c := json.loads(path.read_text())["config"])["method"]["name"] == "bm25"
        and c["task"].get("dealt", {}).get("number") == 3
    )  # fmt: skip
    shutil.rmtree(lost.parent)
    board = build(some)
    labels = {t.settings["task.passages"]: [r.method for r in t.rows] for t in board.tables}
    assert labels == {2: ["no-retrieval"], 5: ["bm25", "no-retrieval"], 20: ["bm25"]}
    notes = [*board.notes, *(note for table in board.tables for note in table.notes)]
    assert any("Not finished" in note and "8/10 answered" in note for note in notes)


def test_the_failures_of_all_pools_are_analysed(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Written, "picture", lambda *_: None)
    text = analyse(runs, tmp_path / "out")
    lines = (tmp_path / "out" / "failures.csv").read_text().splitlines()
    assert len(lines) == 1 + 3 * 10
    assert "Sizes of the corpus: 2, 5, 20 documents" in text


def test_sizes_are_told_apart_by_their_titles(runs: Path) -> None:
    board = build(runs)
    sizes = ("pools of 2", "pools of 5", "20")
    assert [table.title.split(", ")[1] for table in board.tables] == [
        f"{size} documents: smollm2-135m-instruct" for size in sizes
    ]
    shown = [_short_title(table, board) for table in board.tables]
    assert shown == [f"toy \u00b7 {size} docs" for size in sizes]
    assert "they differ in corpus_fingerprint, passages, pools." in board.tables[0].caption[0]


def test_flat_rows_and_exported_answers_name_size_and_pool(runs: Path, tmp_path: Path) -> None:
    found = {(row["documents"], row["pools"]) for row in records(view(runs))}
    assert found == {(2, 5), (5, 2), (20, None)}
    count, notes = export(runs, tmp_path / "all.csv")
    with (tmp_path / "all.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert count == len(rows) == 5 * 10 and not notes
    asked = Counter((row["label"], row["documents"], row["question_id"]) for row in rows)
    assert set(asked.values()) == {1}
    assert {row["pool"] for row in rows if row["documents"] == "2"} == {*"12345"}
    assert {row["pool"] for row in rows if row["documents"] == "20"} == {""}
    (one, *_) = (row for row in rows if (row["documents"], row["pool"]) == ("2", "3"))
    told = story(runs, one["question_id"])
    assert "toy, 2 documents 3/5 / bm25 / " in told and "toy / bm25 / " in told
    of_rows = [(row["label"], row["documents"]) for row in rows]
    assert len(list(groupby(of_rows))) == len(set(of_rows)) == 5


def test_two_rows_and_two_folders_are_paired_over_all_questions_of_a_size(runs: Path) -> None:
    lines = compare(runs, "bm25 (k=2)", "no-retrieval").splitlines()
    for line, size in zip(lines[4:], (2, 5), strict=True):
        assert f"pools of {size} documents" in line and line.split("|")[2].strip() == "10"
    places = [runs / "toy" / method for method in ("bm25", "no-retrieval")]
    text = compare_runs(*places)
    assert f"({places[0]})" in text
    assert "In A alone, so not compared: toy, 20 documents." in text
    (line,) = [x for x in text.splitlines() if x.startswith("| toy, pools of 2 documents ")]
    assert line.split("|")[2].strip() == "10"
    for cell, place in zip(line.split("|")[3:5], places, strict=True):
        parts = [r for r in collect(place).runs if r.manifest.config.task.passages == 2]
        mean = np.concatenate([part.scores["f1"] for part in parts]).mean()
        assert float(cell) == pytest.approx(100 * mean, abs=0.051)
    with pytest.raises(InputError, match=r"several runs of toy, pools of 2 documents; name one"):
        compare_runs(runs, runs)
    assert beside(runs, runs, ("a", "b")).count("## a beside b: toy, ") == len(SIZES)


def test_pools_that_are_not_all_there_are_told_by_every_reader(runs: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    shutil.copytree(runs, half)
    shutil.rmtree(half / "toy" / "no-retrieval")
    parts = {
        (task.passages, task.dealt.number if task.dealt else 0): run.folder
        for run in collect(half).runs
        if (task := run.manifest.config.task)
    }
    shutil.rmtree(parts[2, 3])
    count, notes = export(half, tmp_path / "some.csv")
    assert count == 2 * 10 and "8/10 answered" in notes[0] and "pools of 2 documents" in notes[0]
    text = compare_runs(half, runs / "toy" / "no-retrieval")
    assert "A: Not finished" in text and "| toy, pools of 5 documents |" in text
    for place in (parts[5, 1], parts[20, 0]):
        shutil.rmtree(place)
    for read in (build, lambda folder: export(folder, tmp_path / "none.csv")):
        with pytest.raises(InputError, match="no finished run, since each lacks some of its pools"):
            read(half)


def test_the_page_holds_the_questions_and_passages_of_all_pools(runs: Path) -> None:
    from leaderboards.page.data import of_tasks
    from leaderboards.page.questions import read_browsers

    browsers = list(read_browsers(of_tasks(build(runs))))
    assert [browser.head["questions"] for browser in browsers] == [10, 10, 10]
    assert [browser.head["lacking"] for browser in browsers] == ["", "", ""]


def cost(seconds: float, size: int, **more: Any) -> Performance:
    return Performance(
        write=Write(seconds=seconds, prompt_tokens=size, completion_tokens=1),
        storage=Storage(parts={"text": 10 * size, "shared parameters": 7}, documents=size),
        usage=Usage(llm_calls=float(size)),
        **more,
    )


def test_writing_and_bytes_add_up_and_usage_is_a_mean_over_questions(runs: Path) -> None:
    from dataclasses import replace

    from leaderboards.dealt_costs import joined_costs

    raw = collect(runs).runs[:2]
    parts = [
        replace(run, performance=cost(s, n), question_ids=tuple("abcd"[:k]))
        for run, s, n, k in zip(raw, (2.0, 3.0), (4, 6), (3, 1), strict=True)
    ]
    found = joined_costs(parts, raw[0].manifest.hardware)
    assert found.write and (found.write.seconds, found.write.prompt_tokens) == (5.0, 10)
    assert found.write.llm_calls is None
    assert found.storage and found.storage.documents == 10
    assert found.storage.parts == {"text": 100, "shared parameters": 7}
    assert found.usage and found.usage.llm_calls == pytest.approx((3 * 4 + 1 * 6) / 4)
    elsewhere = raw[0].manifest.hardware.model_copy(update={"device": "other"})
    assert joined_costs(parts, elsewhere).write is None


def test_further_passes_stay_beside_the_queries_that_they_timed() -> None:
    one = Latency(seconds=[1.0, 2.0, 3.0], again=[[1.5]], question_ids=["a", "b", "c"])
    two = Latency(seconds=[4.0, 5.0], first_token=[0.4, None], question_ids=["d", "e"])
    three = Latency(seconds=[6.0], again=[[6.0], [9.0]], question_ids=["f"])
    found = _latency([one, two, three])
    assert found is not None
    assert found.question_ids == ["a", "f", "b", "c", "d", "e"]
    assert found.seconds == [1.0, 6.0, 2.0, 3.0, 4.0, 5.0]
    assert found.first_token == [None, None, None, None, 0.4, None]
    assert found.again == [[1.5, 6.0], [None, 9.0]]
    assert found.spreads == [0.5, 0.5]
