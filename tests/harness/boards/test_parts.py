"""Parts of a board: jobs that know nothing of each other, merged to what one process leaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import harness.llm.open
from harness.boards.config import Board, parse_board
from harness.boards.parts import Part, deal_out
from harness.boards.run import plan_runs
from harness.boards.whole import run_whole
from harness.boards.worker import plans_of
from harness.boards.workers import Workers
from harness.cli.main import main
from harness.errors import ConfigError, InputError
from harness.registry import register
from harness.runs.directory import find_runs
from harness.runs.manifest import read_manifest
from harness.runs.performance import read_performance
from leaderboards.merge import merge
from tests.harness.lab import (
    CountingModel,
    FailingServer,
    Remember,
    quiet,
    without_torch,
    write_task,
)
from tests.readme import section, steps

PARTS = 4
SAME = ("predictions.jsonl", "scores.jsonl", "questions-*.jsonl", "unanswered.jsonl")


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """Two tasks of 10 and 9 questions; a memory is shared by two of the three methods."""
    without_torch(monkeypatch)
    monkeypatch.setattr(harness.llm.open, "open_model", lambda *_, **__: CountingModel())
    register("methods", "remember", Remember)
    tasks = []
    for name, limit in (("first", 10), ("second", 9)):
        files = write_task(tmp_path / name)
        paths = {key: str(files / f"{key}.jsonl") for key in ("questions", "corpus", "train")}
        tasks.append({"name": name, "files": paths, "limit": limit})
    methods = ["no-retrieval", "remember", {"name": "bm25", "params": {"k": 1}}]
    values = {"name": "small", "tasks": tasks, "methods": methods, "timings": False}
    return parse_board(values, "board")


def run(board: Board, out: Path, part: str | None = None, **options: Any) -> list[Path]:
    chosen = Part.parse(part) if part else None
    return run_whole(board, out, quiet(), device="cpu", part=chosen, **options)


def run_parts(board: Board, folder: Path, parts: int = PARTS) -> list[Path]:
    outs = [folder / f"part-{number}" for number in range(1, parts + 1)]
    for number, out in enumerate(outs, start=1):
        run(board, out, f"{number}/{parts}")
    return outs


def same_files(root: Path) -> dict[str, bytes]:
    found = [path for name in SAME for path in root.rglob(name)]
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def test_merged_parts_are_the_whole_run_to_the_byte(board: Board, tmp_path: Path) -> None:
    run(board, tmp_path / "whole")
    outs = run_parts(board, tmp_path)
    told = merge(outs, tmp_path / "all")
    assert same_files(tmp_path / "all") == same_files(tmp_path / "whole")
    assert len(find_runs(tmp_path / "all")) == 6
    assert [line for line in told if line.startswith("joined: ")]
    for folder in find_runs(tmp_path / "all"):
        alike = tmp_path / "whole" / folder.relative_to(tmp_path / "all")
        one, other = read_manifest(folder), read_manifest(alike)
        costs = [read_performance(each) for each in (folder, alike)]
        assert one.is_finished and one.shard is None and one.config == other.config
        assert (costs[0].usage, costs[0].storage) == (costs[1].usage, costs[1].storage)
        if one.answered_on is not None:
            assert one.answered_on.machines == {one.hardware.text: one.config.task.asked}
    assert run(board, tmp_path / "all"), "the whole board finds all of it finished"


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 57, 80])
def test_every_question_is_in_one_part_and_parts_differ_by_no_more_than_a_memory(
    board: Board, parts: int
) -> None:
    plans = list(plan_runs(board, "cpu"))
    dealt = [deal_out(plans, Part(number, parts)) for number in range(1, parts + 1)]
    asked = [(plan.config.run_id, q.id) for part in dealt for plan in part for q in plan.asked]
    every = [(plan.config.run_id, q.id) for plan in plans for q in plan.data.questions]
    assert sorted(asked) == sorted(every)
    sizes = [sum(len(plan.asked) for plan in part) for part in dealt]
    assert max(sizes) - min(sizes) <= 1 + 10, "a run that writes a memory has 10 questions"


def test_runs_of_one_memory_are_whole_and_in_one_part(board: Board) -> None:
    entries = [*board.methods, {"name": "remember", "params": {"shots": 1}}]
    many = parse_board({**board.model_dump(), "methods": entries, "seeds": [0, 1]}, "board")
    plans = list(plan_runs(many, "cpu"))
    for number in range(1, 6):
        for plan in deal_out(plans, Part(number, 5)):
            assert plan.config.method.name != "remember" or plan.shard is None


def test_a_stopped_part_goes_on_and_a_finished_one_asks_nothing(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, asked = tmp_path / "out", []

    def interrupt(request: object) -> None:
        asked.append(request)
        if len(asked) == 5:
            raise KeyboardInterrupt

    models = iter([CountingModel(interrupt), CountingModel(asked.append)])
    monkeypatch.setattr(harness.llm.open, "open_model", lambda *_, **__: next(models))
    with pytest.raises(KeyboardInterrupt):
        run(board, out, "1/8")
    run(board, out, "1/8")
    assert len(asked) >= 7
    run(board, out, "1/8")  # opens no third model
    (folder,) = find_runs(out)
    assert read_manifest(folder).shard.text == "part 1 of 8, questions 1 to 7"


def test_a_question_that_a_server_left_unanswered_is_left_so_by_the_merge(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_model(*_: object, **__: object) -> FailingServer:
        return FailingServer("How is number 3 called")

    monkeypatch.setattr(harness.llm.open, "open_model", open_model)
    small = board.model_copy(update={"methods": board.methods[:1]})
    run(small, tmp_path / "whole")
    merge(run_parts(small, tmp_path), tmp_path / "all")
    assert same_files(tmp_path / "all") == same_files(tmp_path / "whole")
    statuses = {read_manifest(folder).status for folder in find_runs(tmp_path / "all")}
    assert statuses == {"incomplete", "finished"} or statuses == {"incomplete"}
    assert list((tmp_path / "all").rglob("unanswered.jsonl"))


def drop(outs: list[Path]) -> None:
    shutil.rmtree(outs.pop(1))


def cut(outs: list[Path]) -> None:
    path = next(iter(outs[1].rglob("predictions.jsonl")))
    path.write_text(path.read_text().partition("\n")[0] + "\n")


def age(outs: list[Path]) -> None:
    path = next(iter(outs[1].rglob("manifest.json")))
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "harness": {"version": "0.0.1"}}))


def repeat(outs: list[Path]) -> None:
    """Questions of another part's shard, under another part's number."""
    path = next(iter(outs[1].rglob("manifest.json")))
    values = json.loads(path.read_text())
    values["shard"]["begin"] -= 1
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("differ", "reason"),
    [
        (drop, r"no folder has questions 5 to 9 of this run; run the parts of 4 that are missing"),
        (cut, r"1 of 5 questions of part 2 of 4, .* are answered; run this part again"),
        (age, r"made by different releases, .* and 0\.0\.1"),
        (repeat, r"both ask question 4; merge each part once"),
    ],
)
def test_what_is_not_all_of_a_run_is_refused_in_one_line(
    board: Board, tmp_path: Path, differ: Any, reason: str
) -> None:
    small = board.model_copy(update={"methods": board.methods[:1]})
    outs = run_parts(small, tmp_path)
    differ(outs)
    with pytest.raises(InputError, match=f"^nothing was merged: .*{reason}") as raised:
        merge(outs, tmp_path / "all")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "all").exists()


def test_parts_of_two_dealings_are_refused_and_a_copy_of_a_part_counts_once(
    board: Board, tmp_path: Path
) -> None:
    small = board.model_copy(update={"methods": board.methods[:1]})
    outs = run_parts(small, tmp_path)
    run(small, tmp_path / "other", "2/5")
    with pytest.raises(InputError, match="of different boards or dealings; merge the parts of one"):
        merge([outs[0], tmp_path / "other"], tmp_path / "all")
    copy = Path(shutil.copytree(outs[0], tmp_path / "copy"))
    merge([*outs, copy], tmp_path / "all")
    assert all(read_manifest(folder).is_finished for folder in find_runs(tmp_path / "all"))


def test_a_folder_takes_one_part(board: Board, tmp_path: Path) -> None:
    small = board.model_copy(update={"methods": board.methods[:1]})
    run(small, tmp_path, "1/4")
    with pytest.raises(ConfigError, match=r"holds part 1 of 4, .*; give each part an --out"):
        run(small, tmp_path, "2/5")


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "1/4/2", "-1/4"])
def test_a_part_is_a_number_of_parts(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--part .*: write it as NUMBER/PARTS"):
        Part.parse(text)


def test_a_worker_plans_the_shards_of_its_part(board: Board, tmp_path: Path) -> None:
    request = json.loads(Workers(board, tmp_path, part=Part(1, 8)).request(2, str(tmp_path)))
    (plan,) = plans_of(request).values()
    assert plan.shard is not None and len(plan.asked) == 7


@pytest.mark.slow
def test_the_array_of_the_readme_leaves_what_one_run_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, completion_model_dir: Path
) -> None:
    """On the tiny model; bash runs the script of each job, this process the commands in it."""
    steps_of = steps("Boards past one machine")
    (script,) = [step.text for step in steps_of if step.name == "board.sbatch"]
    merging = re.search(r"`(memory-harness merge [^`]*)`", section("Boards past one machine"))
    assert merging is not None
    files = write_task(tmp_path / "toy", 5)
    entry = {
        "name": "toy",
        "files": {k: f"toy/{k}.jsonl" for k in ("questions", "corpus", "train")},
    }
    methods = ["no-retrieval", {"name": "bm25", "params": {"k": 1}}]
    values = {"name": "b", "tasks": [entry], "methods": methods}
    model = f"path:{completion_model_dir}"
    (tmp_path / "board.yaml").write_text(yaml.safe_dump({**values, "models": [model]}))
    (tmp_path / "board.sbatch").write_text(script)
    monkeypatch.chdir(tmp_path)
    parts = int(re.search(r"--array=1-(\d+)", script)[1])
    for number in range(1, parts + 1):
        bash("board.sbatch", monkeypatch, SLURM_ARRAY_TASK_ID=str(number))
    (tmp_path / "merge.sh").write_text(merging[1])
    bash("merge.sh", monkeypatch)
    command(["run", "board.yaml", "--no-timings", "--out", "runs/whole"], monkeypatch)
    assert files.is_dir() and same_files(Path("runs/all")) == same_files(Path("runs/whole"))
    assert len(same_files(Path("runs/all"))) == 2 * 2 + 1


def bash(script: str, monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    """Run a script of which ``memory-harness`` only notes what it is called with, then do that."""
    noted = Path("noted")
    noted.unlink(missing_ok=True)
    shim = f'memory-harness() {{ printf "%s\\n" "$@" >> {noted}; }}; . ./{script}'
    subprocess.run(["bash", "-ec", shim], check=True, env={**os.environ, **variables})
    command(noted.read_text().splitlines(), monkeypatch)


def command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as stopped:
        patch.setattr("sys.argv", ["memory-harness", *words])
        main()
    assert stopped.value.code == 0, words
