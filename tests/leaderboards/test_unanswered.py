"""What a server did, on the board: questions, retries, refusals; what looks broken."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import ConfigError, InputError
from harness.metrics.statistics import paired_randomisation_test
from leaderboards.analysis.report import analyse
from leaderboards.board import Table, read_groups
from leaderboards.columns import find_columns
from leaderboards.compare import compare
from leaderboards.table import build, render
from tests.leaderboards.conftest import performance, score_lines

REFUSED = {"adapted": ["seed", "stop", "temperature 0 as 0.01"]}


def cells(table: Table, name: str) -> dict[str, str]:
    column = find_columns(table.rows, table.k)[name]
    return {row.label: column.text(row) for row in table.rows}


def headings(runs: Path) -> list[str]:
    text = render(runs, columns=["all"])
    line = next(line for line in text.splitlines() if line.startswith("| Method"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def mean(skill: float, without: set[str]) -> float:
    lines = score_lines(40, skill, 0, 1)
    return float(np.mean([x["f1"] for x in lines if x["question_id"] not in without]))


def test_all_rows_stand_on_the_questions_that_each_answered(runs: Path, write_run) -> None:
    lost = {"q0003", "q0011", "q0020"}
    write_run("a", skill=0.1)
    write_run("b", unanswered=["q0003", "q0011"])
    write_run("c", skill=-0.1, unanswered=["q0020"])
    [table] = build(runs).tables
    assert table.questions == 37
    for row, skill in zip(table.rows, (0.1, 0.0, -0.1), strict=True):
        assert row.f1.mean == pytest.approx(mean(skill, lost))
    assert cells(table, "unanswered") == {"a": "0", "b": "2", "c": "1"}
    (line,) = [line for line in table.caption if line.startswith("Incomplete")]
    assert "3 of 40 questions are left out of every row" in line
    assert "(b 2, c 1). Running the same board again asks them again." in line
    kept = [x for x in range(40) if f"q{x:04d}" not in lost]
    pair = [np.array([score_lines(40, skill, 0, 1)[x]["f1"] for x in kept]) for skill in (0.1, 0.0)]
    p = f"{paired_randomisation_test(*pair):.4f}"
    assert p in compare(runs, "a", "b") and "| 37 |" in compare(runs, "a", "b").replace("  ", " ")


def test_a_run_that_would_take_too_many_questions_is_left_out(runs: Path, write_run) -> None:
    write_run("a")
    write_run("b", unanswered=["q0001", "q0002", "q0003", "q0004"])  # a tenth
    write_run("c", unanswered=["q0009"])
    [table] = build(runs).tables
    assert [row.label for row in table.rows] == ["a", "c"]
    assert table.questions == 39
    assert table.notes == (
        "Not finished, so left out: b, seed 0, incomplete: 36/40 answered, the others left "
        "unanswered by the model's server; running the same board again asks them again.",
    )


def test_a_whole_run_is_never_left_out_and_a_tenth_may_be(runs: Path, write_run) -> None:
    write_run("a")
    write_run("b", unanswered=["q0001", "q0002", "q0003", "q0004"])
    [table] = build(runs).tables
    assert [row.label for row in table.rows] == ["a", "b"]
    assert table.questions == 36


def test_a_board_of_broken_runs_alone_says_so(runs: Path, write_run, tmp_path: Path) -> None:
    write_run("b", unanswered=[f"q{n:04d}" for n in range(20)])
    board = build(runs)
    assert board.tables == ()
    (note,) = board.notes
    start = "Not finished, so left out: b on nq with smollm2-135m, seed 0, incomplete: 20/40 answ"
    assert note.startswith(start)
    assert note in render(runs, "markdown")
    assert len(render(runs, "csv").splitlines()) == 1
    assert json.loads(render(runs, "json"))["tables"] == []
    assert note in analyse(runs, tmp_path / "analysis")
    with pytest.raises(ConfigError, match="no row is called 'b'"):
        compare(runs, "b", "b")


def test_growing_corpora_are_compared_over_the_same_questions(runs: Path, write_run) -> None:
    for size, lost in ((100, ["q0001"]), (1000, ["q0002"]), (5000, [])):
        task = {"passages": size, "corpus_fingerprint": f"{size}c" * 20}
        write_run("bm25", unanswered=lost, task_config=task)
    groups, _ = read_groups(runs, across_corpora=True)
    assert {group.runs[0].question_ids for group in groups} == {
        tuple(f"q{n:04d}" for n in range(40) if n not in (1, 2))
    }
    assert sorted(table.questions for table in build(runs).tables) == [39, 39, 40]


def test_an_analysis_stands_on_the_same_questions_and_says_so(
    runs: Path, write_run, write_gold, tmp_path: Path
) -> None:
    from tests.leaderboards.conftest import prediction

    ids = [f"q{n:04d}" for n in range(40)]
    write_gold({id_: ["d1"] for id_ in ids})
    write_run("a", predictions=[prediction(id_, ["d1"]) for id_ in ids])
    answered = [prediction(id_, ["d1"]) for id_ in ids if id_ != "q0007"]
    write_run("b", predictions=answered, unanswered=["q0007"])
    summary = analyse(runs, tmp_path / "analysis")
    assert "1 of 40 questions are left out of every row" in summary
    lines = list(csv.DictReader((tmp_path / "analysis" / "failures.csv").open()))
    assert len(lines) == 2 * 39


def test_unanswered_questions_that_do_not_fit_the_scores(runs: Path, write_run) -> None:
    folder = write_run("b", unanswered=["q0001"])
    (folder / "unanswered.jsonl").write_text('{"question_id": "q0002", "reason": "503"}\n')
    with pytest.raises(InputError, match="questions scored"):
        build(runs)
    (folder / "unanswered.jsonl").write_text("{")
    with pytest.raises(InputError, match=r"unanswered.jsonl: damaged .* run the same board again"):
        build(runs)


def test_retries_are_shown_where_there_are_any(runs: Path, write_run) -> None:
    write_run("a", costs=performance(0.1, 40))
    assert "Retries" not in headings(runs)
    for seed in range(2):
        write_run("b", seed=seed, costs=performance(0.1, 40) | {"retries": 7})
    [table] = build(runs).tables
    assert cells(table, "retries") == {"a": "0", "b": "14"}
    assert any(line.startswith("Retries: ") for line in table.caption)
    lines = list(csv.DictReader(render(runs, "csv").splitlines()))
    assert {line["row"]: line["retries"] for line in lines} == {"a": "0", "b": "14"}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (REFUSED, "no seed (not seeded); no stop; temperature 0 as 0.01."),
        ({"adapted": ["seed"]}, "no seed (not seeded); no stop in a; temperature 0 as 0.01 in a."),
        ({}, "no seed (not seeded) in a; no stop in a; temperature 0 as 0.01 in a."),
    ],
)
def test_what_a_server_refused_is_named(runs: Path, write_run, other, said: str) -> None:
    for task in ("nq", "hotpotqa"):
        write_run("a", task, manifest={"model_provenance": REFUSED})
        write_run("b", task, manifest={"model_provenance": other})
    for table in build(runs).tables:
        assert f"Adapted to what the model's server takes: {said}" in table.caption


def usage(**values: Any) -> dict[str, Any]:
    return {"usage": performance(0.1, 40)["usage"] | values}


def test_replies_that_are_empty_or_cut_off_are_told_aloud(runs: Path, write_run) -> None:
    write_run("a", costs=usage(empty=0.05, cut_off=0.099))
    [table] = build(runs).tables
    assert not {"Empty", "Cut off"} & set(headings(runs))
    assert not [line for line in table.caption if line.startswith("Caution")]
    write_run("b", costs=usage(empty=0.1, cut_off=0.873))
    write_run("old", costs=performance(0.1, 40) | {"usage": {"llm_calls": 1.0}})
    [table] = build(runs).tables
    assert cells(table, "empty") == {"a": "5.0", "b": "10.0", "old": "\u2014"}
    assert cells(table, "cut_off") == {"a": "9.9", "b": "87.3", "old": "\u2014"}
    (line,) = [line for line in table.caption if line.startswith("Caution")]
    assert line == (
        "Caution, b: 10 % got an empty reply or have an empty answer; 87 % have a last reply that "
        "the token limit cut off."
    )


def test_many_errors_are_told_aloud(runs: Path, write_run) -> None:
    lines = score_lines(40, 0.0, 0, 1)
    for line in lines[:4]:
        line["error"] = True
    write_run("a", lines=lines)
    [table] = build(runs).tables
    assert "Caution, a: 10 % of the questions failed and count as wrong." in table.caption


def test_passages_that_did_not_reach_the_reader_are_a_column(runs: Path, write_run) -> None:
    write_run("bm25", costs=usage(passages_dropped=5.0, passages_cut=0.0))
    write_run("ircot", costs=usage(passages_dropped=0.0, passages_cut=1.25))
    old = performance(0.1, 40)["usage"]
    del old["passages_cut"]
    write_run("old", costs={"usage": old})
    [table] = build(runs).tables
    assert cells(table, "dropped") == {
        "bm25": "5 / 0", "ircot": "0 / 1.25", "old": "0.25 / 0"
    }  # fmt: skip
    lines = list(csv.DictReader(render(runs, "csv").splitlines()))
    found = {
        x["row"]: (x["passages_dropped_per_question"], x["passages_cut_per_question"])
        for x in lines
    }
    assert found["bm25"] == ("5.0", "0.0")
    assert found["ircot"] == ("0.0", "1.25")


def test_no_such_column_where_nothing_is_read(runs: Path, write_run) -> None:
    write_run("no-retrieval", gold=0, costs=usage(retrievals=0.0))
    assert "Passages dropped / cut per q" not in headings(runs)


@pytest.mark.parametrize(
    ("prompt", "completion"), [(None, None), (612.5, None), (0.0, 0.0), (0.0, 3.0)]
)
def test_token_counts_that_nobody_knows_are_not_zero(
    runs: Path, write_run, prompt: float | None, completion: float | None
) -> None:
    for task in ("nq", "hotpotqa"):
        counts = usage(prompt_tokens=prompt, completion_tokens=completion)
        write_run("a", task, costs=counts)
    for table in build(runs).tables:
        assert cells(table, "tokens") == {"a": "\u2014"}
    for line in csv.DictReader(render(runs, "csv").splitlines()):
        assert line["completion_tokens_per_question"] == ""
        assert line["prompt_tokens_per_question"] == ("612.5" if prompt else "")
    for table in json.loads(render(runs, "json"))["tables"]:
        assert table["rows"][0]["cost"]["completion_tokens"] is None
