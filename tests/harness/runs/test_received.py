"""Run folders that somebody sent: what lies in them reaches nothing outside, and no terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.boards.config import parse_board
from harness.boards.whole import run_whole
from harness.cli.show import story
from harness.errors import InputError
from harness.files import atomic_file
from harness.fingerprint import file_sha256
from harness.runs.directory import RunDirectory
from harness.runs.gold import gold_of, gold_rows
from harness.runs.manifest import read_manifest
from harness.runs.predictions import read_predictions
from tests.harness.lab import quiet
from tests.harness.runs.going import go

LINKED = ("predictions.jsonl", ".lock", "manifest.json", "more/deep.json")


@pytest.mark.parametrize("name", LINKED)
def test_a_run_with_a_link_in_it_is_not_continued_and_its_target_stays(
    files: Path, tmp_path: Path, name: str
) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("my own\n")
    folder = go(files, tmp_path / "runs")
    link = folder / name
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(mine)
    with (
        pytest.raises(InputError, match=f"{name}: is a symbolic link to '{mine}'; nothing is"),
        RunDirectory(folder, ("q1",)) as run,
    ):
        run.append("q1", b"{}\n")
    assert mine.read_text() == "my own\n"


def test_a_board_writes_nothing_through_a_link_to_another_folder(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    out = tmp_path / "runs"
    out.mkdir()
    (out / "nq").symlink_to(mine)
    board = parse_board({"name": "b", "tasks": ["nq"], "methods": ["no-retrieval"]}, "board.yaml")
    with pytest.raises(InputError, match="runs/nq: is a symbolic link"):
        run_whole(board, out, quiet())
    assert not list(mine.iterdir())


def test_the_folder_that_a_user_names_may_be_a_link_of_the_users(
    files: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    folder = go(files, tmp_path / "runs")
    assert (folder / "predictions.jsonl").stat().st_size


DEEP = "[" * 100_000
LINES = {
    "nested lists": DEEP,
    "a nested step": '{"question_id": "q0", "answer": "a", "retrieved_ids": [], "usage": {}, '
    f'"steps": {DEEP}',
    "no object": "[1]",
    "ids that are numbers": '{"retrieved_ids": [1]}',
    "steps that are texts": '{"steps": ["search"]}',
    "a step without a kind": '{"steps": [{"query": "x"}]}',
    "an answer that is a list": '{"answer": ["a"]}',
    "a count that is a text": '{"usage": {"llm_calls": "many"}}',
    "usage that is a list": '{"usage": []}',
    "an error that is a number": '{"error": 3}',
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_predictions_of_other_types_are_told_in_one_line(
    files: Path, tmp_path: Path, line: str
) -> None:
    path = go(files, tmp_path / "runs") / "predictions.jsonl"
    first, *others = path.read_text().splitlines()
    if line.startswith("{") and line.endswith("}"):
        line = json.dumps(json.loads(first) | json.loads(line))
    path.write_text("\n".join([line, *others, ""]))
    with pytest.raises(InputError, match=r"predictions\.jsonl:1: not a prediction \(") as told:
        list(read_predictions(path))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "line", [DEEP, "{}", "[]", '{"id": 1}', '{"golden_answers": "x"}', '{"gold_doc_ids": [7]}']
)
def test_gold_of_other_types_is_told_though_its_fingerprint_fits(
    files: Path, tmp_path: Path, line: str
) -> None:
    folder = go(files, tmp_path / "runs")
    task = read_manifest(folder).config.task
    path = gold_of(folder, task)
    if line.startswith("{") and len(line) > 2:
        first = json.loads(path.read_text().splitlines()[0])
        line = json.dumps(first | json.loads(line))
    path.write_text(f"{line}\n")
    made_up = task.model_copy(update={"questions_fingerprint": file_sha256(path)})
    path.rename(gold_of(folder, made_up))
    with pytest.raises(InputError, match=r"jsonl:1: .*; delete the file and run the same board"):
        list(gold_rows(folder, made_up))


def test_ids_of_a_received_run_cannot_steer_a_terminal(files: Path, tmp_path: Path) -> None:
    folder = go(files, tmp_path / "runs")
    path = folder / "predictions.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["retrieved_ids"] = ["\x1b]0;title\x07", "d1\x9b31m"]
    rows[0]["steps"] = [{"kind": "\x1b[31m", "x": 1}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = story(tmp_path / "runs", rows[0]["question_id"])
    assert "]0;title" in text and "31m" in text
    assert all(char.isprintable() or char == "\n" for char in text)


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_files_are_open_to_those_whom_the_umask_lets_in(
    tmp_path: Path, umask: int, mode: int
) -> None:
    write = (
        "import sys; from pathlib import Path; from harness.files import write_json;"
        "write_json(Path(sys.argv[1]), 1)"
    )
    path = tmp_path / "x.json"
    subprocess.run([sys.executable, "-c", write, str(path)], check=True, umask=umask)
    assert path.stat().st_mode & 0o777 == mode


def test_a_file_written_over_a_link_takes_the_links_place(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "out").symlink_to(tmp_path / "mine")
    with atomic_file(tmp_path / "out") as file:
        file.write(b"new")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "out").read_text() == "new"
    assert not (tmp_path / "out").is_symlink()
