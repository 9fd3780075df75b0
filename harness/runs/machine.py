"""Machines of a run: where it was timed, where its answers came from, the program that made it."""

from __future__ import annotations

from harness.fingerprint import canonical_json
from harness.runs.record import Count, Record


class Hardware(Record):
    """Where a run was timed. ``device`` is ``remote`` if the model ran elsewhere."""

    fingerprint: str
    summary: str = ""
    cpu: str = ""
    cores: int | None = None
    memory_gb: int | None = None
    gpus: tuple[str, ...] = ()
    device: str = ""
    threads: int | None = None

    @property
    def text(self) -> str:
        """One line for a caption."""
        plural = "" if self.threads == 1 else "s"
        threads = "" if self.threads is None else f"{self.threads} thread{plural}"
        return ", ".join(filter(None, (self.summary or self.fingerprint, self.device, threads)))

    @property
    def key(self) -> str:
        """Timings are compared only between runs with equal keys."""
        return canonical_json([self.fingerprint, self.device, self.threads])

    @property
    def is_remote(self) -> bool:
        """Whether the model's own memory could not be measured here."""
        return self.device == "remote"


class AnsweredOn(Record):
    """Where the answers of a run came from that several processes or another machine gave."""

    by: str
    """What handed the questions out: ``ray 2.60.0``, or ``shards`` that were merged."""
    machines: dict[str, Count]
    """Number of answers by the line of the hardware that gave them."""


class Harness(Record):
    """The program that made the run."""

    version: str = "unknown"
    git_commit: str | None = None

    @property
    def text(self) -> str:
        """Version and commit for a caption."""
        return f"{self.version} ({self.git_commit[:7]})" if self.git_commit else self.version
