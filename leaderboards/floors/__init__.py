"""Floors of storage: what a corpus takes at least, so that "50 times smaller" has something to be
judged against.

Raw text is no bound: any text packs. ``compression`` packs it, ``code_length`` asks a language
model how many bits it would need, ``file`` keeps both beside the runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = "floors"


@dataclass(frozen=True, slots=True)
class Floor:
    """One way to store a corpus without loss, and what it takes."""

    name: str
    bytes_per_1000: float
    """Bytes for a thousand documents, what is shared left out."""
    note: str = ""
    shared_bytes: int = 0
    """Bytes that do not grow with the documents, such as a dictionary."""

    @property
    def mb_per_1000(self) -> float:
        """Megabytes (10^6 bytes) for a thousand documents, as a method's storage is given."""
        return self.bytes_per_1000 / 1e6


def floors_path(runs: Path, corpus_fingerprint: str) -> Path:
    """Where the floors of a corpus lie, beside the runs."""
    return runs / FOLDER / f"{corpus_fingerprint}.json"


def find_floors(runs: Path, corpus_fingerprint: str) -> tuple[Floor, ...]:
    """The floors of a corpus that were computed for these runs, the largest first; none without.

    Raises InputError for a damaged file.
    """
    path = floors_path(runs, corpus_fingerprint)
    # A manifest is a file of others, and its fingerprint would be a path.
    if not corpus_fingerprint.isalnum() or not path.is_file():
        return ()
    from leaderboards.floors.file import read_file

    return tuple(read_file(path, corpus_fingerprint).floors())


def floors_line(floors: Sequence[Floor]) -> tuple[str, ...]:
    """The floors as a line of a caption; nothing without any."""
    if not floors:
        return ()
    shown = [f"{floor.name} {_figures(floor)}" for floor in floors]
    return (f"Storage floors, MB per 1,000 documents: {'; '.join(shown)}.",)


def _figures(floor: Floor) -> str:
    shared = f"+ {floor.shared_bytes / 1e6:.3g} MB shared" if floor.shared_bytes else ""
    beside = ", ".join(filter(None, (shared, floor.note)))
    return f"{floor.mb_per_1000:.3g}" + (f" ({beside})" if beside else "")
