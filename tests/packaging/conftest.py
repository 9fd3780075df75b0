"""The built wheel, and environments that hold nothing else of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

HOUSE = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check")
OFFLINE = ("--no-index", "--no-deps", "--no-cache-dir")


@dataclass(frozen=True)
class Built:
    """The source that was built, and the wheel."""

    source: Path
    wheel: Path


@dataclass(frozen=True)
class Environment:
    """A virtual environment: what was installed into it, and the libraries of this one."""

    folder: Path

    def install(self, *what: Path, build: bool = False) -> None:
        """pip installs wheels, or builds and installs folders, without a network."""
        options = ("--no-build-isolation",) if build else ("--no-compile",)
        python = self.folder / "bin" / "python"
        run(*PIP, "--python", python, "install", *OFFLINE, *options, *what)

    def __call__(self, program: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess:
        """Run a program of this environment; a traceback is an error."""
        done = subprocess.run(
            [self.folder / "bin" / program, *map(str, arguments)], cwd=cwd, env=clean(),
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done


def run(*command: object) -> None:
    done = subprocess.run(
        [str(part) for part in command], env=clean(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def clean() -> dict[str, str]:
    """The environment variables without those that lead to the source tree."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def project_files() -> set[str]:
    """What belongs to the project: tracked by git, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=HOUSE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip("not a checkout: git does not say what belongs to the project")
    return {name for name in listed.stdout.split("\0") if name and (HOUSE / name).is_file()}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Built once for all test processes, from a copy: building leaves files in its source."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "built"
    source, out = root / "source", root / "wheels"
    root.mkdir(exist_ok=True)
    with FileLock(root / ".lock"):
        if not out.exists():
            for name in project_files():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(HOUSE / name, source / name)
            quick = "--config-settings=--build-option=--compression=stored"
            run(*PIP, "wheel", *OFFLINE, "--no-build-isolation", quick, "--wheel-dir", out, source)
    (wheel,) = out.glob("*.whl")
    return Built(source, wheel)


@pytest.fixture(scope="session")
def environment(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel, and with a package of others once a test put it there."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    made = Environment(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    # Editable installs do not count here: files named .pth are read in the environment's own.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    made.install(built.wheel)
    return made
