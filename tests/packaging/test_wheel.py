"""The built wheel: complete, and at work in a folder that holds modules of its packages' names."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import Built, Environment, project_files

pytestmark = pytest.mark.slow

PACKAGES = ("harness/", "methods/", "tasks/", "leaderboards/")
NOT_SHIPPED = {"tasks/.gitattributes"}
WAY_OUT = "rename it, or leave its folder and take it off PYTHONPATH"


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        files = {name for name in wheel.namelist() if ".dist-info/" not in name}
        beside = {name.partition(".dist-info/")[2] for name in wheel.namelist()} - {""}
    wanted = {name for name in project_files() if name.startswith(PACKAGES)} - NOT_SHIPPED
    assert (sorted(wanted - files), sorted(files - wanted)) == ([], [])
    assert {"licenses/LICENSE", "licenses/NOTICE", "entry_points.txt", "METADATA"} <= beside


def test_a_source_distribution_would_hold_all_that_a_build_needs(built: Built) -> None:
    (listed,) = built.source.glob("*.egg-info/SOURCES.txt")
    sources = set(listed.read_text().splitlines())
    wanted = {name for name in project_files() if name.startswith(PACKAGES)} - NOT_SHIPPED
    wanted |= {"pyproject.toml", "README.md", "LICENSE", "NOTICE"}
    assert sorted(wanted - sources) == []


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder that has its own modules of all these names."""
    for name in ("tasks.py", "methods/__init__.py", "leaderboards/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('mine was run')\n")
    return tmp_path


def test_the_command_looks_at_nothing_of_its_working_folder(
    environment: Environment, hostile: Path
) -> None:
    (hostile / "harness.py").write_text("raise SystemExit('mine was run')\n")
    done = environment("memory-harness", "list", "methods", cwd=hostile)
    assert "\nparametric-qa " in done.stdout
    assert done.stderr == ""


def test_as_a_module_it_names_what_is_in_the_way(environment: Environment, hostile: Path) -> None:
    done = environment("python", "-m", "harness", "list", "methods", cwd=hostile)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: {hostile}/methods/__init__.py: in the way of memory-harness's own package "
        f"'methods'; {WAY_OUT}\n"
    )
    (hostile / "methods").rename(hostile / "mine")
    done = environment("python", "-m", "harness", "list", "tasks", cwd=hostile)
    assert done.stdout.startswith("hotpotqa ")


NOTEBOOK = """
import methods, tasks
import harness
from harness import ConfigError, Method, Prediction
from harness.boards.method_entry import load_method

class Echo(Method):
    async def answer(self, query):
        return Prediction(query.text)

print(harness.__file__)
try:
    load_method("bm25")
except ConfigError as error:
    print(error)
"""


def test_in_a_notebook_it_names_what_is_in_the_way(
    environment: Environment, tmp_path: Path
) -> None:
    for name in ("tasks.py", "methods.py"):
        (tmp_path / name).write_text("MINE = 1\n")
    done = environment("python", "-c", NOTEBOOK, cwd=tmp_path)
    place, error = done.stdout.splitlines()
    assert Path(place).is_relative_to(environment.folder)
    assert error == (
        f"{tmp_path}/methods.py: in the way of memory-harness's own package 'methods'; {WAY_OUT}"
    )
