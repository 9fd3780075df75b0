"""``merge`` puts runs of several folders in one, or says why they cannot stand together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.errors import InputError, RunLockedError
from harness.files import locked
from harness.runs.directory import find_runs
from harness.runs.manifest import RunConfig
from harness.runs.performance import read_performance, update_performance
from harness.runs.scoring import score_run
from leaderboards.board import build
from leaderboards.merge import merge
from tests.leaderboards.conftest import prediction

IDS = ["q0", "q1"]


@pytest.fixture
def machines(runs: Path, write_run, write_gold, tmp_path: Path) -> tuple[Path, Path]:
    """Two folders; the first has runs of bm25 and ircot, the second of bm25 and dense."""
    write_gold({id_: ["d1"] for id_ in IDS})
    rows = [{**prediction(id_, ["d1"]), "answer": "x"} for id_ in IDS]
    for method in ("bm25", "ircot", "dense"):
        folder = write_run(method, questions=2, predictions=rows)
        score_run(folder)
        place = runs / "nq" / method / manifest(folder)["run_id"]
        place.parent.mkdir()
        folder.rename(place)
    (runs / "nq" / ".memory" / "dense").mkdir(parents=True)
    other = tmp_path / "other"
    shutil.copytree(runs, other)
    shutil.rmtree(runs / "nq" / "dense")
    shutil.rmtree(other / "nq" / "ircot")
    return runs, other


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def change(folder: Path, **parts) -> None:
    (folder / "manifest.json").write_text(json.dumps({**manifest(folder), **parts}))


def answer_otherwise(folder: Path) -> None:
    path = folder / "predictions.jsonl"
    path.write_text(path.read_text().replace('"x"', '"y"'))


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_runs_of_both_stand_in_one_folder_and_equal_ones_once(machines, tmp_path: Path) -> None:
    out = tmp_path / "all"
    told = merge(machines, out)
    assert told[0] == f"3 runs copied to {out}, 0 were there"
    (note,) = told[1:]
    assert note.startswith("left out: ") and "bm25" in note and note.endswith("is the same")
    assert {row.method for row in build(out).tables[0].rows} == {"bm25", "ircot", "dense"}
    assert files(out) == files(machines[0]) | files(machines[1])
    assert not (out / "nq" / ".memory").exists() and not list(out.glob(".merging"))
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.json*")}
    assert merge(machines, out)[0] == f"0 runs copied to {out}, 3 were there"
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.json*")} == before


def tree(root: Path) -> list[str]:
    """Every file and folder, those that are hidden among them, but for locks."""
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.name != ".lock")


@pytest.mark.parametrize("holds", ["nothing", "a run"])
@pytest.mark.parametrize("call", ["copyfile", "rename"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_merge_that_is_stopped_anywhere_leaves_all_as_it_was(
    machines, tmp_path: Path, monkeypatch, holds: str, call: str, error: BaseException
) -> None:
    out, real = tmp_path / "all", {"copyfile": shutil.copyfile, "rename": Path.rename}[call]
    if holds == "a run":
        merge([machines[0] / "nq" / "bm25"], out)
    before, whole = tree(tmp_path), files(machines[0]) | files(machines[1])
    stops = 0
    while True:
        left = stops

        def failing(*args: object) -> object:
            nonlocal left
            left -= 1
            if left == -1:
                raise error
            return real(*args)

        monkeypatch.setattr(shutil if call == "copyfile" else Path, call, failing)
        try:
            merge(machines, out)
        except (KeyboardInterrupt, InputError) as told:
            assert isinstance(told, KeyboardInterrupt) or "No space left" in str(told)
        else:
            break
        finally:
            monkeypatch.undo()
        assert tree(tmp_path) == before
        stops += 1
    assert stops == {"copyfile": 13, "rename": 1}[call] or (holds == "a run" and stops > 1)
    assert files(out) == whole


def test_a_merge_that_was_killed_leaves_nothing_in_the_way(machines, tmp_path: Path) -> None:
    out = tmp_path / "all"
    for half in (tmp_path / ".all.merging", out / ".merging"):
        (half / "nq" / "bm25" / "x").mkdir(parents=True)
        (half / "nq" / "bm25" / "x" / "manifest.json").write_text("{")
        merge(machines, out)
        assert files(out) == files(machines[0]) | files(machines[1])
        shutil.rmtree(out / "nq" / "dense")
    merge(machines, out)
    assert not half.exists() and files(out) == files(machines[0]) | files(machines[1])


@pytest.mark.parametrize("stranger", ["place", "task", "out", "gold"])
def test_other_files_in_the_way_are_named_and_nothing_is_copied(
    machines, tmp_path: Path, stranger: str
) -> None:
    out = tmp_path / "all"
    (dense,) = (machines[1] / "nq" / "dense").iterdir()
    (gold,) = machines[0].glob("nq/questions-*.jsonl")
    path = {
        "place": out / "nq" / "dense" / dense.name / "notes.txt",
        "task": out / "nq",
        "out": out,
        "gold": out / "nq" / gold.name,
    }[stranger]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    before = tree(tmp_path)
    where = path.parent if stranger == "place" else path
    with pytest.raises(InputError, match=f"nothing was merged: {where}: "):
        merge(machines, out)
    assert tree(tmp_path) == before and path.read_text() == "mine"


def with_other_answers(folder: Path) -> None:
    answer_otherwise(folder)
    score_run(folder)


def with_another_schema(folder: Path) -> None:
    change(folder, schema_version=2)


def with_other_metrics(folder: Path) -> None:
    stamp = json.loads((folder / "scores.json").read_text())
    (folder / "scores.json").write_text(json.dumps({**stamp, "metrics_version": 2}))


def with_other_gold(folder: Path) -> None:
    (gold,) = folder.parents[1].glob("questions-*.jsonl")
    gold.write_text(gold.read_text().replace('["x"]', '["y"]'))


def with_another_corpus(folder: Path) -> None:
    config = manifest(folder)["config"]
    config["task"]["passages"] = 4999
    change(folder, config=config, run_id=RunConfig.model_validate(config).run_id)
    score_run(folder)


@pytest.mark.parametrize(
    ("differ", "reason"),
    [
        (with_other_answers, "the same run with different predictions"),
        (with_another_schema, "schema version 2, this release reads 1"),
        (with_other_metrics, "different metrics versions: 2 .* run `memory-harness score`"),
        (with_other_gold, "damaged or edited: its fingerprint is"),
        (with_another_corpus, "different corpus under the fingerprint"),
        (answer_otherwise, "changed since they were scored"),
    ],
)
def test_what_contradicts_is_refused_by_name_and_nothing_is_copied(
    machines, tmp_path: Path, differ, reason: str
) -> None:
    (folder,) = machines[1].glob("nq/bm25/*")
    differ(folder)
    with pytest.raises(InputError, match=f"nothing was merged: .*{reason}") as raised:
        merge(machines, tmp_path / "all")
    assert str(machines[1]) in str(raised.value)
    assert not (tmp_path / "all").exists()


def test_a_run_that_has_come_further_is_taken(machines, tmp_path: Path) -> None:
    (folder,) = machines[0].glob("nq/bm25/*")
    path = folder / "predictions.jsonl"
    path.write_text(path.read_text().partition("\n")[0] + "\n")
    change(folder, status="running")
    (dense,) = machines[1].glob("nq/dense/*")
    change(dense, status="running")
    told = merge(machines, tmp_path / "all")
    assert any(f"{folder}; " in line and line.endswith("has come further") for line in told)
    (line,) = (line for line in told if line.startswith("incomplete"))
    assert str(dense) in line
    copied = tmp_path / "all" / folder.relative_to(machines[0])
    assert manifest(copied)["status"] == "finished"
    # What is there is never replaced.
    change(copied, status="running")
    before = files(tmp_path / "all")
    with pytest.raises(InputError, match=rf"{copied}: not finished, but .* is; remove it"):
        merge(machines, tmp_path / "all")
    assert files(tmp_path / "all") == before


def test_two_merges_do_not_meet(machines, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    with locked(tmp_path / "all", "x"), pytest.raises(RunLockedError, match="merged folder"):
        merge(machines, tmp_path / "all")


def test_of_equal_answers_the_copy_with_measured_figures_is_taken(machines, tmp_path: Path) -> None:
    (folder,) = find_runs(machines[1] / "nq" / "bm25")
    update_performance(folder, latency={"seconds": [1.0, 2.0]})
    _, note = merge(machines, tmp_path / "all")
    assert str(machines[0]) in note.partition(";")[0] and note.endswith("more beside its answers")
    (copied,) = find_runs(tmp_path / "all" / "nq" / "bm25")
    assert read_performance(copied).latency == read_performance(folder).latency
