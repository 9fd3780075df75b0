"""Runs of a reader over damaged seeds, and the failing cases that are kept as seeds."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.mutations import Files, damaged
from tests.fuzz.rule import Failure, Reader, broken

SEEDS = Path(__file__).parent / "seeds"
# Where files are no work for a disk, if the system has such a place.
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@dataclass
class Found:
    """Cases that were run, and of each failure how often it came and its smallest case."""

    cases: int = 0
    times: dict[str, int] = field(default_factory=dict)
    smallest: dict[str, tuple[Failure, Files]] = field(default_factory=dict)

    def add(self, failure: Failure, files: Files) -> None:
        """Take note of a case that broke the rule."""
        self.times[failure.what] = self.times.get(failure.what, 0) + 1
        known = self.smallest.get(failure.what)
        if known is None or _size(files) < _size(known[1]):
            self.smallest[failure.what] = failure, files


def fuzz(
    reader: Reader, cases: int, tell: Callable[[Found], None] = lambda _: None, *, seed: bool = True
) -> Found:
    """Run so many damaged cases; the same ones each time if ``seed``."""
    found = Found()

    @settings(
        max_examples=cases,
        derandomize=seed,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(damaged(reader.seeds()))
    def run(files: Files) -> None:
        failure = broken(reader, files, Path(place))
        found.cases += 1
        if failure is not None:
            found.add(failure, files)
        tell(found)

    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=_MEMORY) as place:
        run()
    return found


def keep(reader: str, files: Files, place: Path = SEEDS) -> Path:
    """Keep a case as a tar, which the tests read from then on."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz") as tar:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:12]
    path = place / reader / f"{digest}.tar.xz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(out.getvalue())
    return path


def kept(place: Path = SEEDS) -> Iterator[Path]:
    """The cases that were kept."""
    yield from sorted(place.glob("*/*.tar.xz"))


def opened(path: Path) -> Files:
    """The files of a case that was kept."""
    with tarfile.open(path) as tar:
        found = {member.name: tar.extractfile(member) for member in tar}
        return {name: file.read() for name, file in found.items() if file is not None}


def _size(files: Files) -> int:
    return sum(map(len, files.values()))
