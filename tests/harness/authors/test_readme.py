"""The README's sections for authors work as they are written, with the default model."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.runs.directory import find_runs
from tests.readme import README, follow

pytestmark = pytest.mark.model


def test_a_task_is_added_as_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow("Add a task", tmp_path, monkeypatch)
    assert len(list(find_runs(tmp_path / "runs"))) == 1


def test_a_method_is_added_as_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = README.parent / "methods" / "README.md"
    follow("Add a method", tmp_path, monkeypatch, limit=1)
    follow("A method with a memory", tmp_path, monkeypatch, page, limit=1)
    assert len(list(find_runs(tmp_path / "runs"))) == 2
