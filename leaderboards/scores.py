"""Scores of a run as columns, from ``scores.jsonl`` or, where nothing vouches for it, made anew."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.errors import InputError
from harness.files import parsed_json
from harness.fingerprint import file_sha256
from harness.runs.manifest import Manifest
from harness.runs.scoring import Scoring
from harness.runs.stamp import SCORES, STAMP, Stamp

if TYPE_CHECKING:
    import pyarrow as pa

Floats = npt.NDArray[np.float64]

_REQUIRED = ("em", "f1", "contains")
_METRIC = re.compile(r"[A-Za-z][A-Za-z0-9_@-]*")


@dataclass(frozen=True, slots=True)
class Scores:
    """Questions in the order of their ids, and one array (n,) a metric, NaN where there is none.

    ``errors`` counts answers, ``failures`` the same by kind, empty where nobody noted it.
    """

    ids: tuple[str, ...]
    columns: Mapping[str, Floats]
    errors: int
    failures: Mapping[str, int]
    unchecked: str = ""
    """Why nothing vouches for them."""


def read_scores(folder: Path, manifest: Manifest, stamp: Stamp, *, has_gold: bool) -> Scores:
    """Scores of a run that has ended, whose predictions and gold are checked.

    Those of an earlier release, which kept no hash of them, are made anew in memory if this one
    scores in the same way. Raises InputError if they were changed or hold anything else.
    """
    path, rescore = folder / SCORES, f"run `memory-harness score {folder}`"
    if stamp.scores_sha256 is not None:
        if file_sha256(path) != stamp.scores_sha256:
            raise InputError(f"{path}: changed since it was written by scoring; {rescore}")
        scores = Scores(*_columns(path, rescore), failures=stamp.failures or {})
        if stamp.failures is not None and sum(stamp.failures.values()) != scores.errors:
            told = f"{scores.errors} answers with an error, {folder / STAMP} counts others"
            raise InputError(f"{path}: {told}; {rescore}")
        return scores
    if not stamp.is_of_today or not has_gold:
        why = "their gold is missing" if stamp.is_of_today else "of an earlier metrics version"
        unchecked = f"scores without a hash of their own, {why}; run `memory-harness score`"
        return Scores(*_columns(path, rescore), failures={}, unchecked=unchecked)
    with _made_anew(folder, manifest) as (again, scoring):
        return Scores(*_columns(again, rescore), failures=scoring.failures)


@contextmanager
def _made_anew(folder: Path, manifest: Manifest) -> Iterator[tuple[Path, Scoring]]:
    scoring = Scoring(folder, manifest)
    with NamedTemporaryFile(suffix=".jsonl") as file:
        file.writelines(scoring.lines())
        file.flush()
        yield Path(file.name), scoring


def _columns(path: Path, rescore: str) -> tuple[tuple[str, ...], dict[str, Floats], int]:
    """Ids, scores and the number of errors. Raises InputError for the first line that is broken."""
    import pyarrow as pa

    try:
        table = _table(path)
        ids = table["question_id"].to_pylist()
        order = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.intp)
        scores = {
            name: column.to_numpy().astype(np.float64)[order]
            for name, column in zip(table.column_names, table.columns, strict=True)
            if name not in ("question_id", "error") and not pa.types.is_null(column.type)
        }
        sound = (
            None not in ids
            and all(map(_METRIC.fullmatch, scores))
            and not any(np.isnan(scores[name]).any() for name in _REQUIRED)
            and all(
                ((values >= 0) & (values <= 1) | np.isnan(values)).all()
                for values in scores.values()
            )
        )
        errors = int(np.sum(table["error"].to_numpy())) if "error" in table.column_names else 0
    # Of whatever is not a table of numbers; pyarrow has errors of its own for it.
    except (ValueError, KeyError, TypeError, pa.ArrowException):
        sound = False
    if not sound:
        raise InputError(
            f"{path}:{_first_broken(path)}: need question_id and scores from 0 to 1; {rescore}"
        )
    return tuple(ids[place] for place in order), dict(sorted(scores.items())), errors


def _table(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow.json import ParseOptions, ReadOptions, read_json

    with path.open("rb") as file:
        if not all(map(_is_flat, file)):
            raise ValueError("a line is no object of plain values")
    # Else ids that look like dates would be dates.
    ids = pa.schema([("question_id", pa.string())])
    options = ReadOptions(use_threads=False, block_size=_BLOCK)
    return read_json(path, read_options=options, parse_options=ParseOptions(explicit_schema=ids))


_BLOCK = 2**22


def _is_flat(line: bytes) -> bool:
    """Whether a line may be read by pyarrow. Raises ValueError for one that is no JSON.

    Its release 26 brings the whole process down over a file that begins with null, or lists a
    hundred thousand deep, and takes minutes for thousands.
    """
    if b"[" not in line and line.count(b"{") == 1:
        return line.startswith(b"{")
    values = parsed_json(line)
    return isinstance(values, dict) and not any(
        isinstance(value, list | dict) for value in values.values()
    )


def _first_broken(path: Path) -> int:
    """The number of the first line that is not the scores of a question."""
    with path.open("rb") as file:
        return next((number for number, line in enumerate(file, start=1) if not _is_sound(line)), 1)


def _is_sound(text: bytes) -> bool:
    try:
        line: dict[str, Any] = parsed_json(text)
        names = line.keys() - {"question_id", "error"}
        known = {name: float(line[name]) for name in names if line[name] is not None}
        return (
            isinstance(line["question_id"], str)
            and all(map(_METRIC.fullmatch, known))
            and all(0 <= value <= 1 for value in known.values())
            and all(name in known for name in _REQUIRED)
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return False
