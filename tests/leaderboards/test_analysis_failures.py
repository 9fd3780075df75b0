"""Wrong answers are split by what was read: nothing needed, a part of it, or all of it."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError, InputError
from harness.metrics.statistics import proportion_ci
from leaderboards.analysis.reading import CLASSES, classify
from leaderboards.analysis.report import Written, analyse
from tests.leaderboards.conftest import prediction, score_line

IDS = st.frozensets(st.sampled_from("abcdef"))
RETRIEVED = {  # question: gold, retrieved, read by a select step (None: no such step)
    "q-right": ("ab", "xy", None),
    "q-reading": ("ab", "axb", None),
    "q-hop": ("ab", "xb", None),
    "q-none": ("ab", "xy", None),
}
SELECTED = {
    "q-right": ("ab", "ab", "x"),
    "q-reading": ("ab", "abx", "ab"),
    "q-hop": ("ab", "abx", "bx"),
    "q-none": ("ab", "axb", "x"),
}


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes a second, and no test here looks at a picture."""
    monkeypatch.setattr(Written, "picture", lambda *_: None)


@pytest.fixture
def run_of(write_run, write_gold):
    """Write a run whose questions have these gold, retrieved and read ids, a letter each."""

    def write(method: str, questions: dict[str, tuple[str, str, str | None]], **options: Any):
        task = options.get("task", "nq")
        write_gold({id_: gold for id_, (gold, _, _) in questions.items()}, task)
        lines = options.pop("lines", None) or [
            score_line(id_, em=float("right" in id_), f1=1.0 if "right" in id_ else 0.25)
            for id_ in questions
        ]
        answers = [prediction(id_, ranked, read) for id_, (_, ranked, read) in questions.items()]
        options.setdefault("predictions", answers)
        return write_run(method, questions=len(questions), lines=lines, **options)

    return write


def rows(out: Path, name: str = "failures.csv") -> list[dict[str, str]]:
    with (out / name).open(newline="") as file:
        return list(csv.DictReader(file))


def classes(out: Path, method: str) -> dict[str, str]:
    return {row["question_id"]: row["class"] for row in rows(out) if row["method"] == method}


@given(IDS.filter(bool), IDS, IDS, st.booleans(), st.booleans())
def test_every_answer_is_in_the_one_class_whose_rule_it_meets(gold, read, ranked, right, failed):
    wrong = not right and not failed
    rules = {
        "error": failed,
        "right": right and not failed,
        "reading failure": wrong and all(id_ in read for id_ in gold),
        "multi-hop failure": wrong and 0 < len(gold & read) < len(gold),
        "selection failure: ranked but not read": wrong and not gold & read and bool(gold & ranked),
        "selection failure: not ranked": wrong and not gold & (read | ranked),
    }
    assert set(rules) == set(CLASSES)
    assert [name for name, holds in rules.items() if holds] == [
        classify(gold, read, ranked, right=right, failed=failed)
    ]


def test_a_method_that_retrieves_read_what_it_retrieved(run_of, runs: Path, tmp_path: Path) -> None:
    run_of("bm25", RETRIEVED)
    analyse(runs, tmp_path / "out")
    assert classes(tmp_path / "out", "bm25") == {
        "q-right": "right",
        "q-reading": "reading failure",
        "q-hop": "multi-hop failure",
        "q-none": "selection failure: not ranked",
    }


def test_a_method_that_selects_read_what_its_step_says(run_of, runs: Path, tmp_path: Path) -> None:
    run_of("memory", SELECTED)
    analyse(runs, tmp_path / "out")
    assert classes(tmp_path / "out", "memory") == {
        "q-right": "right",
        "q-reading": "reading failure",
        "q-hop": "multi-hop failure",
        "q-none": "selection failure: ranked but not read",
    }


def test_several_select_steps_read_together(run_of, runs: Path, tmp_path: Path) -> None:
    answer = prediction("q-hops", "ab", "a")
    answer["steps"].append({"kind": "select", "memories_read": ["b"]})
    run_of("memory", {"q-hops": ("ab", "ab", "a")}, predictions=[answer])
    analyse(runs, tmp_path / "out")
    assert classes(tmp_path / "out", "memory") == {"q-hops": "reading failure"}


def test_an_answer_that_stopped_with_an_error_is_no_failure_of_selection(
    run_of, runs: Path, tmp_path: Path
) -> None:
    answers = [prediction("q1", "ab", error="out of memory"), prediction("q2", "xy")]
    run_of("bm25", {"q1": ("ab", "", None), "q2": ("ab", "", None)}, predictions=answers)
    text = analyse(runs, tmp_path / "out")
    assert classes(tmp_path / "out", "bm25") == {
        "q1": "error", "q2": "selection failure: not ranked"
    }  # fmt: skip
    assert "Error |" in text


