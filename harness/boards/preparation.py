"""Preparations: work before the runs of a board. An entry names a verb, whose class does it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import ConfigError, did_you_mean, problem_of
from harness.registry import declares, is_known, load, sources

if TYPE_CHECKING:
    from rich.console import Console


class Preparation(BaseModel):
    """An entry of a board: ``{name, VERB: value, ...}``, the rest being the verb's own options."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """The verb and its options, as the board has them."""
        return {key: value for key, value in (self.model_extra or {}).items() if value is not None}


class Work(BaseModel, ABC):
    """The base of a verb's class; its fields are an entry's options, the verb one of them.

    Fields are JSON-able; they are kept beside what was made and tell whether it was asked for.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True
    )

    def check(self) -> None:
        """Raise HarnessError if an option is refused; called before any work of the board."""

    def content(self) -> str | None:
        """Fingerprint of what files hold that the options name; None if they name none."""
        return None

    @abstractmethod
    def make(self, folder: Path, device: str | None, console: Console) -> None:
        """Do the work in ``folder``, which may hold what an interruption left."""


def work_of(entry: Preparation, where: str = "") -> Work:
    """The work that an entry names, its options validated, nothing heavy loaded.

    Raises ConfigError naming the key, with ``where`` before it.
    """
    options = entry.options
    given = [key for key in options if declares("preparations", key)]
    given = given or [key for key in options if is_known("preparations", key)]
    if len(given) != 1:
        raise ConfigError(_no_verb(options, _verbs(), where))
    cls = load("preparations", given[0])
    if not (isinstance(cls, type) and issubclass(cls, Work)):
        raise ConfigError(f"preparation '{given[0]}': {cls!r} is not a subclass of {Work.__name__}")
    try:
        return cls.model_validate(options)
    except ValidationError as error:
        raise ConfigError(_explain(error, cls, where)) from error


def _explain(error: ValidationError, cls: type[Work], where: str) -> str:
    found = problem_of(error)
    place = f"{where}{found.where}".removesuffix(".")
    if found.is_unknown:
        known = [field.alias or name for name, field in cls.model_fields.items()]
        return _unknown(place, found.where, known)
    if found.is_missing:
        return f"key '{place}' is missing; add it"
    return f"'{place}' = {found.value!r}: {found.message}"


def _verbs() -> list[str]:
    return [name for _, table in sources("preparations") for name in table]


def _no_verb(options: Mapping[str, Any], known: list[str], where: str) -> str:
    unknown = [key for key in options if key not in known]
    if unknown and len(unknown) == len(options):
        return _unknown(f"{where}{unknown[0]}", unknown[0], known)
    return f"'{where.removesuffix('.')}': give either {' or '.join(map(repr, known))}"


def _unknown(place: str, key: str, known: list[str]) -> str:
    return f"unknown key '{place}'{did_you_mean(key, ['name', *known])}"
