"""What a table says of its own power, and all rows compared: ranks and letters."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from harness.errors import ConfigError
from harness.metrics.statistics import compare_all, flip
from leaderboards.board import Table, build
from leaderboards.entries import Entry
from leaderboards.letters import letters
from leaderboards.measured import compare_rows, measure, scores
from leaderboards.significance import power


def said(table: Table, start: str) -> str:
    could_show = power(table.rows, table.questions, table.smallest_difference)
    return "\n".join(line for line in (could_show, *table.legend) if line.startswith(start))


def test_four_questions_are_no_result(runs: Path, write_run) -> None:
    write_run("good", questions=4, skill=0.4)
    write_run("bad", questions=4, skill=-0.4)
    [table] = build(runs).tables
    assert said(table, "No result: 4 questions cannot tell rows apart")
    assert table.smallest_difference is None and all(row.top for row in table.rows)
    assert [row.ranks for row in table.rows] == [(1, 2), (1, 2)]


def test_a_table_says_what_it_could_have_shown(runs: Path, write_run) -> None:
    for task, n in (("nq", 60), ("hotpotqa", 40)):
        for skill in (0.3, 0.25, -0.3):
            write_run(f"m{skill}", task, questions=n, skill=skill)
    tables = build(runs).tables
    points = []
    for table in tables:
        text = said(table, f"Power: {table.questions} questions show a difference of")
        points.append(float(re.findall(r"[\d.]+", text)[1]))
        assert points[-1] == pytest.approx(100 * table.smallest_difference, abs=0.05)
        assert "with 95 % none that is as good as the best loses its bold" in said(table, "Bold")
    mean, *tasks = points
    assert mean < min(tasks)
    best, close, worse = tables[0].rows
    assert best.ranks == close.ranks == (1, 2) and worse.ranks == (3, 3)
    assert (best.letters, close.letters, worse.letters) == ("a", "a", "b")


def test_seeds_are_labelled_and_widen_the_interval(runs: Path, write_run) -> None:
    for seed, skill in enumerate((0.0, 0.2, 0.4)):
        write_run("trained", skill=skill, seed=seed)
    write_run("single", skill=0.2)
    [table] = build(runs).tables
    assert said(table, "±: standard deviation over 3 seeds")
    assert "interval of such a row is over questions and seeds" in said(table, "±")
    widths = {row.label: row.f1.interval.high - row.f1.interval.low for row in table.rows}
    assert widths["trained"] > 1.5 * widths["single"]


def test_a_mean_uses_the_draws_of_its_tasks(runs: Path, write_run) -> None:
    """Nothing is drawn again for it, and yet a few exhausted questions are averaged rightly."""
    for task, n in (("nq", 60), ("hotpotqa", 6)):
        for skill in (0.2, 0.0):
            write_run(f"m{skill}", task, questions=n, skill=skill)
    mean, *tasks = build(runs).tables
    assert mean.kind == "mean" and all(0 < row.p_value <= 1 for row in mean.rows)
    assert mean.rows[0].p_value == 1
    assert {len(table.rows) for table in tasks} == {2}


def test_tables_of_a_full_board_take_two_seconds() -> None:
    """8 methods, 4 tasks, 3,610 questions: all intervals and tests, the mean's too."""
    from time import process_time
    from types import SimpleNamespace as Some

    rng = np.random.default_rng(0)

    def entry(label: str, task: str) -> Entry:
        f1 = rng.random(3610)
        names = ("em", "f1", "recall@5", "all_gold@5", "recall_read")
        config = Some(seed=0, task=Some(questions_fingerprint=task))
        manifest = Some(config=config, external=None, method_card=Some(oracle=False), metrics=())
        run = Some(
            scores={name: f1 if name != "em" else f1.round() for name in names}, manifest=manifest
        )
        return Entry(label, (run,))  # type: ignore[arg-type]

    tasks = [{f"m{i}": entry(f"m{i}", task) for i in range(8)} for task in "abcd"]
    start = process_time()
    measured = [measure(task, 5) for task in tasks]
    for shown in ([measured], *([[one]] for one in measured)):
        compare_rows(shown[0], sorted(tasks[0]))
        for metric in measured[0].cells:
            assert len(scores(shown[0], sorted(tasks[0]), metric)) == 8
    assert process_time() - start < 2


def test_letters_of_all_rows(runs: Path, write_run, capsys, monkeypatch) -> None:
    for skill in (0.3, 0.25, -0.3):
        write_run(f"m{skill}", skill=skill)
    write_run("gold", skill=0.4, oracle=True)
    text = letters(runs)
    lines = [[cell.strip() for cell in x.split("|")[1:-1]] for x in text.splitlines() if "| m" in x]
    assert [line[0] for line in lines] == ["m0.25", "m0.3", "m-0.3"]
    assert [(line[2], line[3]) for line in lines] == [("a", "1-2"), ("a", "1-2"), ("b", "3")]
    with pytest.raises(ConfigError, match=r"not scored on 'emm'.*em"):
        letters(runs, "emm")
    monkeypatch.setattr(sys, "argv", ["", "compare", str(runs), "--letters", "--metric", "em"])
    with suppress(SystemExit):
        main()
    assert capsys.readouterr().out.startswith("em, percentages.")


def test_letters_test_the_score_that_they_show(runs: Path, write_run) -> None:
    """F1 alike, EM not."""
    f1 = np.linspace(0.3, 0.7, 40)
    for method, right in (("a", 1.0), ("b", 0.0)):
        lines = [
            {"question_id": f"q{i}", "em": right, "f1": v, "contains": right, "error": False}
            for i, v in enumerate(f1)
        ]
        write_run(method, lines=lines)
    f1_lines, em = (letters(runs, metric).splitlines()[-2:] for metric in ("f1", "em"))
    assert [line.split("|")[3].strip() for line in f1_lines] == ["a", "a"]
    assert [line.split("|")[3].strip() for line in em] == ["a", "b"]
    family = compare_all(flip(np.array([np.ones(40), np.zeros(40)])))
    assert f"{family.best[1]:.4f}" in em[-1]


def test_compare_needs_something_to_compare(runs: Path, write_run, capsys, monkeypatch) -> None:
    write_run("a")
    monkeypatch.setattr(sys, "argv", ["", "compare", str(runs)])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 2 and "compare what?" in capsys.readouterr().err
