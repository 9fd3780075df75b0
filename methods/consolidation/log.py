"""The log of questions that were asked before, and the documents that they read most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path

from harness.data.jsonl import read_rows
from harness.errors import ConfigError, InputError
from harness.files import expanded
from harness.records import Query


def read_log(path: str | Path) -> tuple[Query, ...]:
    """The questions of a file in the form of question files, of whose rows ``question`` is read.

    A question that was asked often stands there often. Raises InputError naming file, line and fix.
    """
    path = expanded(path)
    asked = tuple(Query(row.counted, row.text("question")) for row in read_rows(path))
    if not asked:
        raise InputError(f"{path}: holds no questions; expected one JSON object a line")
    return asked


def most_read(
    reads: Mapping[str, int], ids: Sequence[str], share: float, least: int
) -> dict[str, int]:
    """How often the documents read most were read, the most first; at most a share of ``ids``.

    Each was read ``least`` times or more; of two read equally often the first of ``ids`` comes
    first. Raises ConfigError if there is none.
    """
    often = [id_ for id_ in ids if reads.get(id_, 0) >= least]
    if not often:
        most = max(reads.values(), default=0)
        raise ConfigError(
            f"reads = {least}: no document was read so often by the questions of the log, the most "
            f"{most} times; lower it, or give a longer log"
        )
    often.sort(key=lambda id_: -reads[id_])
    return {id_: reads[id_] for id_ in often[: ceil(share * len(ids))]}
