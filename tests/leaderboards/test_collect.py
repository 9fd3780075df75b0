"""Reading run folders: every broken file is named, with what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.fingerprint import file_sha256
from harness.registry import board_file, names
from harness.runs.directory import find_runs
from harness.runs.manifest import read_manifest
from leaderboards.collect import collect
from leaderboards.table import build
from tests.leaderboards.conftest import stamp_scores


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_reads_scores_in_the_order_of_question_ids(runs: Path, write_run) -> None:
    lines = [
        {"question_id": q, "em": 0, "f1": f1, "contains": 0, "recall@5": r, "error": q == "b"}
        for q, f1, r in (("b", 0.5, None), ("a", 0.25, 1.0))
    ]
    write_run(questions=2, lines=lines)
    [run], unfinished, notes = collect(runs)
    assert run.question_ids == ("a", "b") and unfinished == notes == []
    assert run.scores["f1"].tolist() == [0.25, 0.5]
    assert run.errors == 1
    assert build(runs).tables[0].rows[0].means["recall@5"] == 1


@pytest.mark.parametrize("limit", [3, 50])
def test_limit(runs: Path, write_run, limit: int) -> None:
    write_run(questions=3, task_config={"limit": limit, "questions": 10 if limit == 3 else 3})
    assert build(runs).tables[0].questions == 3


def test_the_runs_are_those_that_can_be_scored_and_shown(runs: Path, write_run) -> None:
    folder = write_run()
    memory = runs / "nq" / ".memory" / "x"
    memory.mkdir(parents=True)
    (memory / "manifest.json").write_text("{}")  # a method's own
    for root in (runs.parent, runs, runs / "nq", folder):
        assert find_runs(root) == [run.folder for run in collect(root)[0]] == [folder]


def test_nothing_to_show(runs: Path, write_run) -> None:
    for folder in (runs, runs / "absent"):
        with pytest.raises(InputError, match="no finished run; start one"):
            collect(folder)
    write_run(status="running", answered=2)
    with pytest.raises(InputError, match=r"no finished run \(1 unfinished\)"):
        collect(runs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "the file: "),
        ("{}", "schema_version: Field required"),
        ('{"a": NaN}', "schema_version"),
    ],
)
def test_corrupt_manifest(runs: Path, write_run, text: str, message: str) -> None:
    path = write_run() / "manifest.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        collect(runs)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), "\ud800"])
def test_values_that_no_format_can_carry(runs: Path, write_run, value) -> None:
    edit(write_run() / "manifest.json", non_default_params={"x": value})
    with pytest.raises(InputError, match=r"manifest\.json: .* restore or delete the run"):
        collect(runs)


def test_corrupt_performance(runs: Path, write_run) -> None:
    write_run(costs={"throughput": {"questions": 3, "seconds": -1}})
    with pytest.raises(InputError, match=r"performance\.json: throughput\.seconds"):
        collect(runs)


def test_unscored_or_stale_scores(runs: Path, write_run) -> None:
    folder = write_run(scored=False)
    with pytest.raises(InputError, match="not scored; run `memory-harness score"):
        collect(runs)
    (folder / "scores.jsonl").write_text("")
    (folder / "scores.json").write_text("{}")
    with pytest.raises(InputError, match="'metrics_version' is missing"):
        collect(runs)
    edit(folder / "scores.json", metrics_version=1, predictions_sha256="0")
    with pytest.raises(InputError, match="older than the run's predictions"):
        collect(runs)
    (folder / "predictions.jsonl").unlink()
    with pytest.raises(InputError, match=r"predictions\.jsonl: missing"):
        collect(runs)


@pytest.mark.parametrize(
    "text",
    [
        "oops",
        "[1]",
        '{"em": 0, "f1": 0, "contains": 0}',
        '{"question_id": "q", "em": 0, "f1": null, "contains": 0}',
        '{"question_id": "q", "em": 0, "f1": NaN, "contains": 0}',
        '{"question_id": "q", "em": 0, "f1": 1.5, "contains": 0}',
        '{"question_id": "q", "em": 0, "f1": 0, "contains": 0, "=x": 0}',
    ],
)
def test_broken_score_line(runs: Path, write_run, text: str) -> None:
    path = write_run(questions=1) / "scores.jsonl"
    path.write_text(text + "\n")
    stamp_scores(path.parent)
    with pytest.raises(InputError, match=r"scores\.jsonl:1: need .* score"):
        collect(runs)


def test_missing_or_repeated_questions(runs: Path, write_run) -> None:
    path = write_run(questions=2) / "scores.jsonl"
    first = path.read_text().splitlines()[0] + "\n"
    for text in (first, first * 2, first * 3):
        path.write_text(text)
        stamp_scores(path.parent)
        with pytest.raises(InputError, match="1 of 2 questions scored"):
            collect(runs)


def test_other_questions_under_the_same_fingerprint(runs: Path, write_run) -> None:
    write_run("a", questions=1)
    path = write_run("b", questions=1) / "scores.jsonl"
    path.write_text(path.read_text().replace("q0000", "other"))
    stamp_scores(path.parent)
    with pytest.raises(InputError, match="other question ids"):
        build(runs)


def test_the_same_run_twice(runs: Path, write_run) -> None:
    folder = write_run()
    folder.rename(folder.with_name("copy"))
    write_run()
    board = build(runs)
    assert len(board.tables[0].rows) == 1, "equal ones are one"
    assert "the same run twice; remove one of them" in board.notes[0]
    with pytest.raises(InputError, match="the same run twice"):
        build(runs, strict=True)
    answers = folder / "predictions.jsonl"
    answers.write_bytes(answers.read_bytes() + b"{}\n")
    edit(folder / "scores.json", predictions_sha256=file_sha256(answers))
    with pytest.raises(InputError, match="the same run twice.* predictions differ"):
        build(runs)


def test_boards_are_the_shipped_files() -> None:
    assert "quickstart" in names("boards")
    assert all(board_file(name).is_file() for name in names("boards"))


def test_an_answer_that_is_given_again_counts_once(runs: Path, write_run) -> None:
    write_run("bm25")
    folder = write_run("ircot", status="running", answered=2)
    asked = read_manifest(folder).config.task.asked
    path = folder / "predictions.jsonl"
    path.write_text(path.read_text() * asked)
    assert [each.answered for each in collect(runs).unfinished] == [asked]


def test_one_model_by_two_names_is_one_table(runs: Path, write_run) -> None:
    """A board that names float32, gone on with by one that leaves it to the CPU."""
    plain, named = ({"name": name, "dtype": "float32"} for name in ("smol", "smol-float32"))
    write_run("bm25", skill=0.1, model_config=named)
    write_run("ircot", model_config=plain)
    write_run("none", model_config={"name": "smol", "dtype": "bfloat16"})
    board = build(runs)
    assert [(table.model, len(table.rows)) for table in board.tables] == [
        ("smol", 2), ("smol-bfloat16", 1)
    ]  # fmt: skip
    assert "Model: smol (dtype=float32)" in str(board.tables[0].caption)
    write_run("ircot", skill=0.3, model_config=named)
    twice = build(runs)
    assert [len(table.rows) for table in twice.tables] == [2, 1]
    assert len(twice.notes) == 1 and "the same run twice; remove one of them" in twice.notes[0]
