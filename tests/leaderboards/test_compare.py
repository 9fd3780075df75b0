"""``compare`` gives the paired difference of two rows on one score."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from harness.errors import ConfigError, InputError
from harness.metrics.statistics import difference_ci
from leaderboards.compare import compare
from leaderboards.compare_runs import compare_runs
from leaderboards.letters import letters
from tests.leaderboards.conftest import score_lines, stamp_scores


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def f1(folder: Path) -> np.ndarray:
    return np.array([json.loads(x)["f1"] for x in (folder / "scores.jsonl").open()])


def numbers(line: str) -> list[float]:
    return [float(text) for text in re.findall(r"[-+]?\d+\.\d+", line)]


def test_the_difference_its_interval_and_its_p_value(runs: Path, write_run) -> None:
    a, b = f1(write_run("bm25", skill=0.0)), f1(write_run("ircot", skill=0.3))
    *_, line = compare(runs, "bm25", "ircot").splitlines()
    mean_a, mean_b, difference, low, high, effect, won, p = numbers(line)
    assert (mean_a, mean_b) == (round(100 * a.mean(), 1), round(100 * b.mean(), 1))
    assert difference == pytest.approx(100 * (b - a).mean(), abs=0.05)
    oracle = stats.bootstrap((b - a,), np.mean, method="percentile", rng=1).confidence_interval
    assert (low, high) == pytest.approx(tuple(100 * end for end in difference_ci(b - a)), abs=0.06)
    assert low < 100 * oracle.low < 100 * oracle.high < high
    assert effect == pytest.approx(stats.ttest_rel(b, a).statistic / 40**0.5, abs=0.006)
    assert won == pytest.approx(100 * ((b > a) + (b == a) / 2).mean(), abs=0.06)
    permuted = stats.permutation_test(
        (b, a), lambda x, y: np.mean(x - y), permutation_type="samples", rng=1
    )
    assert p == pytest.approx(permuted.pvalue, abs=0.01)


def test_the_second_minus_the_first(runs: Path, write_run) -> None:
    write_run("bm25", skill=0.0)
    write_run("ircot", skill=0.3)
    forward, back = (compare(runs, *pair) for pair in (("bm25", "ircot"), ("ircot", "bm25")))
    assert "ircot minus bm25" in forward
    assert numbers(forward.splitlines()[-1])[2] == -numbers(back.splitlines()[-1])[2] > 0


def test_one_line_a_task_and_only_where_both_ran(runs: Path, write_run) -> None:
    for task in ("nq", "musique"):
        write_run("bm25", task)
        write_run("ircot", task, skill=0.1)
    write_run("bm25", "triviaqa")
    lines = compare(runs, "bm25", "ircot", "all_gold@5").splitlines()
    assert [line.split()[1] for line in lines[4:]] == ["musique", "nq"]


def test_questions_without_gold_documents_do_not_count(runs: Path, write_run) -> None:
    folders = [write_run("bm25"), write_run("ircot", skill=0.3)]
    for folder in folders:
        rows = [json.loads(line) for line in (folder / "scores.jsonl").open()]
        rows[0]["recall@5"] = None
        (folder / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        stamp_scores(folder)
    line = compare(runs, "bm25", "ircot", "recall@5").splitlines()[-1]
    assert line.split("|")[2].strip() == "39"


def test_what_is_not_there_is_named(runs: Path, write_run) -> None:
    write_run("bm25")
    write_run("ircot", "musique")
    with pytest.raises(ConfigError, match=r"no row is called 'bm-25'.*bm25"):
        compare(runs, "bm-25", "ircot")
    with pytest.raises(InputError, match="no task has comparable runs of both"):
        compare(runs, "bm25", "ircot")
    write_run("ircot", "nq")
    with pytest.raises(ConfigError, match=r"not scored on 'recal@5'.*recall@5"):
        compare(runs, "bm25", "ircot", "recal@5")


def test_em_is_tested_by_mcnemar_and_tasks_are_corrected_for(runs: Path, write_run) -> None:
    for task, skill in (("nq", 0.3), ("musique", 0.05)):
        write_run("bm25", task)
        write_run("ircot", task, skill=skill)
    text = compare(runs, "bm25", "ircot", "em")
    assert "p: McNemar's exact test; then corrected for 2 rows (Holm)" in text
    by_task = {line.split()[1]: numbers(line) for line in text.splitlines()[4:]}
    raw = []
    for task in ("musique", "nq"):
        a, b = ([json.loads(x)["em"] for x in (folder / "scores.jsonl").open()]
                for folder in by_method(runs, task))  # fmt: skip
        won = sum(y > x for x, y in zip(a, b, strict=True))
        lost = sum(y < x for x, y in zip(a, b, strict=True))
        raw.append(stats.binomtest(won, won + lost).pvalue if won + lost else 1.0)
        assert by_task[task][-2] == pytest.approx(raw[-1], abs=6e-5)
    smaller = min(1.0, 2 * min(raw))
    assert min(by_task[task][-1] for task in by_task) == pytest.approx(smaller, abs=6e-5)


def by_method(runs: Path, task: str) -> list[Path]:
    """Run folders of bm25, then ircot."""
    folders = (runs / task / "method").iterdir()
    return sorted(
        folders,
        key=lambda f: json.loads((f / "manifest.json").read_text())["config"]["method"]["name"],
    )


def test_a_row_of_several_seeds_is_less_sure_of_others(runs: Path, write_run) -> None:
    folders = [write_run("ircot", skill=s, seed=i) for i, s in enumerate((0.25, 0.3, 0.35))]
    base, seeds = f1(write_run("bm25")), [f1(folder) for folder in folders]
    *_, low, high, _, _, _ = numbers(compare(runs, "bm25", "ircot").splitlines()[-1])
    gaps = np.mean(seeds, axis=0) - base
    questions = difference_ci(gaps)
    half = stats.t.ppf(0.975, 2) * stats.sem([row.mean() for row in seeds])
    assert low == pytest.approx(
        100 * (gaps.mean() - np.hypot(gaps.mean() - questions.low, half)), abs=0.06
    )
    assert high == pytest.approx(
        100 * (gaps.mean() + np.hypot(questions.high - gaps.mean(), half)), abs=0.06
    )


def test_failed_questions_are_told(runs: Path, write_run) -> None:
    lines = score_lines(40, 0.0, 0, 1)
    for line in lines[:2]:
        line["error"] = True
    folder = write_run("bm25", lines=lines)
    stamp = json.loads((folder / "scores.json").read_text())
    kinds = {"failures": {"OutOfMemoryError": 2}}
    (folder / "scores.json").write_text(json.dumps(stamp | kinds))
    other = write_run("ircot", skill=0.3)
    told = "2 failed and count as wrong: OutOfMemoryError 2."
    assert f"Caution, nq: bm25: {told}" in compare(runs, "bm25", "ircot")
    assert f"- Caution, nq: A: {told}" in compare_runs(folder, other, changed=0)
    assert f"- bm25: {told}" in letters(runs)


def test_a_name_that_no_row_has_is_answered_with_names_that_rows_have(
    runs: Path, write_run
) -> None:
    write_run("ircot", params={"max_passages": 10, "max_steps": 4})
    write_run("bm25")
    write_run("dense", status="running", answered=3)
    with pytest.raises(ConfigError, match=r"did you mean 'ircot'") as raised:
        compare(runs, "irco", "bm25")
    assert "Not finished" not in str(raised.value)
    with pytest.raises(ConfigError, match=r"Not finished, so left out: dense on nq"):
        compare(runs, "dense", "bm25")
