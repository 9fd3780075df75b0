"""The method that an entry names, in a board or on a command line: its class and its parameters."""

from __future__ import annotations

from inspect import signature
from typing import Any

from pydantic import ValidationError

from harness.data.yaml import load_yaml
from harness.errors import ConfigError, did_you_mean, problem_of
from harness.method import Method, MethodCard, MethodParams, writes_memory
from harness.registry import find, load
from harness.retrieval.prebuilt import is_prebuilt


def parse_params(cls: type[Method], name: str, values: dict[str, Any]) -> MethodParams:
    """Validate a method's parameters; errors name the method, the parameter and the fix."""
    known = list(cls.Params.model_fields)
    values = _with_variant(cls, name, values)
    for key in values:
        if key not in known:
            raise ConfigError(f"method '{name}' has no parameter '{key}'{did_you_mean(key, known)}")
    try:
        return cls.Params.model_validate(values)
    except ValidationError as error:
        found = problem_of(error)
        raise ConfigError(
            f"method '{name}': parameter '{found.where}' = {found.value!r}: {found.message}"
        ) from error


def param_value(text: str) -> Any:
    """A parameter as it is typed on a command line. Raises yaml.YAMLError if it cannot be read."""
    # An encoder's prefix, "query: ", would make a mapping of an index's name.
    return text if not text or is_prebuilt(text) else load_yaml(text)


def own_name(name: str) -> str:
    """A method's name without the variant that may follow it: ``NAME`` of ``NAME:VALUE``."""
    return name.partition(":")[0]


def load_method(name: str) -> type[Method]:
    """The method class of a name; ConfigError with a suggestion if it is unknown."""
    own, colon, _ = name.partition(":")
    cls = load("methods", own)
    if not (isinstance(cls, type) and issubclass(cls, Method)):
        target = find("methods", own)
        raise ConfigError(f"method '{own}': {target!r} is not a subclass of harness.method.Method")
    check_class(own, cls)
    # Else whatever lists methods would stop at a plug-in's.
    if not isinstance(cls.card, MethodCard):
        raise ConfigError(f"method '{own}': card is {cls.card!r:.60}, not a MethodCard")
    if not (isinstance(cls.Params, type) and issubclass(cls.Params, MethodParams)):
        raise ConfigError(f"method '{own}': write class Params(MethodParams) in {cls.__name__}")
    if colon and cls.variant_param is None:
        raise ConfigError(f"method '{name}': '{own}' has no variants; leave ':' and the rest out")
    return cls


def check_class(name: str, cls: type[Method]) -> None:
    """Raise ConfigError, naming what is missing, unless a class can be run and read again."""
    missing = sorted(cls.__abstractmethods__) + ([] if hasattr(cls, "card") else ["card"])
    if missing:
        raise ConfigError(f"method '{name}': class {cls.__name__} lacks {', '.join(missing)}")
    if not writes_memory(cls):
        return
    # Without load() only the first run would have the memory; without storage() it weighs nothing.
    halves = [half for half in ("load", "storage") if getattr(cls, half) is getattr(Method, half)]
    if halves:
        raise ConfigError(
            f"method '{name}': class {cls.__name__} has write() but no "
            f"{'() and no '.join(halves)}(); write(corpus, train, folder) leaves the memory in the "
            "folder, load(folder) opens it in every run, storage() gives its bytes"
        )
    if len(signature(cls.write).parameters) != len(signature(Method.write).parameters):
        raise ConfigError(
            f"method '{name}': {cls.__name__}.write must take (corpus, train, folder) and leave "
            "the memory in the folder"
        )


def _with_variant(cls: type[Method], name: str, values: dict[str, Any]) -> dict[str, Any]:
    _, colon, variant = name.partition(":")
    if not colon or cls.variant_param is None:
        return values
    if values.get(cls.variant_param, variant) != variant:
        raise ConfigError(
            f"method '{name}': parameter '{cls.variant_param}' = {values[cls.variant_param]!r} "
            "names another variant; leave one of the two out"
        )
    return {**values, cls.variant_param: variant}
