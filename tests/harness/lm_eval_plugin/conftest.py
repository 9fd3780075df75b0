from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import harness.llm.open
from harness.llm.base import LanguageModel
from harness.registry import register_method
from tests.harness.lab import Ask, CountingModel, without_torch
from tests.harness.lm_eval_plugin.lab import Results, task_folder


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """The folder of a small task."""
    return task_folder(tmp_path / "toy")


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> CountingModel:
    """The model that answers whichever is named; what it was asked shows in ``calls``."""
    model = CountingModel()
    without_torch(monkeypatch)
    monkeypatch.setattr(harness.llm.open, "open_model", lambda *_, **__: model)
    return model


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Results]:
    """lm-eval's evaluation of one task by a method, as its command line asks for it."""
    import lm_eval.evaluator as evaluator
    from lm_eval.tasks import TaskManager

    import harness.lm_eval_plugin.registration  # noqa: F401

    monkeypatch.setattr(evaluator, "add_env_info", lambda _: None)
    monkeypatch.setattr(evaluator, "get_git_commit_hash", lambda: None)
    register_method("ask", Ask)

    def call(task: dict[str, Any], method: str = "ask", **options: Any) -> Results:
        args = {"method": method, **options.pop("args", {})}
        everything = evaluator.simple_evaluate(
            options.pop("model", "memory"),
            args if "model" not in options else None,
            tasks=[task],
            task_manager=TaskManager(include_defaults=False),
            **options,
        )
        return Results(everything, task["task"])

    return call


def opened(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this model answer."""
    monkeypatch.setattr(harness.llm.open, "open_model", lambda *_, **__: model)
