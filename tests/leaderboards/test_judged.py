"""A judge's verdicts on a board: shares, intervals and agreement by hand, in their own columns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from harness.fingerprint import file_sha256
from harness.runs.judge_prompt import Word
from harness.runs.judge_record import VERDICTS, Judge, Verdict, write_judge
from leaderboards.board import build
from leaderboards.table import render
from tests.leaderboards.conftest import WriteRun

JUDGE = Judge(model="llama", settings={"name": "llama"}, prompt_sha256="ab" * 32)


def give(folder: Path, words: list[Word | None], judge: Judge = JUDGE) -> None:
    verdicts = [Verdict(f"q{n:04d}", "x", word, word or "?") for n, word in enumerate(words)]
    (folder / VERDICTS).write_bytes(b"".join(verdict.line() for verdict in verdicts))
    write_judge(folder, judge, file_sha256(folder / "predictions.jsonl"))


def test_shares_agreement_and_kappa_by_hand(write_run: WriteRun, tmp_path: Path) -> None:
    folder = write_run(questions=40)
    em = np.array([json.loads(line)["em"] for line in (folder / "scores.jsonl").open()])
    words: list[Word | None] = ["right" if value else "wrong" for value in em]
    words[0] = "wrong" if words[0] == "right" else "right"
    words[1] = None
    give(folder, words)
    (row,) = build(tmp_path / "runs").tables[0].rows
    found = row.judge
    assert found is not None
    said = np.array([word == "right" for word in words if word is not None])
    known = np.delete(em, 1)
    assert found.right == pytest.approx(said.mean())
    assert found.agreement == pytest.approx(38 / 39)
    table = np.array([[np.sum((said == a) & (known == b)) for b in (0, 1)] for a in (0, 1)])
    chance = (table.sum(0) * table.sum(1)).sum() / 39**2
    assert found.kappa == pytest.approx((38 / 39 - chance) / (1 - chance))
    exact = binomtest(int(said.sum()), 39).proportion_ci()
    assert found.interval == pytest.approx((exact.low, exact.high), abs=0.01)
    assert (found.answers, found.unclear) == (39, 1)


def test_a_board_shows_it_in_columns_of_its_own(write_run: WriteRun, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    first, second = write_run(skill=0.2), write_run("ircot", skill=-0.2)
    plain = build(runs).tables[0]
    assert "Judge" not in render(runs)
    give(first, ["right"] * 30 + ["wrong"] * 10)
    assert {row.label: row.judge is None for row in build(runs).tables[0].rows} == {
        "bm25": False, "ircot": True,
    }  # fmt: skip
    give(second, ["wrong"] * 40)
    table, text = build(runs).tables[0], render(runs)
    assert [(row.f1, row.em, row.top, row.p_value) for row in table.rows] == [
        (row.f1, row.em, row.top, row.p_value) for row in plain.rows
    ]
    line = next(line for line in text.splitlines() if line.startswith("| **bm25**"))
    assert "|  75.0 |  37.5 / 0.06 |" in line
    (caption,) = [line for line in table.caption if line.startswith("Judge:")]
    assert "llama, prompt abababababab" in caption
    assert "no score" in caption
    (never,) = [row.judge for row in table.rows if row.label == "ircot"]
    assert never is not None
    assert (never.agreement, never.kappa) == (1, None)  # EM, too, is 0 throughout
    flat = render(runs, "csv").splitlines()[0]
    assert "judged_right,judged_right_low,judged_right_high,judged_answers" in flat
    assert json.loads(render(runs, "json"))["tables"][0]["rows"][0]["judge"]["right"] == 0.75


def test_a_judge_that_says_neither_word_is_told_and_has_no_share(
    write_run: WriteRun, tmp_path: Path
) -> None:
    give(write_run(), [None] * 40)
    table = build(tmp_path / "runs").tables[0]
    assert "Judge, neither RIGHT nor WRONG, so left out of its columns: bm25 40." in table.caption
    assert table.rows[0].judge is not None
    assert table.rows[0].judge.right is None
    assert "nan" not in render(tmp_path / "runs").lower()


def test_verdicts_of_other_answers_do_not_count(write_run: WriteRun, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    folder = write_run()
    give(folder, ["right"] * 39)  # one is missing
    assert build(runs).tables[0].rows[0].judge is None
    write_judge(folder, JUDGE, "of other predictions")
    assert build(runs).tables[0].rows[0].judge is None
    write_judge(folder, JUDGE)  # not done
    assert build(runs).tables[0].rows[0].judge is None
    give(folder, ["right"] * 40)
    assert build(runs).tables[0].rows[0].judge is not None
    (folder / VERDICTS).write_text("{}\n")  # damaged, which blocks no table
    assert build(runs).tables[0].rows[0].judge is None


def test_several_seeds_count_each_question_once(write_run: WriteRun, tmp_path: Path) -> None:
    for seed, words in enumerate((["right"] * 40, ["wrong"] * 40)):
        give(write_run(seed=seed), words)
    (row,) = build(tmp_path / "runs").tables[0].rows
    assert row.judge is not None
    assert (row.judge.right, row.judge.answers) == (0.5, 80)
    assert row.judge.interval is not None
    assert row.judge.interval.low < 0.5 < row.judge.interval.high
    other = JUDGE.model_copy(update={"model": "other"})
    give(next((tmp_path / "runs").rglob("manifest.json")).parent, ["right"] * 40, other)
    assert build(tmp_path / "runs").tables[0].rows[0].judge is None  # two judges are no mean
