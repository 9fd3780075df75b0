"""Formats by name, with the options of a command line."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from harness.errors import ConfigError, did_you_mean, problem_of
from harness.formats.base import Format
from harness.registry import load


def format_class(name: str) -> type[Format]:
    """The class of a format. Raises ConfigError with a suggestion if there is none."""
    found = load("formats", name)
    if not (isinstance(found, type) and issubclass(found, Format)):
        raise ConfigError(f"format '{name}': {found!r} is not a subclass of {Format.__module__}")
    return found


def open_format(name: str, options: Mapping[str, str]) -> Format:
    """A format with these options, as they are typed. Raises ConfigError for one it has not."""
    cls = format_class(name)
    try:
        return cls(cls.Options.model_validate(options))
    except ValidationError as error:
        found = problem_of(error)
        known = list(cls.Options.model_fields)
        if found.is_unknown:
            hint = did_you_mean(found.key, known) if known else "; it has none"
            raise ConfigError(f"format '{name}' has no option '{found.key}'{hint}") from None
        of = f", option '{found.where}'" if found.path else ""
        problem = found.message.removeprefix("Value error, ")
        raise ConfigError(f"format '{name}'{of}: {problem}") from None
