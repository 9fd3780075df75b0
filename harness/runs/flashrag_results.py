"""Results of FlashRAG: the folder that a pipeline's ``save_dir`` names, read one item at a time.

``intermediate_data.json`` is a JSON array of ``{"id", "question", "golden_answers", "output":
{"pred", "retrieval_result", "prompt", "metric_score"}}``, ``config.yaml`` the pipeline's settings
(flashrag-dev 0.3.0, dataset.py and config.py). Only what is named below is read of either; scores
are not taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from harness.data.yaml import load_yaml
from harness.errors import InputError
from harness.escape import one_line
from harness.fingerprint import file_sha256
from harness.formats.sources import find, json_rows
from harness.runs.import_results import Answer, Results

SOURCE = "FlashRAG"
_DATA, _CONFIG = "intermediate_data.json", "config.yaml"
_TOLD = ("retrieval_method", "retrieval_topk")
_LARGEST_CONFIG = 1 << 20
_LONGEST_NAME = 80


def read_flashrag(folder: Path) -> Results:
    """Read a folder. Raises InputError that names the file and the item, ``FILE[INDEX]``."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the save_dir of a FlashRAG run")
    data = find(folder, _DATA)
    if data is None:
        raise InputError(
            f"{folder}: holds no {_DATA}; run FlashRAG with save_intermediate_data: True, and give "
            "its save_dir with date and note"
        )
    settings = _settings(folder / _CONFIG)
    answers: dict[str, Answer] = {}
    for where, row in json_rows(data):
        answer = _answer_of(where, row)
        if answer.id in answers:
            raise InputError(f"{where}: id '{answer.id}' was used in {answers[answer.id].where}")
        answers[answer.id] = answer
    if not answers:
        raise InputError(f"{data}: holds no item; expected a JSON array of FlashRAG's items")
    files = [data, *(path for path in [folder / _CONFIG] if path.is_file())]
    seed = settings.get("seed")
    return Results(
        source=SOURCE,
        model=_text(settings.get("generator_model")),
        answers=answers,
        files={path.name: file_sha256(path) for path in files},
        seed=seed if type(seed) is int and seed >= 0 else 0,
        told={key: _text(settings.get(key)) for key in _TOLD},
    )


def _settings(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    if path.stat().st_size > _LARGEST_CONFIG:
        raise InputError(f"{path}: larger than a config of FlashRAG; is it another file?")
    try:
        settings = load_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not readable as YAML: {reason}") from error
    if not isinstance(settings, dict):
        raise InputError(f"{path}: expected FlashRAG's settings, one a line")
    return settings


def _text(value: Any) -> str:
    """A setting in words; ``unknown`` for one that is missing or no plain value."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return "unknown"
    return one_line(str(value))[:_LONGEST_NAME] or "unknown"


def _answer_of(where: str, row: Mapping[str, Any]) -> Answer:
    output = row.get("output", {})
    if not isinstance(output, dict):
        raise InputError(f"{where}: 'output' is {type(output).__name__}; expected an object")
    pred = output.get("pred")
    if pred is not None and not isinstance(pred, str):
        raise InputError(f"{where}: 'output.pred' is {type(pred).__name__}; expected a text")
    return Answer(
        where=where,
        id=_id(where, "id", row.get("id")),
        question=_string(where, "question", row.get("question")),
        answer=None if pred is None else _encodable(where, "output.pred", pred),
        documents=_documents(where, output.get("retrieval_result")),
    )


def _documents(where: str, found: Any) -> tuple[tuple[str, str], ...] | None:
    if found is None:
        return None
    if not isinstance(found, list):
        raise InputError(
            f"{where}: 'output.retrieval_result' is {type(found).__name__}; expected a list"
        )
    documents = []
    for number, each in enumerate(found):
        field = f"output.retrieval_result[{number}]"
        if not isinstance(each, dict):
            raise InputError(f"{where}: '{field}' is {type(each).__name__}; expected an object")
        texts = [text for text in (each.get("contents"), each.get("text")) if isinstance(text, str)]
        documents.append((_id(where, f"{field}.id", each.get("id")), "\n".join(texts)))
    return tuple(documents)


def _id(where: str, field: str, value: Any) -> str:
    return str(value) if type(value) is int else _string(where, field, value)


def _string(where: str, field: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        found = "missing or empty" if value in (None, "") else type(value).__name__
        raise InputError(f"{where}: '{field}' is {found}; expected a text")
    return _encodable(where, field, value)


def _encodable(where: str, field: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{where}: '{field}' holds half of a character; repair it") from None
    return text