def test_the_table_of_questions_in_full(run_of, runs: Path, tmp_path: Path) -> None:
    folder = run_of("memory", SELECTED, seed=3)
    analyse(runs, tmp_path / "out")
    start = "nq,sample,smollm2-135m,5000,memory,3," + folder.name
    assert (tmp_path / "out/failures.csv").read_text().splitlines() == [
        "task,split,model,documents,method,seed,run_id,question_id,class,"
        "gold,gold_read,gold_ranked,em,f1",
        f"{start},q-hop,multi-hop failure,2,1,2,0.0,0.25",
        f"{start},q-none,selection failure: ranked but not read,2,0,2,0.0,0.25",
        f"{start},q-reading,reading failure,2,2,2,0.0,0.25",
        f"{start},q-right,right,2,0,2,1.0,1.0",
    ]


def test_shares_have_exact_intervals_and_both_kinds_of_selection_a_sum(
    run_of, runs: Path, tmp_path: Path
) -> None:
    questions = {
        "q-right": ("a", "a", "a"),
        "q1": ("a", "a", "x"),
        "q2": ("a", "xy", "x"),
        "q3": ("a", "ya", "y"),
    }
    run_of("memory", questions)
    analyse(runs, tmp_path / "out")
    shares = {row["class"]: row for row in rows(tmp_path / "out", "failures_summary.csv")}
    assert {name: float(row["share"]) for name, row in shares.items()} == {
        "right": 0.25,
        "reading failure": 0,
        "multi-hop failure": 0,
        "selection failure": 0.75,
        "selection failure: ranked but not read": 0.5,
        "selection failure: not ranked": 0.25,
        "error": 0,
    }
    row = shares["selection failure"]
    low, high = proportion_ci(3, 4)
    assert (float(row["share_low"]), float(row["share_high"])) == pytest.approx((low, high))
    assert (row["questions"], row["seeds"], row["oracle"]) == ("4", "0", "0")


def test_seeds_have_rows_of_their_own_and_one_average(run_of, runs: Path, tmp_path: Path) -> None:
    first = {"q1": ("a", "a", None), "q2": ("a", "a", None)}
    second = {"q1": ("a", "x", None), "q2": ("a", "a", None)}
    run_of("bm25", first, seed=0)
    run_of("bm25", second, seed=1)
    analyse(runs, tmp_path / "out")
    found = [(row["seed"], row["question_id"], row["gold_read"]) for row in rows(tmp_path / "out")]
    assert found == [("0", "q1", "1"), ("0", "q2", "1"), ("1", "q1", "0"), ("1", "q2", "1")]
    shares = {r["class"]: r["share"] for r in rows(tmp_path / "out", "failures_summary.csv")}
    assert (shares["reading failure"], shares["selection failure"]) == ("0.75", "0.25")


def test_right_may_mean_that_the_answer_contains_a_golden_one(
    run_of, runs: Path, tmp_path: Path
) -> None:
    lines = [score_line("q1", em=0.0, f1=0.5, contains=1.0), score_line("q2", em=1.0, contains=0.0)]
    run_of("bm25", {"q1": ("a", "a", None), "q2": ("a", "a", None)}, lines=lines)
    text = analyse(runs, tmp_path / "em")
    assert classes(tmp_path / "em", "bm25") == {"q1": "reading failure", "q2": "right"}
    assert "Right: em is 1" in text
    text = analyse(runs, tmp_path / "contains", "contains")
    assert classes(tmp_path / "contains", "bm25") == {"q1": "right", "q2": "reading failure"}
    assert "Right: contains is 1" in text
    with pytest.raises(ConfigError, match="'contain'; did you mean 'contains'"):
        analyse(runs, tmp_path / "no", "contain")
    assert not (tmp_path / "no").exists()


def test_methods_that_retrieve_nothing_are_named_and_left_out(
    run_of, runs: Path, tmp_path: Path
) -> None:
    run_of("bm25", RETRIEVED)
    run_of("closed-book", {id_: (gold, "", None) for id_, (gold, *_) in RETRIEVED.items()})
    text = analyse(runs, tmp_path / "out")
    assert {row["method"] for row in rows(tmp_path / "out")} == {"bm25"}
    assert re.search(r"left out, since they retrieve nothing: closed-book\.", text)


