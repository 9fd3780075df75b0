from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import harness.llm.open
from harness.cli import main as command_line
from harness.llm.base import LanguageModel
from tests.harness.lab import CountingModel, without_torch, write_task


@dataclass
class Done:
    """What a command left: exit status and both streams."""

    code: int
    out: str
    err: str


@dataclass
class CommandLine:
    """Calls the entry point in this process; ``model`` answers instead of the one named."""

    call: Callable[[list[str]], Done]
    model: LanguageModel = field(default_factory=CountingModel)

    def __call__(self, *arguments: object) -> Done:
        return self.call([str(argument) for argument in arguments])

    def refuses(self, *arguments: object) -> str:
        """The one line of an error that a user can act on."""
        done = self(*arguments)
        assert done.code == 2, done
        *before, line = done.err.splitlines()
        assert line.startswith("error: "), done.err
        assert all(text.startswith("loading ") for text in before), done.err
        return line


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The files of a small task: 24 questions, 30 passages, 6 train questions."""
    return write_task(tmp_path / "files")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    def call(arguments: list[str]) -> Done:
        monkeypatch.setattr("sys.argv", ["memory-harness", *arguments])
        with pytest.raises(SystemExit) as stopped:
            command_line.main()
        captured = capsys.readouterr()
        code = stopped.value.code
        assert isinstance(code, int)
        return Done(code, captured.out, captured.err)

    without_torch(monkeypatch)
    line = CommandLine(call)
    monkeypatch.setattr(harness.llm.open, "open_model", lambda *_, **__: line.model)
    return line
