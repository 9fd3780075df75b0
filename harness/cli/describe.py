"""Names and cards of everything a board can name, as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import yaml

from harness.errors import ConfigError, did_you_mean
from harness.llm.catalogue import catalogue
from harness.registry import (
    board_files,
    load_method,
    method_names,
    task_folder,
    task_folders,
)
from harness.retrieval.catalogue import encoder_entry, encoder_names


def names(kind: str) -> Iterator[tuple[str, str]]:
    """Name and one-line summary of everything of one kind."""
    kinds = _kinds()
    if kind not in kinds:
        raise ConfigError(f"cannot list '{kind}'{did_you_mean(kind, list(kinds))}")
    known, card = kinds[kind]
    for name in sorted(known()):
        values = card(name)
        yield name, str(values.get("summary") or values.get("title") or values.get("licence") or "")


def describe_name(name: str) -> str:
    """The card of whatever has this name; every kind that has it, if several do."""
    found = [
        f"{kind.removesuffix('s')}: {name}\n{_text(card(name))}"
        for kind, (known, card) in _kinds().items()
        if name in known()
    ]
    if not found:
        every = [known_name for known, _ in _kinds().values() for known_name in known()]
        raise ConfigError(f"nothing is called '{name}'{did_you_mean(name, every)}")
    return "\n\n".join(found)


def _kinds() -> dict[str, tuple[Callable[[], list[str]], Callable[[str], dict[str, Any]]]]:
    return {
        "methods": (method_names, _method),
        "tasks": (lambda: list(task_folders()), _task),
        "models": (lambda: list(catalogue()), _model),
        "encoders": (lambda: list(encoder_names()), _encoder),
        "boards": (lambda: list(board_files()), _board),
    }


def _method(name: str) -> dict[str, Any]:
    cls = load_method(name)
    card = cls.card
    return {
        "title": card.title,
        "summary": card.summary,
        "paper": card.paper,
        "source": card.source,
        "version": card.version,
        "oracle": card.oracle,
        "needs": sorted(cls.needs),
        "needs tokens": " ".join(cls.needs_tokens),
        "needs a model trained for": cls.needs_training_for,
        "with other models use": cls.prompted_variant,
        "parameters": {
            key: f"{field.default!r}: {field.description or ''}".rstrip(": ")
            for key, field in cls.Params.model_fields.items()
        },
        "deviations": list(card.deviations),
    }


def _task(name: str) -> dict[str, Any]:
    from harness.data.card import Task

    return Task.from_folder(task_folder(name)).card.model_dump(mode="json")


def _model(name: str) -> dict[str, Any]:
    return catalogue()[name].model_dump(mode="json", exclude_defaults=True)


def _encoder(name: str) -> dict[str, Any]:
    return encoder_entry(name).model_dump(mode="json")


def _board(name: str) -> dict[str, Any]:
    from harness.boards.run import board_values, parse_board

    values, path = board_values(name)
    board = parse_board(values, path)
    return {"summary": board.description, **board.model_dump(mode="json", exclude_unset=True)}


def _text(card: dict[str, Any]) -> str:
    shown = {key: value for key, value in card.items() if value not in ("", [], {}, None)}
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100).rstrip()
