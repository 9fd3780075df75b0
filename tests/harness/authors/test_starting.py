"""What an author starts from works as it is written."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from harness.authors.starting import new_method, new_task
from harness.boards.method_entry import load_method
from harness.boards.task_entry import TaskFiles, load_task_data
from harness.errors import InputError
from harness.registry import load_plugin, register_method
from harness.runs.directory import find_runs
from harness.testing.conformance import check_method
from tests.harness.conftest import CommandLine

PROJECT = Path(__file__).parents[3] / "pyproject.toml"


@pytest.fixture(params=[False, True], ids=["plain", "memory"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The file of a new method."""
    return new_method("retrieve-twice", tmp_path / "own", memory=request.param)


def test_a_new_method_is_a_plugin_that_keeps_the_rules(written: Path) -> None:
    load_plugin(str(written))
    cls = load_method("retrieve-twice")
    assert (cls.__name__, cls.card.title) == ("RetrieveTwice", "Retrieve twice")
    assert "a memory holds no pickles" in check_method(cls) or "write" not in vars(cls)
    assert "start" not in written.read_text().replace("Start here:", "").lower()


def test_its_test_passes_and_runs_what_it_says(written: Path) -> None:
    test = written.with_name("test_retrieve_twice.py")
    functions = [f for f in ast.parse(test.read_text()).body if isinstance(f, ast.FunctionDef)]
    sys.path.insert(0, str(written.parent))
    try:
        space: dict[str, object] = {}
        exec(compile(test.read_text(), test, "exec"), space)
        for function in functions:
            space[function.name]()
    finally:
        sys.path.remove(str(written.parent))
        del sys.modules["retrieve_twice"]
    assert len(functions) == 2


def test_its_test_fails_under_pytest_once_the_method_is_broken(tmp_path: Path) -> None:
    file = new_method("retrieve-twice", tmp_path)
    file.write_text(file.read_text().replace("reply.first_line", "3"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout
    assert "its answer is 3" in done.stdout and "2 failed" in done.stdout


@pytest.mark.skipif(shutil.which("ruff", path=str(Path(sys.executable).parent)) is None,
                    reason="ruff is an extra")  # fmt: skip
def test_new_files_are_as_the_linters_want_them(written: Path) -> None:
    for command in (["check"], ["format", "--check"]):
        ruff = [str(Path(sys.executable).parent / "ruff"), *command, "--config", str(PROJECT)]
        done = subprocess.run(
            [*ruff, "--no-cache", "."], cwd=written.parent, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout


def test_a_package_offers_its_method_by_an_entry_point(tmp_path: Path) -> None:
    file = new_method("retrieve-twice", tmp_path, package=True)
    project = tomllib.loads(file.with_name("pyproject.toml").read_text())
    points = project["project"]["entry-points"]["memory_harness.methods"]
    assert points == {"retrieve-twice": "retrieve_twice:RetrieveTwice"}
    assert project["tool"]["setuptools"]["py-modules"] == [file.stem]
    assert file.parent == tmp_path / "retrieve-twice"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("RetrieveTwice", "lower-case words"),
        ("2-steps", "lower-case words"),
        ("../up", "lower-case words"),
        ("a--b", "lower-case words"),
        ("class", "a word of Python's own"),
        ("json", "would hide the module 'json'"),
        ("numpy", "would hide the module 'numpy'"),
        ("test-me", "would be taken for a test"),
        ("bm25", "exists already"),
        ("taken", "exists already"),
    ],
)
def test_names_that_cannot_be_are_refused_before_anything_is_written(
    name: str, message: str, tmp_path: Path
) -> None:
    register_method("taken", "nowhere:Class")
    with pytest.raises(InputError, match=message):
        new_method(name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["method", "task"])
def test_nothing_is_written_over(kind: str, tmp_path: Path) -> None:
    there = tmp_path / ("test_mine.py" if kind == "method" else "mine/task.yaml")
    there.parent.mkdir(exist_ok=True)
    there.write_text("mine")
    with pytest.raises(InputError, match=r"exists already; choose another name or --out"):
        new_method("mine", tmp_path) if kind == "method" else new_task("mine", tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [there]
    assert there.read_text() == "mine"


def test_a_new_task_loads_with_all_that_a_task_may_have(tmp_path: Path) -> None:
    folder = new_task("support-tickets", tmp_path)
    data = load_task_data(str(folder), "sample", None, TaskFiles())
    assert (data.name, data.card.title) == ("support-tickets", "Support tickets")
    assert all(question.gold_doc_ids for question in (*data.questions, *data.train))
    assert "train_left_out" not in data.provenance and len(data.train) >= 4
    with pytest.raises(InputError, match="task 'nq' exists already"):
        new_task("nq", tmp_path)


def test_the_commands_that_are_printed_work(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (["new-task", "own-task"], ["new-method", "own-way"]):
        printed = cli(*command).out
        lines = [line.split() for line in printed.splitlines() if "memory-harness" in line]
        assert len(lines) == 3
        for _, *words in lines:
            words = [word.replace("nq", "./own-task") for word in words]
            done = cli(*words, *(["--latency-queries", "0"] if words[0] == "run" else []))
            assert done.code == 0, done.err
    assert len(list(find_runs(tmp_path / "runs"))) == 2
