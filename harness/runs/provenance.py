"""Provenance of a run beside its config: the model's own, versions of packages, the commit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
from harness.registry import packages_used
from harness.runs.directory import RunDirectory
from harness.runs.manifest import MANIFEST, read_manifest

if TYPE_CHECKING:
    from harness.llm.base import LanguageModel

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


def model_provenance(llm: LanguageModel, folder: Path) -> dict[str, Any]:
    """What a model tells of itself; what its server refused in earlier sessions still counts."""
    known = read_manifest(folder).model_provenance if (folder / MANIFEST).exists() else {}
    return with_adapted(llm.provenance(), known)


def with_adapted(now: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """What a model tells ``now``, and what was ``known`` of requests that its server refused."""
    adapted = sorted({*known.get("adapted", ()), *now.get("adapted", ())})
    return {**now, "adapted": adapted} if adapted else dict(now)


def note_model(run: RunDirectory, llm: LanguageModel) -> None:
    """Write a model's provenance again if it changed: servers tell what they refuse when asked."""
    now = model_provenance(llm, run.folder)
    if now != read_manifest(run.folder).model_provenance:
        run.change_manifest(model_provenance=now)


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that can change a result, plug-ins in use among them."""
    there = {name: _version(name) for name in PACKAGES}
    found = {name: number for name, number in there.items() if number is not None}
    return {"python": sys.version.split()[0], **packages_used(), **found}


@cache
def _version(name: str) -> str | None:
    """The version of a package; what is imported stays, whatever is installed meanwhile."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


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
