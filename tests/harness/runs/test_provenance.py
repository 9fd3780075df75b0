"""What a manifest says about the code that ran."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import harness
from harness.runs import provenance
from harness.runs.provenance import git_commit, harness_version, package_versions


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A repository that holds the package, and a function that calls git in it."""
    package = tmp_path / "harness"
    package.mkdir()
    for name in ("__init__.py", "provenance.py"):
        (package / name).write_text("")
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)

    return git


def test_installed_packages_have_versions() -> None:
    versions = package_versions()
    assert re.match(r"3\.\d+", versions["python"])
    assert {"torch", "numpy", "transformers"} <= set(versions)
    assert harness_version()["version"] == harness.__version__


def test_a_package_that_is_missing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ("no-such-package",))
    assert set(package_versions()) == {"python"}


def test_the_commit_and_whether_it_was_edited(checkout, tmp_path: Path) -> None:
    assert git_commit() is None
    checkout("init", "--quiet")
    checkout("add", ".")
    assert git_commit() is None  # nothing committed yet
    checkout("commit", "--quiet", "-m", "one")
    commit = git_commit()
    assert commit is not None
    assert re.fullmatch(r"[0-9a-f]{40}", commit)
    (tmp_path / "notes.txt").write_text("untracked files change nothing")
    assert git_commit() == commit
    (tmp_path / "harness" / "__init__.py").write_text("x = 1")
    assert git_commit() == f"{commit}+changes"


def test_an_installed_copy_inside_another_repository(checkout, tmp_path: Path) -> None:
    checkout("init", "--quiet")
    (tmp_path / "readme").write_text("")
    checkout("add", "readme")
    checkout("commit", "--quiet", "-m", "one")
    assert git_commit() is None


def test_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_commit() is None
