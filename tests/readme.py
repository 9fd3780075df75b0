"""README sections followed as a reader would: files are put down, commands and code are run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from harness.cli.main import main

README = Path(__file__).parents[1] / "README.md"
_FENCED = re.compile(r"^```(\w*)(?: (\S+))?\n(.*?)^```$", re.M | re.S)
_NAMED = re.compile(r"# (\S+\.\w+)\n")


@dataclass(frozen=True)
class Step:
    """A file to write, a command line to run, or Python code to run.

    A block that begins with ``# name.ext``, or whose fence names a file after the language, is that
    file; one of ``python`` without a name is code; one without a language holds commands, a line
    each.
    """

    kind: Literal["file", "command", "code"]
    text: str
    name: str = ""


def section(heading: str, page: Path = README) -> str:
    """The text below a heading of the second level."""
    _, found, rest = page.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    assert found, f"{page} has no section '{heading}'"
    return rest.partition("\n## ")[0]


def steps(heading: str, page: Path = README) -> list[Step]:
    """Everything in a section that a reader can write or run, in its order."""
    found: list[Step] = []
    for language, name, text in _FENCED.findall(section(heading, page)):
        if not name and (named := _NAMED.match(text)):
            name = named[1]
        if name:
            found.append(Step("file", text, name))
        elif language == "python":
            found.append(Step("code", text))
        elif not language:
            joined = text.replace("\\\n", " ")
            lines = [line.partition("  #")[0].strip() for line in joined.splitlines()]
            found += [Step("command", line) for line in lines if line and line[0] != "#"]
    return found


def follow(
    heading: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    page: Path = README,
    limit: int | None = None,
) -> None:
    """Do what a section says, in an empty folder; AssertionError names what did not work.

    ``limit`` takes the place of the ``--limit`` of its runs: one question shows that they work.
    Models that commands load are shallow; code has the whole ones.
    """
    monkeypatch.chdir(folder)
    for step in steps(heading, page):
        if step.kind == "file":
            (folder / step.name).parent.mkdir(parents=True, exist_ok=True)
            (folder / step.name).write_text(step.text, encoding="utf-8")
        elif step.kind == "code":
            exec(compile(step.text, f"{page.name}, {heading}", "exec"), {"__name__": "__main__"})
        else:
            _command(step.text, monkeypatch, limit)


def shallow_models(monkeypatch: pytest.MonkeyPatch, layers: int = 2) -> None:
    """Models are loaded with their first layers alone: the same ways, but nonsense, and soon."""
    from transformers import AutoModelForCausalLM

    load = AutoModelForCausalLM.from_pretrained

    def shallow(*args: Any, **options: Any) -> Any:
        # One that is converted is kept for every user of the cache.
        cut = {} if "gguf_file" in options else {"num_hidden_layers": layers}
        return load(*args, **options, **cut)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", shallow)


def _command(line: str, monkeypatch: pytest.MonkeyPatch, limit: int | None) -> None:
    import shlex

    words = shlex.split(line)
    if limit is not None and words[:2] == ["memory-harness", "run"] and "--limit" in words:
        words[words.index("--limit") + 1] = str(limit)
    if words[0] != "memory-harness" or any(word in ("|", ">", "&&") for word in words):
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        subprocess.run(line, shell=True, check=True, env={**os.environ, "PATH": path})
        return
    # In this process, where torch and the model's files are loaded once for all.
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as stopped:
        shallow_models(patch)
        patch.setattr("sys.argv", words)
        main()
    assert stopped.value.code == 0, line
