"""``compare RUN_A RUN_B``: runs of any two folders, paired by question, and what changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import ConfigError, InputError
from leaderboards.compare_runs import compare_runs
from tests.leaderboards.conftest import prediction, score_line

F1 = {"q1": (0.0, 1.0), "q2": (0.5, 0.5), "q3": (1.0, 0.25), "q4": (0.0, 0.5), "q5": (0.0, 1.0)}


@pytest.fixture
def write_side(write_run):
    """Return a function that writes one of two runs: 0 is the worse, 1 the better."""

    def write(side: int, method: str, ids: tuple[str, ...] = tuple(F1), **more: Any) -> Path:
        lines = [score_line(id_, f1=F1[id_][side], em=float(F1[id_][side] == 1)) for id_ in ids]
        answers = [prediction(id_) | {"answer": f"{method} on {id_}"} for id_ in ids]
        asked = {"questions": len(ids)} | more.pop("task_config", {})
        return write_run(
            method, questions=len(ids), lines=lines, predictions=answers, task_config=asked, **more
        )

    return write


def test_difference_and_the_questions_that_changed(write_side) -> None:
    text = compare_runs(write_side(0, "bm25"), write_side(1, "ircot"))
    assert "- A: bm25 with smollm2-135m, seed 0 (" in text and "- B: ircot with" in text
    [line] = [line for line in text.splitlines() if line.startswith("| nq ")]
    assert [cell.strip() for cell in line.split("|")][2:5] == ["5", "30.0", "65.0"]
    assert "## nq: 3 won, 1 lost, 1 the same" in text
    rows = [[c.strip() for c in x.split("|")[1:-1]] for x in text.splitlines() if " on q" in x]
    assert rows == [
        ["won", "q1", "0", "100", "bm25 on q1", "ircot on q1"],
        ["won", "q5", "0", "100", "bm25 on q5", "ircot on q5"],
        ["lost", "q3", "100", "25", "bm25 on q3", "ircot on q3"],
        ["won", "q4", "0", "50", "bm25 on q4", "ircot on q4"],
    ]
    assert "nq: the two also differ in method." in text


def test_only_so_many_questions_are_shown(write_side) -> None:
    sides = write_side(0, "bm25"), write_side(1, "ircot")
    text = compare_runs(*sides, changed=1)
    assert text.count(" on q") == 2 and text.endswith("And 3 more (--changed 4).")
    assert " on q" not in compare_runs(*sides, changed=0)


def test_models_may_differ_and_are_told(write_side) -> None:
    a = write_side(0, "bm25")
    b = write_side(1, "bm25", model_config={"name": "llama", "dtype": "nf4"}, seed=3)
    text = compare_runs(a, b, "em")
    assert "McNemar's exact test" in text
    assert "differ in model.dtype, model.name, seed." in text


def test_answers_of_others_are_harmless(write_side, write_run) -> None:
    hostile = "a | b\n<script>alert(1)</script> `x` " + "long " * 50
    lines = [score_line("q1", f1=1.0)]
    b = write_run(
        "evil", questions=1, lines=lines, predictions=[prediction("q1") | {"answer": hostile}]
    )
    a = write_side(0, "bm25", ids=("q1",))
    text = compare_runs(a, b)
    [line] = [line for line in text.splitlines() if "bm25 on q1" in line]
    assert line.count("|") == 7 and "<script" not in text and line.endswith("long l... |")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"task_config": {"questions_fingerprint": "other"}}, "questions and their golden answers"),
        ({"manifest": {"scoring": {"gold": "any"}}}, "what counts as gold"),
        ({"metrics_version": 2}, "the version of the metrics"),
        ({"ids": ("q1", "q2", "q3", "q4")}, r"5 and 4 questions 1 were asked in one alone.*'q5'"),
    ],
)
def test_what_cannot_be_paired_is_refused_by_name(write_side, other, said) -> None:
    a, b = write_side(0, "bm25"), write_side(1, "ircot", **other)
    with pytest.raises(
        InputError, match=f"{b}.* cannot be paired.*{said}|cannot be paired.*{said}"
    ):
        compare_runs(a, b)


def test_a_folder_holds_one_run_of_a_task(write_side, runs: Path) -> None:
    a, b = write_side(0, "bm25"), write_side(1, "ircot")
    with pytest.raises(InputError, match=f"several runs of nq; name one of .*{b.name}"):
        compare_runs(runs, b)
    with pytest.raises(InputError, match="no such folder"):
        compare_runs(a, runs / "elsewhere")
    with pytest.raises(ConfigError, match="not scored on 'f2'.*f1"):
        compare_runs(a, b, "f2")
    far = runs.parent / "far" / "nq"
    far.parent.mkdir()
    b.rename(far)
    assert "## nq: 3 won" in compare_runs(runs, far.parent)


def test_what_a_server_left_unanswered_is_left_out_of_both(write_side) -> None:
    text = compare_runs(write_side(0, "bm25"), write_side(1, "ircot", unanswered=["q5"]))
    assert "nq: 1 of 5 questions have no such score in both: left out." in text
    assert "## nq: 2 won, 1 lost, 1 the same" in text


def test_a_side_that_is_shown_gold_is_cautioned_of(write_side) -> None:
    text = compare_runs(write_side(0, "bm25"), write_side(1, "gold", oracle=True))
    assert "Caution: B is shown gold" in text and "Caution: A" not in text
