"""Lock of the tested versions: the SHA-256 of the files that any machine would install of each.

``python -m tests.packaging.lock < constraints.txt > requirements.lock`` asks the package index.
Machines are Linux on x86_64 and aarch64 and macOS on arm64, with Python 3.11 to 3.13. Of a release
that has a wheel for each of them no source is named, so that none is compiled by surprise. torch,
whose build is chosen apart, stays out.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.request import Request, urlopen

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

INDEX = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
PYTHONS = ((3, 11), (3, 12), (3, 13))
APART = "torch"
PIN = re.compile(r"([A-Za-z0-9._-]+)==(\S+)")
_JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}
_GLIBC = range(5, 40)
_MACOS = range(11, 16)


@dataclass(frozen=True, slots=True)
class File:
    """A file of a release, as the index tells it."""

    name: str
    sha256: str

    @property
    def tags(self) -> frozenset[Tag]:
        """What a wheel is for; nothing of an archive of source."""
        return parse_wheel_filename(self.name)[3] if self.name.endswith(".whl") else frozenset()


@cache
def machines() -> dict[str, frozenset[Tag]]:
    """Each machine that the lock is for -> the tags of wheels that pip installs there."""
    linux = {
        f"linux {arch}": [f"manylinux_2_{n}_{arch}" for n in _GLIBC]
        + [f"{old}_{arch}" for old in ("manylinux1", "manylinux2010", "manylinux2014", "linux")]
        for arch in ("x86_64", "aarch64")
    }
    macos = [f"macosx_10_{n}_universal2" for n in range(4, 17)]
    macos += [f"macosx_{n}_0_{arch}" for n in _MACOS for arch in ("arm64", "universal2")]
    return {
        f"{name}, Python {python[0]}.{python[1]}": frozenset(
            (
                *cpython_tags(python, platforms=platforms),
                *compatible_tags(python, f"cp{python[0]}{python[1]}", platforms),
            )
        )
        for name, platforms in {**linux, "macos arm64": macos}.items()
        for python in PYTHONS
    }


def chosen(files: Iterable[File]) -> list[File]:
    """The wheels of any machine, and the source where one has no wheel."""
    files, every = list(files), machines().values()
    wheels = [file for file in files if any(file.tags & tags for tags in every)]
    if all(any(file.tags & tags for file in wheels) for tags in every):
        return wheels
    return wheels + [file for file in files if not file.tags]


def pins(lines: Iterable[str]) -> dict[str, str]:
    """Name, as indexes have it -> version, of lines ``name==version``; others are left out."""
    found = (PIN.match(line) for line in lines)
    return {str(canonicalize_name(pin[1])): pin[2] for pin in found if pin}


def locked(name: str, version: str) -> str:
    """A requirement with its hashes. Raises SystemExit where the index has no file of it."""
    files = chosen(file for file in _files(name) if _is_of(file.name, version))
    if not files:
        raise SystemExit(f"{name}=={version}: {INDEX} has no file of it")
    hashes = sorted(f"--hash=sha256:{file.sha256}" for file in files)
    return " \\\n    ".join([f"{name}=={version}", *hashes])


def _files(name: str) -> Iterator[File]:
    with urlopen(Request(f"{INDEX}/{name}/", headers=_JSON), timeout=60) as reply:
        project: dict[str, Any] = json.load(reply)
    for file in project["files"]:
        yield File(file["filename"], file["hashes"]["sha256"])


def _is_of(file: str, version: str) -> bool:
    """Whether a wheel or an archive of source is of a version."""
    if file.endswith(".whl"):
        return file.split("-")[1] == version
    return file.removesuffix(".tar.gz").removesuffix(".zip").rpartition("-")[2] == version


if __name__ == "__main__":
    for name, version in pins(sys.stdin).items():
        if name != APART:
            sys.stdout.write(f"{locked(name, version)}\n")