def test_questions_without_gold_are_counted_and_left_out(
    run_of, runs: Path, tmp_path: Path
) -> None:
    run_of("bm25", {**RETRIEVED, "q-free": ("", "xy", None)})
    text = analyse(runs, tmp_path / "out")
    assert "q-free" not in classes(tmp_path / "out", "bm25")
    assert "they name no gold documents: 1 of 5 questions" in text
    table = next(line for line in text.splitlines() if line.startswith("| nq"))
    assert [cell.strip() for cell in table.split("|")][1:5] == ["nq", "5,000", "bm25", "4"]


def test_runs_without_any_gold_still_have_their_other_tables(
    run_of, runs: Path, tmp_path: Path
) -> None:
    costs = {"storage": {"parts": {"text": 1_000_000}, "documents": 5000}}
    run_of("bm25", {"q1": ("", "xy", None), "q2": ("", "x", None)}, costs=costs)
    text = analyse(runs, tmp_path / "out")
    assert "give gold_doc_ids in the questions file" in text
    assert "name no gold documents: 2 of 2 questions" in text
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"storage.csv", "summary.md"}


def test_an_oracle_is_marked(run_of, runs: Path, tmp_path: Path) -> None:
    run_of("gold-memories", RETRIEVED, oracle=True)
    assert "| gold-memories \u2020oracle |" in analyse(runs, tmp_path / "out")
    assert {r["oracle"] for r in rows(tmp_path / "out", "failures_summary.csv")} == {"1"}


@pytest.mark.parametrize("name", ["=cmd()", "a|b", "<b>x</b>", "$x_1$"])
def test_names_are_shown_as_they_are_and_do_no_harm(
    run_of, runs: Path, tmp_path: Path, name: str
) -> None:
    run_of(name, RETRIEVED, task="nq", costs={})
    text = analyse(runs, tmp_path / "out")
    (line,) = (line for line in text.splitlines() if line.startswith("| nq"))
    assert line.count("|") == 11
    assert "<b>" not in text
    assert "$" not in line
    assert not any(row["method"].startswith("=") for row in rows(tmp_path / "out"))


def test_no_finished_run_is_an_error(runs: Path, write_run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished run; start one"):
        analyse(runs, tmp_path / "out")
    write_run("bm25", status="running", answered=3)
    with pytest.raises(InputError, match=r"no finished run \(1 unfinished\)"):
        analyse(runs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unfinished_run_is_named(run_of, write_run, runs: Path, tmp_path: Path) -> None:
    run_of("bm25", RETRIEVED)
    write_run("ircot", status="running", answered=3, questions=4)
    text = analyse(runs, tmp_path / "out")
    assert "Not finished, so left out: ircot on nq" in text
    assert "running: 3/4 answered" in text


def test_missing_gold_is_said_with_the_fix(run_of, runs: Path, tmp_path: Path) -> None:
    run_of("bm25", RETRIEVED)
    (path,) = (runs / "nq").glob("questions-*.jsonl")
    path.write_text(path.read_text().partition("\n")[0])
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}: damaged or edited"):
        analyse(runs, tmp_path / "out")
    path.unlink()
    with pytest.raises(InputError, match="the gold of these runs is missing; run the same board"):
        analyse(runs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_answer_that_is_missing_is_said(run_of, runs: Path, tmp_path: Path) -> None:
    answers = [prediction("q1", "a"), prediction("other", "a")]
    questions = {"q1": ("a", "a", None), "q2": ("a", "a", None)}
    run_of("bm25", questions, predictions=answers)
    with pytest.raises(InputError, match="question 'q2' is scored but not answered"):
        analyse(runs, tmp_path / "out")


def test_a_question_that_any_gold_document_answers_has_no_hops(
    run_of, runs: Path, tmp_path: Path
) -> None:
    any_gold = {"scoring": {"gold": "any", "closed_answers": False}}
    run_of("memory", SELECTED, manifest=any_gold)
    told = analyse(runs, tmp_path / "out")
    assert classes(tmp_path / "out", "memory") == {
        "q-right": "right",
        "q-reading": "reading failure",
        "q-hop": "reading failure",
        "q-none": "selection failure: ranked but not read",
    }
    table = [line.split("|") for line in told.splitlines() if line.startswith("|")]
    hops = [cell.strip() for cell in table[0]].index("Multi-hop failure")
    assert table[2][hops].strip() == "\u2014"
    assert "Any gold document gives the answer in nq" in told, "what its Recall is"
