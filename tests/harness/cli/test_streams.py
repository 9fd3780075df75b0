"""Output reaches any terminal: other encodings, readers that left, a disk that is full."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main as command_line
from harness.cli.streams import plain, prepare_streams
from tests.harness.conftest import CommandLine

SIGNS = "F1 \u00b1 2 \u2014 \u2020oracle \u00b9 caf\u00e9 \u4e2d \ud800 \u201cx\u201d\u2026"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "F1 \u00b1 2 \u2014 \u2020oracle \u00b9 caf\u00e9 \u4e2d ? \u201cx\u201d\u2026"),
        ("ascii", 'F1 +/- 2 - +oracle 1 cafe ? ? "x"...'),
        ("latin-1", 'F1 \u00b1 2 - +oracle \u00b9 caf\u00e9 ? ? "x"...'),
        ("cp1252", "F1 \u00b1 2 \u2014 \u2020oracle \u00b9 caf\u00e9 ? ? \u201cx\u201d\u2026"),
        ("cp437", 'F1 \u00b1 2 - +oracle 1 caf\u00e9 ? ? "x"...'),
    ],
)
def test_signs_that_an_encoding_lacks_are_written_as_the_likest(
    encoding: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    prepare_streams()
    command_line.typer.echo(SIGNS)
    command_line.typer.echo(SIGNS, err=True)
    for stream in streams:
        stream.flush()
        assert stream.buffer.getvalue().decode(encoding) == f"{shown}\n"


def test_ascii_stays_as_it_is() -> None:
    text = "".join(map(chr, range(128)))
    assert plain(text) == text


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_command_prints_on_such_a_terminal(
    encoding: str, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As every command does: all go through the same streams."""
    for arguments in (
        ["describe", "corag"],
        ["list", "methods"],
        ["describe", "no-such-th\u0142ng"],
    ):
        out = io.TextIOWrapper(io.BytesIO(), encoding)
        monkeypatch.setattr("sys.argv", ["memory-harness", *arguments])
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", out)
        with pytest.raises(SystemExit) as stopped:
            command_line.main()
        assert stopped.value.code in (0, 2)
        out.flush()
        assert out.buffer.getvalue().decode(encoding).strip()


def run(folder: Path, end: str) -> subprocess.CompletedProcess[str]:
    """A command whose output goes where ``end`` sends it, which echoes its own status."""
    command = f'("{sys.executable}" -m harness --help; echo "status $?" >&2) {end}'
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("end", "left"),
    [
        ("| true", "status 1\n"),
        (">&-", "status 0\n"),
        (
            "> /dev/full",
            "error: the output cannot be written (No space left on device)\nstatus 2\n",
        ),
    ],
)
def test_output_that_nobody_takes_ends_quietly(tmp_path: Path, end: str, left: str) -> None:
    assert run(tmp_path, end).stderr == left
