"""The command ``replies``: what is kept, and deleting it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.boards.config import parse_changes
from harness.cli.main import app
from harness.errors import ConfigError
from harness.llm.reply_cache import open_store


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["replies", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_it_says_what_is_kept_and_deletes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path / "cache"))
    assert "replies.sqlite: 0 replies, 0.0 MB" in said()
    assert not (tmp_path / "cache").exists()
    store = open_store(5)
    for n in range(100):
        store.put(str(n), "x" * 5000)
    before = store.bytes
    assert f"100 replies, {before / 1e6:.1f} MB" in said() and before > 500_000
    assert ": 0 replies" in said("--clear")
    assert store.get(["1"]) == {} and store.bytes < before / 4


def test_a_limit_is_a_number_of_megabytes() -> None:
    assert parse_changes({"replies": 500}).replies == 500
    with pytest.raises(ConfigError, match="'replies' = -1"):
        parse_changes({"replies": -1})
