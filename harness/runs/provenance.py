"""Provenance of a run beside its config: versions of packages, the harness's commit."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import harness

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "bitsandbytes",
    "lm-eval",
    "bm25s",
    "PyStemmer",
    "sentence-transformers",
    "faiss-cpu",
    "numpy",
    "openai",
)


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that can change a result."""
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def harness_version() -> dict[str, str | None]:
    """Version of the harness and, in a checkout, its commit (``+changes`` if it was edited)."""
    return {"version": harness.__version__, "git_commit": git_commit()}


def git_commit() -> str | None:
    """Commit of the checkout this package runs from; None outside one."""
    folder = Path(__file__).parent
    tracked = _git(folder, "ls-files", "--error-unmatch", "__init__.py")
    commit = _git(folder, "rev-parse", "HEAD")
    if not tracked or not commit:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return commit + ("+changes" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
