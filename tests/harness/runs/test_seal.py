"""Seals: an edited manifest is refused by name; what the harness itself changes renews its seal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.files import write_json
from harness.runs import stamp
from harness.runs.directory import RunDirectory
from harness.runs.execute import execute
from harness.runs.manifest import read_manifest
from harness.runs.packing import pack
from harness.runs.scoring import check_scores, score_run
from harness.runs.stamp import check_manifest, read_stamp
from tests.harness.lab import CountingModel, FailingServer, make_plan, quiet, without_torch


@pytest.fixture
def folder(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run that was not timed."""
    without_torch(monkeypatch)
    return execute(make_plan(files), tmp_path / "runs", CountingModel(), None, quiet())


def stamped(folder: Path) -> dict:
    return json.loads((folder / "scores.json").read_text())


def edit(folder: Path, **parts: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    write_json(folder / "manifest.json", {**manifest, **parts})


def ids(folder: Path) -> tuple[str, ...]:
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    return tuple(json.loads(line)["question_id"] for line in lines)


def sound(folder: Path) -> None:
    """The run is taken, and its stamp holds for the manifest alone that is there."""
    read_stamp(folder, read_manifest(folder))
    assert stamped(folder)["manifests"] == [stamp.seal_of(folder)]


def test_measuring_later_renews_the_seal_and_keeps_the_stamp(folder: Path, files: Path) -> None:
    sound(folder)
    before = stamped(folder)
    execute(make_plan(files, queries=3), folder.parents[2], CountingModel(), None, quiet())
    assert read_manifest(folder).timing != {}
    sound(folder)
    after = stamped(folder)
    assert after["manifests"] != before["manifests"]
    assert {**after, "manifests": 0} == {**before, "manifests": 0}


def test_asking_failed_questions_again_renews_it(folder: Path, files: Path) -> None:
    path = folder / "predictions.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    failed = json.loads(lines[3]) | {"answer": "", "error": "ValueError: no"}
    path.write_text("".join([*lines[:3], json.dumps(failed) + "\n", *lines[4:]]))
    score_run(folder)
    edit(folder, created="2020-01-01")
    plan = replace(make_plan(files), retry_errors=True)
    execute(plan, folder.parents[2], CountingModel(), None, quiet())
    sound(folder)
    assert read_manifest(folder).created != "2020-01-01", "it is written anew, not as edited"


def test_a_server_that_fails_and_recovers_leaves_a_sound_run(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_torch(monkeypatch)
    plan, server = make_plan(files), FailingServer("number 5 ", times=1)
    folder = execute(plan, tmp_path, server, None, quiet())
    assert not read_manifest(folder).is_finished
    sound(folder)
    execute(plan, tmp_path, server, None, quiet())
    assert read_manifest(folder).is_finished
    sound(folder)


def test_nothing_takes_an_edited_manifest_for_its_own(folder: Path, files: Path) -> None:
    edit(folder, hardware={"fingerprint": "another"})
    told = (
        r"manifest\.json: changed since the run was scored; restore it, or if the change is meant"
    )
    root = folder.parents[2]
    with pytest.raises(InputError, match=told):
        execute(make_plan(files, queries=3), root, CountingModel(), None, quiet())
    for use in (check_manifest, check_scores, lambda _: pack(root, root / "a.tar.zst")):
        with pytest.raises(InputError, match=told):
            use(folder)
    with pytest.raises(InputError, match=told), RunDirectory(folder, ids(folder)) as run:
        run.change_manifest(created="2020-01-01")
    score_run(folder)  # the change is meant
    sound(folder)


@pytest.mark.parametrize("stopped", ["before", "after"])
def test_a_kill_amid_a_change_leaves_a_run_that_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stopped: str
) -> None:
    def kill(path: Path, values: object) -> None:
        if stopped == "after":
            write_json(path, values)
        raise KeyboardInterrupt

    manifest = read_manifest(folder).model_copy(update={"created": "2030-01-01"})
    with RunDirectory(folder, ids(folder)) as run:
        monkeypatch.setattr("harness.runs.directory.write_json", kill)
        with pytest.raises(KeyboardInterrupt):
            run.write_manifest(manifest)
        monkeypatch.undo()
        assert (read_manifest(folder).created == "2030-01-01") == (stopped == "after")
        read_stamp(folder, read_manifest(folder))
        run.change_manifest(created="2030-01-02")
    sound(folder)
    edit(folder, created="2030-01-01")
    with pytest.raises(InputError, match="changed since the run was scored"):
        read_stamp(folder, read_manifest(folder))
