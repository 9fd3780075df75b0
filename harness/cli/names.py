"""The commands ``list`` and ``describe``: names and cards of everything that has one, as text."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.common import Plugins, load_plugins
from harness.errors import ConfigError, HarnessError, did_you_mean
from harness.registry import (
    KINDS,
    Kind,
    broken,
    broken_note,
    complaints,
    declares,
    is_known,
    load,
    task_folder,
    unusable,
)
from harness.registry import names as known_names

Card = Callable[[str], dict[str, Any]]
Known = Mapping[str, tuple[Callable[[], Collection[str]], Card]]
"""By kind: the names that there are, and the card of one."""


def list_names(
    kind: Annotated[str, typer.Argument(help="methods, tasks, models, boards, formats, …")],
    plugin: Plugins = None,
) -> None:
    """List what there is, one name a line."""
    load_plugins(plugin)
    for name, summary in names(kind):
        typer.echo(f"{name:32} {summary}".rstrip())
    for line in complaints(broken()):
        typer.echo(line, err=True)


def describe(
    name: Annotated[str, typer.Argument(help="A method, task, model, encoder, format or board.")],
    plugin: Plugins = None,
) -> None:
    """Show the card of one method, task, model, encoder, format or board."""
    load_plugins(plugin)
    typer.echo(describe_name(name))


def names(kind: str) -> Iterator[tuple[str, str]]:
    """Name and one-line summary of everything of one kind; what a plug-in broke says so."""
    kinds = _kinds()
    if kind not in kinds:
        raise ConfigError(f"cannot list '{kind}'{did_you_mean(kind, list(kinds))}")
    known, card = kinds[kind]
    faults = {name: why for each in KINDS if each == kind for name, why in unusable(each)}
    for name in sorted({*known(), *faults}):
        yield name, f"cannot be used: {faults[name]}" if name in faults else _summary(card, name)


def _summary(card: Card, name: str) -> str:
    try:
        values = card(name)
    except HarnessError as error:
        return f"cannot be used: {error}"
    return str(values.get("summary") or values.get("title") or values.get("licence") or "")


def describe_name(name: str) -> str:
    """The card of whatever has this name; every kind that has it, if several do."""
    kinds = _kinds()
    # Plug-in modules are imported only for what nothing else has.
    near: Known = {
        kind: kinds[kind] for kind in KINDS if kind in kinds and declares(kind, _own(kind, name))
    }
    found = _cards(name, near) or _cards(name, kinds)
    if not found:
        every = [known_name for known, _ in kinds.values() for known_name in known()]
        raise ConfigError(f"nothing is called '{name}'{did_you_mean(name, every)}{broken_note()}")
    return "\n\n".join(found)


def _cards(name: str, kinds: Known) -> list[str]:
    return [
        f"{kind.removesuffix('s')}: {name}\n{_text(card(name))}"
        for kind, (known, card) in kinds.items()
        if _own(kind, name) in known()
    ]


def _own(kind: str, name: str) -> str:
    """The name that tables have: a method's stands before its variant."""
    from harness.boards.method_entry import own_name

    return own_name(name) if kind == "methods" else name


class _Names(Collection[str]):
    """Names of one kind; asking for one imports no plug-in module unless nothing else has it."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def __contains__(self, name: object) -> bool:
        return is_known(self.kind, str(name))

    def __iter__(self) -> Iterator[str]:
        return iter(known_names(self.kind))

    def __len__(self) -> int:
        return len(known_names(self.kind))


def _kinds() -> dict[str, tuple[Callable[[], Collection[str]], Card]]:
    return {
        "methods": (lambda: _Names("methods"), _method),
        "tasks": (lambda: _Names("tasks"), _task),
        "models": (_models, _model),
        "encoders": (_encoders, _encoder),
        "retrievers": (_retrievers, _retriever),
        "metrics": (_metrics, _metric),
        "boards": (lambda: _Names("boards"), _board),
        "commands": (lambda: _Names("commands"), _documented("commands")),
        "preparations": (lambda: _Names("preparations"), _documented("preparations")),
        "formats": (lambda: _Names("formats"), _format),
        "frames": (lambda: _Names("frames"), _documented("frames")),
        "results": (lambda: _Names("results"), _results),
    }


def _documented(kind: Kind) -> Card:
    return lambda name: _said_of(load(kind, name))


def _results(name: str) -> dict[str, Any]:
    """The card of packed runs."""
    archive = Path(load("results", name))
    if not archive.is_file():
        raise ConfigError(f"{archive}: missing; install what brings '{name}' again")
    size = f"{archive.stat().st_size / 1e6:.1f} MB"
    return {"summary": f"runs, packed ({size}); memory-harness leaderboard {name}"}


def _said_of(thing: object) -> dict[str, Any]:
    """The card of a function or class: the first line of its docstring."""
    return {"summary": (inspect.getdoc(thing) or "").partition("\n")[0]}


def _method(name: str) -> dict[str, Any]:
    from harness.boards.method_entry import load_method

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


def _models() -> Collection[str]:
    from harness.llm.catalogue import catalogue

    return catalogue()


def _model(name: str) -> dict[str, Any]:
    from harness.llm.catalogue import catalogue
    from harness.llm.style import RULE

    entry = catalogue()[name]
    return {"prompt_style": RULE, **entry.model_dump(mode="json", exclude_defaults=True)}


def _encoders() -> Collection[str]:
    return _Names("encoders")


def _encoder(name: str) -> dict[str, Any]:
    from harness.retrieval.catalogue import encoder_entry

    return encoder_entry(name).model_dump(mode="json")


def _retrievers() -> Collection[str]:
    """Without the encoders, each of which is a retriever, too; with the forms of a prebuilt one."""
    from harness.retrieval.open import retriever_names
    from harness.retrieval.prebuilt import FORMS

    return {*retriever_names(), *FORMS} - set(_encoders())


def _retriever(name: str) -> dict[str, Any]:
    from harness.retrieval.open import retriever_config
    from harness.retrieval.prebuilt import FORMS

    if name in FORMS:
        return dict(FORMS[name])
    config = retriever_config(name)
    return {"summary": config["kind"], **config}


def _metrics() -> Collection[str]:
    from harness.metrics import answer_metrics

    return answer_metrics()


def _metric(name: str) -> dict[str, Any]:
    return _said_of(load("metrics", name))


def _format(name: str) -> dict[str, Any]:
    from harness.formats.open import format_class

    cls = format_class(name)
    return {
        "summary": f"{cls.summary}; SOURCE: {cls.source}",
        "options": {
            key: f"{field.default!r}: {field.description or ''}".rstrip(": ")
            for key, field in cls.Options.model_fields.items()
        },
        "gold": cls.gold,
        "hops": cls.hops,
    }


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
