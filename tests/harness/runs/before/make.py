"""Run folders and the outputs of commands, made at commit 5693356: ``python make.py FOLDER``.

Eight questions, a model that follows rules, four methods, two seeds; ``stopped`` was interrupted
(its run of ircot, now of another version, gave way to the first three rows of one of bm25).
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

from _pytest.monkeypatch import MonkeyPatch

import harness.llm.open
from harness import cli
from tests.harness.lab import CountingModel, without_torch, write_task

BOARD = """
name: before
methods:
  - no-retrieval
  - {name: bm25, params: {k: 2}}
  - {name: bm25, params: {k: 4}}
  - {name: ircot, params: {max_steps: 2}}
seeds: [0, 1]
latency: {queries: 2, warmup: 1}
tasks:
  - name: toy
    files: {questions: files/questions.jsonl, corpus: files/corpus.jsonl, train: files/train.jsonl}
"""


def call(*arguments: str) -> str:
    """What a command prints."""
    sys.argv = ["memory-harness", *arguments]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        cli.main()
    return out.getvalue()


def main() -> None:
    """Make everything in the folder that the command line names."""
    folder = Path(sys.argv[1])
    folder.mkdir()
    os.chdir(folder)
    without_torch(MonkeyPatch())
    write_task(Path("files"), 8)
    Path("board.yaml").write_text(BOARD)
    model = CountingModel()
    harness.llm.open.open_model = lambda *_, **__: model
    call("run", "board.yaml", "--out", "whole")

    def stop(_: object) -> None:
        if model.calls == 86:
            raise KeyboardInterrupt

    model = CountingModel(stop)
    call("run", "board.yaml", "--out", "stopped")
    outputs = Path("outputs")
    outputs.mkdir()
    for name, arguments in COMMANDS.items():
        (outputs / name).write_text(call(*arguments))
    Path("whole/.DS_Store").unlink(missing_ok=True)


COMMANDS = {
    "leaderboard.md": ("leaderboard", "whole"),
    "leaderboard.csv": ("leaderboard", "whole", "--format", "csv"),
    "leaderboard.json": ("leaderboard", "whole", "--format", "json"),
    "compare.txt": ("compare", "whole", "bm25 (k=2)", "ircot (max_steps=2)", "--metric", "f1"),
    "show.txt": ("show", "whole", "q3", "--full"),
    "analyse.md": ("analyse", "whole", "--out", "analysis"),
    "score.txt": ("score", "whole"),
}

if __name__ == "__main__":
    main()
