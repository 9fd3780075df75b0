"""The matrix of methods and backends: which method runs on what, from what each declares."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from harness.boards.method_entry import load_method
from harness.errors import HarnessError
from harness.llm.backends import BACKENDS, Backend
from harness.method import Method
from harness.registry import names

_NONE = type(None)


def matrix() -> list[list[str]]:
    """A row for every method: its name and, for each of BACKENDS, what runs there."""
    return [[name, *_cells(name)] for name in names("methods")]


def _cells(name: str) -> list[str]:
    try:
        cls = load_method(name)
    except HarnessError:  # a plug-in's; 'list methods' says why
        return ["no: cannot be loaded"] * len(BACKENDS)
    try:
        return [cell(cls, backend) for backend in BACKENDS]
    except Exception:  # of a plug-in's own code; 'check-method' says where
        return ["no: it cannot be made of its defaults"] * len(BACKENDS)


def cell(cls: type[Method], backend: Backend) -> str:
    """``yes`` or ``no``, and with which model or parameters, or why."""
    if reason := _lacks(cls(), backend):
        ways = [f"{name}=null" for name in _optional(cls) if not _lacks(_with(cls, name), backend)]
        return f"with {' or '.join(ways)}" if ways else f"no: {reason}"
    notes = ["its checkpoint"] if cls.needs_tokens or cls.needs_training_for else []
    if cls.needs_tokens and backend.kind == "openai":
        notes.append("tokenizer named")
    notes += [f"not {name}={'/'.join(values)}" for name, values in _refused(cls, backend).items()]
    return ", ".join(["yes", *notes])


def _lacks(method: Method, backend: Backend) -> str:
    """What of the method's needs the backend cannot have; empty if nothing."""
    if missing := sorted(method.needs_now - backend.capabilities):
        return ", ".join(missing)
    if method.needs_tokens and not backend.tokens:
        return "tokens of its own"
    takes = method.adapter is None or "adapters" in backend.capabilities
    return "" if takes else "brings an adapter"


def _optional(cls: type[Method]) -> list[str]:
    """Parameters that may be left without a value and have one by default."""
    fields = cls.Params.model_fields
    return [
        n for n, f in fields.items() if f.default is not None and _NONE in get_args(f.annotation)
    ]


def _refused(cls: type[Method], backend: Backend) -> dict[str, list[str]]:
    """Values of parameters, each changed alone, with which the method needs more."""
    refused: dict[str, list[str]] = {}
    for name, field in cls.Params.model_fields.items():
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        for value in choices:
            if _lacks(_with(cls, name, value), backend):
                refused.setdefault(name, []).append(str(value))
    return refused


def _with(cls: type[Method], name: str, value: Any = None) -> Method:
    return cls(cls().params.model_copy(update={name: value}))
