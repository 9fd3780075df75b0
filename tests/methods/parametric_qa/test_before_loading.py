"""What the evaluating commands refuse before a model is loaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from harness.cli import main as cli

SERVER = "openai:m@http://localhost:1/v1"


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("loaded")

    for module in (
        "harness.llm.open",
        "methods.parametric_qa.evaluate.evaluate_write",
    ):
        monkeypatch.setattr(f"{module}.open_model", fail)
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["memory-harness", *words])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return call


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate-write", "--task", "nq", "--passages", "2"],
        ["evaluate-forgetting", "--task", "nq"],
        ["evaluate-update", "--facts", "2"],
        ["map-memories", "--task", "nq", "--out", "map"],
        ["evaluate-dimensions", "--task", "nq"],
    ],
    ids=lambda words: words[0],
)
def test_shared_parts_that_are_not_there_and_models_that_run_elsewhere(refused, command) -> None:
    assert "nowhere" in refused(*command, "--shared", "./nowhere")
    line = refused(*command, "--model", SERVER)
    assert "model 'm' cannot read vectors" in line or "and the capability 'soft-prompts'" in line


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["train", "none", "--out", "x"], "no recipe 'none'"),
        (["train", "proposal-cpu", "--out", "x", "--model", SERVER], "model 'm' cannot be trained"),
        (["evaluate-write", "--task", "nqq"], "unknown task 'nqq'; did you mean 'nq'"),
        (["evaluate-write", "--task", "nq", "--init", "best"], "--init best: Input should be"),
    ],
)
def test_what_there_is_not(refused, words: list[str], problem: str) -> None:
    assert problem in refused(*words)


@pytest.mark.skipif(importlib.util.find_spec("umap") is not None, reason="UMAP is installed")
def test_a_projection_that_is_not_installed(refused) -> None:
    line = refused("map-memories", "--task", "nq", "--out", "map", "--projection", "umap")
    assert line.startswith("error: UMAP is not installed; install ")
    assert line.endswith("or take tsne")
