"""Tables of a plug-in's module: METHODS, TASKS and so on, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.errors import InputError
from harness.files import check_slug, expanded
from harness.registry.kinds import KINDS, PATHS, Kind, Table


def tables_of(module: ModuleType, source: str) -> Mapping[Kind, Table]:
    """Every table of a plug-in's module. Raises InputError, naming ``source``."""
    return {kind: _table(kind, module, source) for kind in KINDS}


def check_offers(tables: Mapping[Kind, Table], source: str) -> None:
    """Raise InputError if a plug-in holds no name at all."""
    if not any(tables.values()):
        raise InputError(
            f"plugin '{source}' offers nothing: define METHODS = {{'my-method': MyMethod}}"
        )


def by_name(tables: Iterable[tuple[str, Table]]) -> dict[str, tuple[str, Any]]:
    """Every name of several places' tables, with its place and what it stands for there."""
    return {name: (source, target) for source, table in tables for name, target in table.items()}


def _table(kind: Kind, module: ModuleType, source: str) -> dict[str, Any]:
    table = kind.upper()
    values = getattr(module, table, {})
    if not isinstance(values, dict):
        raise InputError(f"plugin '{source}': {table} must be a dictionary of names")
    checked = {check_slug(str(name), f"plugin {table}"): value for name, value in values.items()}
    if kind in PATHS:
        folder = Path(module.__file__ or "").parent
        for name, value in checked.items():
            if not isinstance(value, str | Path):
                raise InputError(f"plugin '{source}': {table}: '{name}' must be a path")
        return {name: folder / expanded(value) for name, value in checked.items()}
    return checked
