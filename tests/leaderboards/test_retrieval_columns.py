"""What a table says of retrieval: ranked, read and retrieved, alternatives, added scores."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.metrics import shipped
from leaderboards.board import build
from leaderboards.table import render
from leaderboards.view import view
from tests.leaderboards.conftest import score_lines


def test_alternatives_have_no_all_gold_and_say_so(runs: Path, write_run) -> None:
    lines = score_lines(40, 0, 0, 2)
    for line in lines:
        line["recall@5"], line["all_gold@5"] = line["hit@5"], None
    any_gold = {"scoring": {"gold": "any", "closed_answers": False}}
    write_run(task="triviaqa", gold=2, lines=lines, manifest=any_gold)
    text = render(runs)
    assert "All-gold@5" not in text and "Hit@5" not in text
    assert "Any gold document gives the answer in triviaqa" in text
    write_run("other", task="triviaqa", gold=2)
    assert len(build(runs).tables) == 2
    assert "they differ in scoring" in render(runs)


def test_a_table_tells_ranked_from_read(runs: Path, write_run) -> None:
    write_run(gold=2)
    (row,) = build(runs).tables[0].rows
    assert row.recall_read.mean < row.recall.mean
    header = next(
        line for line in render(runs, columns=["all"]).splitlines() if line.startswith("| Method")
    )
    cells = [cell.strip() for cell in header.split("|")]
    place = cells.index("Recall@5 [95% CI]")
    assert cells[place + 2 : place + 4] == ["Recall read [95% CI]", "Retrieved"]


def test_scores_that_a_task_adds_stand_below(runs: Path, write_run) -> None:
    write_run()
    grids = [line for line in render(runs).splitlines() if line.startswith("| Method")]
    assert ["em_folded" in grid for grid in grids] == [False, True]
    lines = [
        {k: v for k, v in line.items() if k != "em_folded"} for line in score_lines(40, 0, 0, 1)
    ]
    shutil.rmtree(runs)
    write_run(lines=lines)
    assert sum(line.startswith("| Method") for line in render(runs).splitlines()) == 1


def test_a_mean_over_tasks_names_those_with_alternatives(runs: Path, write_run) -> None:
    lines = score_lines(40, 0, 0, 2)
    for line in lines:
        line["recall@5"], line["all_gold@5"] = line["hit@5"], None
    write_run(task="triviaqa", gold=2, lines=lines, manifest={"scoring": {"gold": "any"}})
    write_run(task="hotpotqa", gold=2)
    mean, *tables = build(runs).tables
    assert mean.kind == "mean" and mean.rows[0].all_gold is None
    single = [table.rows[0].recall.mean for table in tables]
    assert mean.rows[0].recall.mean == pytest.approx(sum(single) / 2)
    assert sum("gives the answer in triviaqa, so" in line for line in mean.caption) == 1


def test_every_score_of_the_house_is_explained_and_cut_offs_rise(runs: Path, write_run) -> None:
    names = [*shipped(), *(f"{kind}@{k}" for kind in ("recall", "all_gold") for k in (10, 20, 5))]
    lines = [line | dict.fromkeys(names, 0.5) for line in score_lines(40, 0, 0, 1)]
    write_run(lines=lines)
    columns = view(runs, k=15).known
    assert not [c for c in columns.values() if c.explanation.startswith("Mean of the score")]
    assert columns["recall@10"].heading == "Recall@10"
    assert columns["hit@5"].explanation == (
        "Questions with any gold document among the first 5, in percent."
    )
    found = [name for name in columns if name.startswith("recall@")]
    assert found == ["recall@5", "recall@10", "recall@20"]
