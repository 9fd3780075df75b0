"""Things: what entries of tables of names stand for, loaded."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from harness.errors import ConfigError
from harness.registry import importing
from harness.registry.installed import Offer
from harness.registry.kinds import CALLED, PATHS, Kind


def resolve(target: Any, what: str) -> Any:
    """What a table's entry stands for: ``module:attribute``, an entry point, the object itself."""
    if isinstance(target, Offer):
        return target.load()
    value = target.value if isinstance(target, EntryPoint) else target
    if not isinstance(value, str):
        return value
    try:
        return importing.attribute(value, what)
    except importing.ImportFailedError as error:
        raise ConfigError(f"{what} cannot be loaded from {value!r}: {error}") from error


def thing(kind: Kind, target: Any, what: str = "") -> Any:
    """What a table's entry of one kind stands for. Raises ConfigError if it cannot be that."""
    if kind in PATHS and not isinstance(target, Offer):
        return Path(target)
    found = resolve(target, what)
    if kind in CALLED and not callable(found):
        raise ConfigError(f"{what or target}: {found!r} is neither a function nor a class")
    return found


def same(kind: Kind, target: Any, other: Any) -> bool:
    """Whether two entries stand for the same thing, however they are written."""
    try:
        return bool(target == other or thing(kind, target) == thing(kind, other))
    except ConfigError:
        return False
