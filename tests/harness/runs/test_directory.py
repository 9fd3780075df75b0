"""Run directories: what is written, when, and what survives."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from harness import files
from harness.errors import InputError, RunLockedError
from harness.files import write_json
from harness.records import Hit, Passage, Prediction, Step, Usage
from harness.runs import directory as runs
from harness.runs.directory import RunDirectory, find_runs
from harness.runs.manifest import Manifest
from harness.runs.predictions import prediction_line, prediction_row, read_ids, read_predictions
from tests.harness.runs.records import manifest

IDS = ("q1", "q2", "q3")
KEYS = {"question_id", "answer", "retrieved_ids", "steps", "usage", "error", "raw"}


def answered(run: RunDirectory, question_id: str, prediction: Prediction) -> None:
    run.append(question_id, prediction_line(question_id, prediction))


def fill(folder: Path, *ids: str) -> Path:
    with RunDirectory(folder, IDS) as run:
        for question_id in ids:
            answered(run, question_id, Prediction(f"answer of {question_id}"))
    return folder / "predictions.jsonl"


def stored(path: Path) -> list[str]:
    return [row["question_id"] for _, row in read_predictions(path)]


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_prediction_is_one_line_with_the_promised_keys(tmp_path: Path) -> None:
    passages = [Passage("d2", "", "best"), Passage("d1", "", "next"), Passage("d2", "", "again")]
    prediction = Prediction(
        "Zürich\n",
        passages,
        raw="raw\u2028",
        steps=(Step("search", {"k": 2}),),
        usage=Usage(1),
        error="E: x",
    )
    with RunDirectory(tmp_path, IDS) as run:
        answered(run, "q1", prediction)
    (line,) = (tmp_path / "predictions.jsonl").read_bytes().splitlines()
    row = json.loads(line)
    assert row.keys() == KEYS
    assert row["retrieved_ids"] == ["d2", "d1"]
    assert row["steps"] == [{"kind": "search", "k": 2}]
    assert (row["answer"], row["raw"], row["error"]) == ("Zürich\n", "raw\u2028", "E: x")
    assert row["usage"]["llm_calls"] == 1


@pytest.mark.parametrize(
    ("prediction", "stored", "told"),
    [
        (Prediction("a", [Hit("d2", 0.5), Hit("d1")]), None, ["d2", "d1"]),
        (Prediction("a", [Hit("d2"), Hit("d1")], read=["d2", "d1"]), None, ["d2", "d1"]),
        (Prediction("a", [Hit("d2"), Hit("d1")], read=["d2"]), ["d2"], ["d2"]),
        (Prediction("a", [Hit("d2"), Hit("d1")], read=[]), [], []),
        (
            Prediction(
                "a", [Hit("d2")], ["d9"], steps=(Step("select", {"memories_read": ["d9"]}),)
            ),
            None,
            ["d9"],
        ),
    ],
    ids=["all", "said", "fewer", "none", "noted in the trace"],
)
def test_what_was_read_can_be_told_from_what_was_ranked(prediction, stored, told) -> None:
    row = prediction_row("q1", prediction)
    assert row.get("read_ids") == stored
    assert read_ids(row) == told


def test_a_run_continues_behind_its_last_whole_line(tmp_path: Path) -> None:
    path = fill(tmp_path, "q1", "q2")
    path.write_bytes(path.read_bytes()[:-5])
    with RunDirectory(tmp_path, IDS) as run:
        assert run.answered == {"q1"}
        answered(run, "q2", Prediction("again"))
    assert stored(path) == ["q1", "q2"]


def test_a_file_of_half_a_line_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "predictions.jsonl").write_bytes(b'{"question_id": "q')
    with RunDirectory(tmp_path, IDS) as run:
        assert run.answered == set()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{broken", "not a prediction"),
        ("[]", "not a prediction"),
        ('{"question_id": "q2"}', "not a prediction"),
        ('{"question_id":"q9","answer":"","retrieved_ids":[],"usage":{}}', "not of this run"),
        ('{"question_id":"q1","answer":"","retrieved_ids":[],"usage":{}}', "repeated"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, problem: str) -> None:
    path = fill(tmp_path, "q1")
    path.write_text(path.read_text() + line + "\n")
    before = path.read_bytes()
    with pytest.raises(InputError, match=problem) as raised, RunDirectory(tmp_path, IDS):
        pass
    assert f"{path}:2: " in str(raised.value)
    assert "delete" in str(raised.value)
    assert path.read_bytes() == before
    path.write_text("")
    with RunDirectory(tmp_path, IDS):
        pass  # the error left no lock behind


def test_finish_puts_answers_in_question_order(tmp_path: Path) -> None:
    with RunDirectory(tmp_path, IDS) as run:
        for question_id in ("q3", "q1", "q2"):
            answered(run, question_id, Prediction(question_id))
        run.finish()
        inode = run.predictions_path.stat().st_ino
        run.finish()
        assert run.predictions_path.stat().st_ino == inode  # nothing to do twice
    assert stored(tmp_path / "predictions.jsonl") == list(IDS)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        RunDirectory(tmp_path, IDS),
        pytest.raises(RunLockedError, match="another process is writing"),
    ):
        RunDirectory(tmp_path, IDS).__enter__()
    with RunDirectory(tmp_path, IDS):
        pass


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".manifest.json.abc.tmp").write_text("{")
    fill(tmp_path, "q1")
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_failed_manifest_write_leaves_the_old_one(tmp_path: Path, monkeypatch, step) -> None:
    with RunDirectory(tmp_path, IDS) as run:
        run.write_manifest(manifest(status="old"))
        owner = Path if step == "chmod" else files.os
        monkeypatch.setattr(owner, step, no_space)
        with pytest.raises(InputError, match=r"manifest.json: cannot write there .No space left"):
            run.write_manifest(manifest(status="new"))
        monkeypatch.undo()
    text = (tmp_path / "manifest.json").read_text()
    assert Manifest.model_validate_json(text) == manifest(status="old")
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.json", ".lock"}


def test_what_json_cannot_hold_leaves_the_old_manifest(tmp_path: Path) -> None:
    write_json(tmp_path / "manifest.json", {"status": "old"})
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "manifest.json", {"status": float("nan")})
    assert json.loads((tmp_path / "manifest.json").read_text()) == {"status": "old"}


def test_a_full_disk_costs_no_whole_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(file, data: bytes) -> None:
        file.write(data[: len(data) // 2])
        no_space()

    path = fill(tmp_path, "q1")
    whole = path.read_bytes()
    monkeypatch.setattr(runs, "_write_all", half)
    with pytest.raises(InputError, match="No space left"):
        fill(tmp_path, "q2")
    monkeypatch.undo()
    assert len(path.read_bytes()) > len(whole)
    with RunDirectory(tmp_path, IDS) as run:
        assert run.answered == {"q1"}
    assert path.read_bytes() == whole


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write there .Not a directory"):
        RunDirectory(tmp_path / "file" / "run", IDS).__enter__()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        RunDirectory(tmp_path / "run", IDS).__enter__()
    tmp_path.chmod(0o700)


def test_find_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        find_runs(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no run"):
        find_runs(tmp_path)
    run = tmp_path / "nq" / "bm25" / "0123"
    for folder in (
        run,
        tmp_path / "nq" / ".memory" / "x" / "memory",
    ):  # a method may save a manifest.json of its own
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    assert find_runs(tmp_path) == find_runs(run.parent) == find_runs(run) == [run]
