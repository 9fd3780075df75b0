"""The commands ``list`` and ``describe``: names and cards of everything that has one, as text."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from harness.cli.common import Plugins, load_plugins
from harness.errors import ConfigError, HarnessError, did_you_mean
from harness.metrics import shipped
from harness.registry import (
    KINDS,
    Kind,
    broken,
    broken_note,
    complaints,
    declares,
    is_known,
    load,
    one,
    task_folder,
    unusable,
)
from harness.registry import names as known_names


def list_names(
    kind: Annotated[str, typer.Argument(help="methods, tasks, models, boards, commands, …")],
    plugin: Plugins = None,
) -> None:
    """List what there is, one name a line."""
    load_plugins(plugin)
    for name, summary in names(kind):
        typer.echo(f"{name:32} {summary}".rstrip())
    for line in complaints(broken()):
        typer.echo(line, err=True)


def describe(
    name: Annotated[str, typer.Argument(help="A method, task, model, encoder or board.")],
    plugin: Plugins = None,
) -> None:
    """Show the card of one method, task, model, encoder or board."""
    load_plugins(plugin)
    typer.echo(describe_name(name))


def names(kind: str) -> Iterator[tuple[str, str]]:
    """Name and one-line summary of everything of one kind; what a plug-in broke says so."""
    found = next((known for known in KINDS if known == kind), None)
    if found is None:
        raise ConfigError(f"cannot list '{kind}'{did_you_mean(kind, list(KINDS))}")
    listed = [name for name in known_names(found) if _is_listed(found, name)]
    faults = dict(unusable(found))
    for name in sorted({*listed, *faults}):
        yield name, f"cannot be used: {faults[name]}" if name in faults else _summary(found, name)


def describe_name(name: str) -> str:
    """The card of whatever has this name; every kind that has it, if several do."""
    # Plug-in modules are imported only for what nothing else has.
    found = _kinds_of(name, declares) or _kinds_of(name, is_known)
    if not found:
        every = [known for kind in KINDS for known in known_names(kind)]
        raise ConfigError(f"nothing is called '{name}'{did_you_mean(name, every)}{broken_note()}")
    return "\n\n".join(f"{one(kind)}: {name}\n{_text(_card(kind, name))}" for kind in found)


def _kinds_of(name: str, knows: Callable[[Kind, str], bool]) -> list[Kind]:
    return [kind for kind in KINDS if knows(kind, name) and _is_listed(kind, name)]


def _is_listed(kind: Kind, name: str) -> bool:
    """Encoders are retrievers, too, and some scores are no metrics that a task adds."""
    if kind == "retrievers":
        return not declares("encoders", name)
    return kind != "metrics" or name not in shipped() or shipped()[name] is not None


def _summary(kind: Kind, name: str) -> str:
    try:
        card = _card(kind, name)
    except HarnessError as error:
        return f"cannot be used: {error}"
    return str(card.get("summary") or card.get("title") or card.get("licence") or "")


def _card(kind: Kind, name: str) -> dict[str, Any]:
    cards = {
        "methods": _method,
        "tasks": _task,
        "models": _model,
        "encoders": _encoder,
        "retrievers": _retriever,
        "boards": _board,
    }
    return cards[kind](name) if kind in cards else _said_of(load(kind, name))


def _said_of(thing: object) -> dict[str, Any]:
    """The card of a function or class: the first line of its docstring."""
    return {"summary": (inspect.getdoc(thing) or "").partition("\n")[0]}


def _method(name: str) -> dict[str, Any]:
    from harness.method import load_method

    cls = load_method(name)
    card = cls.card
    return {
        "title": card.title,
        "summary": card.summary,
        "paper": card.paper,
        "source": card.source,
        "version": cls.version(),
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
    from harness.llm.catalogue import catalogue
    from harness.llm.style import RULE

    entry = catalogue()[name]
    return {"prompt_style": RULE, **entry.model_dump(mode="json", exclude_defaults=True)}


def _encoder(name: str) -> dict[str, Any]:
    from harness.retrieval.catalogue import encoder_entry

    return encoder_entry(name).model_dump(mode="json")


def _retriever(name: str) -> dict[str, Any]:
    from harness.retrieval.open import retriever_config

    config = retriever_config(name)
    return {"summary": config["kind"], **config}


def _board(name: str) -> dict[str, Any]:
    from harness.boards.config import parse_board
    from harness.boards.file import board_values

    values, path = board_values(name)
    board = parse_board(values, str(path))
    return {"summary": board.description, **board.model_dump(mode="json", exclude_unset=True)}


def _text(card: dict[str, Any]) -> str:
    import yaml

    shown = {key: value for key, value in card.items() if value not in ("", [], {}, None)}
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100).rstrip()
