"""What no model is needed to refuse is refused before one is loaded, by every command."""

from __future__ import annotations

import json
import shutil

import pytest

import harness.llm.open
from harness.boards.changing.subject import every_method
from harness.data.trained_on import write_record
from harness.llm.catalogue import resolve_model
from methods.parametric_qa.evaluate import evaluate_write
from methods.parametric_qa.reader import DEFAULT_SHARED
from methods.parametric_qa.shared.bundle import find_bundle
from methods.parametric_qa.train.recipe import RECIPES
from methods.xrag.bridge import CONFIG_FILE, TENSORS_FILE
from tests.harness.conftest import CommandLine, cli
from tests.methods.parametric_qa.small_tasks import write_task
from tests.methods.xrag_lab import load_tiny, save_bridge

__all__ = ["cli"]

COMMANDS = (
    ("run",), ("evaluate-update", "--facts", 4), ("evaluate-forgetting", "--limit", 4),
)  # fmt: skip


@pytest.fixture
def refused(cli: CommandLine, completion_model_dir, tmp_path, monkeypatch):
    """The error of a command, with a task and the tiny model; loading one fails the test."""

    def loaded(*_, **__):
        raise AssertionError("a model was loaded")

    task = ["--task", write_task(tmp_path / "tasks")]
    monkeypatch.setattr(harness.llm.open, "open_model", loaded)
    monkeypatch.setattr(evaluate_write, "open_model", loaded)

    def call(command: str, *arguments: object, with_task: bool = True) -> str:
        more = [*task, "--out", tmp_path / "out"] if with_task else []
        return cli.refuses(command, *more, "--model", f"path:{completion_model_dir}", *arguments)

    return call


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bridge_that_does_not_fit(refused, command, completion_model_dir, tmp_path):
    def xrag(*arguments):
        return refused(*command, "--method", "xrag", *arguments)

    tiny = load_tiny(completion_model_dir)
    assert "is no checkpoint of xRAG" in xrag()
    assert f"holds no {CONFIG_FILE}" in xrag("-p", f"bridge={tmp_path / 'none'}")
    bridge = tmp_path / "bridge"
    bridge.mkdir()
    write_record(bridge, {})
    save_bridge(tiny, bridge, encoder="other")
    assert "of the encoder 'other'" in xrag("-p", f"bridge={bridge}")
    save_bridge(tiny, bridge, encoder="other", prompt_style="chat")
    assert "trained on chat prompts" in xrag("-p", f"bridge={bridge}")
    (bridge / TENSORS_FILE).write_bytes(b"torn")
    assert TENSORS_FILE in xrag("-p", f"bridge={bridge}")


def test_shared_parts_that_do_not_fit(refused, tmp_path):
    shipped, chat = find_bundle(DEFAULT_SHARED), tmp_path / "chat"
    shutil.copytree(shipped, chat)
    values = json.loads((chat / "shared.json").read_text())
    (chat / "shared.json").write_text(json.dumps({**values, "prompt_style": "chat"}))
    shared = ("--shared", chat)
    for asked in (
        ("run", "--method", "parametric-qa", "-p", f"shared={chat}"),
        ("evaluate-forgetting", "--limit", 4, "--passages", 4, *shared),
        ("evaluate-write", "--passages", 4, *shared),
        ("map-memories", *shared),
        ("evaluate-dimensions", *shared),
    ):
        assert "trained on chat prompts" in refused(*asked)
    asked = ("evaluate-encoder", *shared)
    assert "trained on chat prompts" in refused(*asked, with_task=False)
    assert "have no encoder" in refused("evaluate-encoder", "--shared", shipped, with_task=False)
    asked = ("evaluate-dimensions", "--shared", "smollm2-135m-tokens")
    assert "are tokens of the text, stored as ids" in refused(*asked)
    assert "was trained on nq, triviaqa, hotpotqa, musique" in refused("evaluate-dimensions")
    asked = ("evaluate-dimensions", "--task", "nq", "--groups", 577)
    assert "--groups 577: a slot has 576" in refused(*asked, with_task=False)
    asked = ("evaluate-write", "--passages", 4, "--init", "encoder")
    assert "needs shared parts that hold" in refused(*asked)
    assert "have one size" in refused("run", "--method", "parametric-qa", "-p", "size=4x8x8")


def test_trainings_that_cannot_begin(refused, tmp_path):
    bridge = ("train-bridge", "smollm2-135m-instruct")
    assert "no encoder 'nobody'" in refused(*bridge, "--encoder", "nobody")
    assert "train questions are left to learn from" in refused(*bridge)
    recipe = tmp_path / "further.yaml"
    text = (RECIPES / "smollm2-135m-instruct.yaml").read_text()
    recipe.write_text(f"{text}\nstart: {tmp_path / 'none'}\n")
    assert "none: holds no shared.json" in refused("train", recipe)


def test_all_methods_leave_out_one_whose_files_do_not_fit(completion_model_dir):
    found, left_out = every_method(resolve_model(f"path:{completion_model_dir}"))
    assert "bm25" in found and "no checkpoint of xRAG" in left_out["xrag"]
