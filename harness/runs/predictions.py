"""Predictions as lines on disk, one JSON object each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.files import parsed_json
from harness.fingerprint import canonical_json
from harness.metrics import Documents
from harness.records import Prediction, Usage
from harness.trace import retrieved_ids

_LATER_COUNTS = ("passages_cut", "prefix_tokens")
_KIND = re.compile(r"([A-Za-z_][\w.]{0,79})(?:: |$)")


def prediction_line(question_id: str, prediction: Prediction) -> bytes:
    """A prediction as one line; TypeError or ValueError if it holds what JSON cannot."""
    if not isinstance(prediction.answer, str):
        raise TypeError(f"the answer is {type(prediction.answer).__name__}, not str")
    return canonical_json(prediction_row(question_id, prediction)).encode() + b"\n"


def prediction_row(question_id: str, prediction: Prediction) -> dict[str, Any]:
    """A prediction as it is stored, one JSON object a line.

    ``retrieved_ids`` are those ranked; ``read_ids`` stand there only where ``read_ids`` cannot
    tell them from the rest of the row, ``support_ids`` only where the method names some.
    """
    row = {
        "question_id": question_id,
        "answer": prediction.answer,
        "raw": prediction.raw or "",
        "retrieved_ids": prediction.ranked_ids,
        "steps": [{"kind": step.kind, **step.data} for step in prediction.steps],
        "usage": _usage(prediction.usage),
        "error": prediction.error,
    }
    if prediction.support is not None:
        row["support_ids"] = list(dict.fromkeys(prediction.support))
    told = prediction.read is None or prediction.read_ids == read_ids(row)
    return row if told else {**row, "read_ids": prediction.read_ids}


def _usage(usage: Usage) -> dict[str, int | None]:
    """Counts; what came later is named only where there is any, as rows of earlier runs are."""
    counts: dict[str, int | None] = asdict(usage)
    return {name: count for name, count in counts.items() if count or name not in _LATER_COUNTS}


def documents_of(row: Mapping[str, Any]) -> Documents:
    """The documents of a stored prediction, as they are scored."""
    ranked, read = list(row["retrieved_ids"]), read_ids(row)
    if row.get("error") is not None and not ranked:
        # Earlier releases took from a failed question what it had retrieved.
        ranked = retrieved_ids(row.get("steps", ()))
    searched = [id_ for step in search_steps(row) for id_ in step["retrieved_ids"]]
    return Documents(
        ranked=ranked,
        read=read,
        retrieved=list(dict.fromkeys([*searched, *ranked, *read])),
        support=row.get("support_ids"),
    )


def search_steps(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The searches of a stored prediction, in program order."""
    return [step for step in row.get("steps", ()) if step.get("kind") == "search"]


def read_ids(row: Mapping[str, Any]) -> list[str]:
    """Ids of the documents that were read, of a stored prediction.

    What the row says, else what its ``select`` steps noted as ``memories_read``, else all that was
    ranked (also where ``tells_read`` denies it).
    """
    if row.get("read_ids") is not None:
        return list(row["read_ids"])
    noted = [
        step["memories_read"]
        for step in row.get("steps", ())
        if step.get("kind") == "select" and "memories_read" in step
    ]
    return [id_ for ids in noted for id_ in ids] if noted else list(row["retrieved_ids"])


def tells_read(row: Mapping[str, Any]) -> bool:
    """Whether a stored prediction tells what was read.

    Rows of earlier releases do not, where passages did not fit into the last prompt, and external
    ones say so with null.
    """
    if "read_ids" in row:
        return row["read_ids"] is not None
    if not row["retrieved_ids"]:
        return True
    dropped = [step.get("passages_dropped", 0) for step in row.get("steps", ()) if "reply" in step]
    return not (dropped and dropped[-1])


def failure_kind(error: str) -> str:
    """The class of a recorded error: ``ValueError`` of ``ValueError: broken``, else ``other``."""
    found = _KIND.match(error)
    return found[1] if found else "other"


def has_errors(path: Path) -> bool:
    """Whether any prediction of a file is recorded as an error. Raises InputError."""
    return any(row.get("error") is not None for _, row in read_predictions(path))


def read_predictions(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The raw line and the row of every prediction; InputError names a broken line."""
    if not path.is_file():
        raise InputError(f"{path}: missing; run the same board again to answer its questions")
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            yield line, read_prediction(f"{path}:{number}", line)


def read_prediction(where: str, line: bytes) -> dict[str, Any]:
    """The row of a line; ``where`` begins the InputError of a broken one."""
    try:
        row: dict[str, Any] = parsed_json(line)
        _check(row)
    except ValueError as error:
        raise InputError(
            f"{where}: not a prediction ({error}); delete the line to have the question answered "
            "again"
        ) from error
    return row


_NEEDED = ("question_id", "answer", "retrieved_ids", "usage")
_TEXTS = ("question_id", "answer", "raw", "error")
_IDS = ("retrieved_ids", "read_ids", "support_ids")
_MAY_BE_NULL = ("error", "read_ids")


def _check(row: Any) -> None:
    """Raise ValueError unless a row has the types of a prediction's."""
    if not isinstance(row, dict):
        raise ValueError("expected an object")
    if missing := [name for name in _NEEDED if name not in row]:
        raise ValueError(f"{missing[0]!r} is missing")
    there = {n: v for n, v in row.items() if not (v is None and n in _MAY_BE_NULL)}
    sound = {
        **{name: isinstance(there.get(name, ""), str) for name in _TEXTS},
        **{name: _are(there.get(name, []), str) for name in _IDS},
        "steps": _are(there.get("steps", []), dict)
        and all(isinstance(step.get("kind"), str) for step in there.get("steps", [])),
        "usage": isinstance(there["usage"], dict)
        and all(count is None or type(count) is int for count in there["usage"].values()),
    }
    if wrong := [name for name, is_sound in sound.items() if not is_sound]:
        raise ValueError(f"{wrong[0]!r} is of another type")


def _are(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)
