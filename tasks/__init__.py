"""The one table of tasks. A task is a folder with a ``task.yaml``; nothing else is code."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent

TASKS: dict[str, str] = {
    name: str(_HERE / name) for name in ("nq", "triviaqa", "hotpotqa", "musique")
}
"""Task name -> absolute path of the folder that holds its card and sample."""
