"""Errors a user can act on. The command line prints them in one line and exits with status 2."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from errno import EDQUOT, EMFILE, ENFILE, ENOMEM, ENOSPC
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

_BREAKS = re.compile(r"[\r\n]+\s*")


class HarnessError(Exception):
    """What went wrong, where, and how to fix it, in one line whatever names it repeats."""

    def __init__(self, message: str = "") -> None:
        super().__init__(_BREAKS.sub(" ", message))


class InputError(HarnessError):
    """A file, record or name given by the user is not usable."""


class ConfigError(HarnessError):
    """A board, parameter or option is not valid."""


class CapabilityError(HarnessError):
    """A method needs something that the language model cannot do."""


class RunLockedError(HarnessError):
    """Another process is writing to the same folder."""


class RunFailedError(HarnessError):
    """Work that was under way had to stop: a run, a training, an evaluation."""


class MachineError(RunFailedError):
    """The machine failed, not the method: memory is used up, or a device gave up."""


class PromptTooLongError(HarnessError):
    """A prompt exceeds the model's window even with every passage left out."""


class WindowExceededError(PromptTooLongError):
    """A server refused a prompt as too long and told its window; less of it may be sent."""

    def __init__(self, message: str, window: int, prompt_tokens: int | None = None) -> None:
        super().__init__(message)
        self.window, self.prompt_tokens = window, prompt_tokens


class UnansweredError(HarnessError):
    """The model's server failed, not the method: the question is asked again by the next run."""


@dataclass(frozen=True, slots=True)
class Problem:
    """The one problem of a validation error that is told."""

    path: tuple[str | int, ...]
    message: str
    is_unknown: bool
    """The key is none of the model's."""
    is_missing: bool
    value: Any = None
    """What was given; None where it must not be echoed."""

    @property
    def where(self) -> str:
        """The field's dotted name; empty for the whole."""
        return ".".join(map(str, self.path))

    @property
    def key(self) -> str:
        """The field's own name."""
        return str(self.path[-1]) if self.path else ""


def problem_of(error: ValidationError, *, echo: bool = True) -> Problem:
    """The most helpful problem: a misspelt key is also a missing one, and its name says more.

    ``echo`` False leaves out what was typed, which may be a secret.
    """
    every = error.errors(include_input=echo, include_url=False)
    first = min(every, key=lambda found: found["type"] != "extra_forbidden")
    return Problem(
        path=first["loc"],
        message=first["msg"],
        is_unknown=first["type"] == "extra_forbidden",
        is_missing=first["type"] == "missing",
        value=first.get("input"),
    )


def did_you_mean(name: str, known: list[str]) -> str:
    """Return a hint such as ``; did you mean 'bm25'? (known: bm25, none)``."""
    import difflib

    spelt = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), spelt, n=1, cutoff=0.5)
    hint = f"; did you mean '{spelt[close[0]]}'?" if close else ""
    return f"{hint} (known: {', '.join(sorted(known))})"


def describe_error(error: BaseException) -> str:
    """One line that names an error's type and message."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:2000]


MACHINES_FAILURES = frozenset({"MemoryError", "OutOfMemoryError", "AcceleratorError"})
"""Kinds of errors that are the machine's, by name, since torch is not imported for them."""
_USED_UP = frozenset({ENOMEM, ENOSPC, EDQUOT, EMFILE, ENFILE})
# Of older releases of torch, and of other libraries.
_DEVICE_WORDS = re.compile(
    r"\b(CUDA|HIP|cuDNN|NCCL|Triton)( driver)? error\b|out of memory|can't allocate memory", re.I
)


def machine_failure(error: BaseException) -> str | None:
    """What the machine failed with, and what to do, if that is why there is an error; else None.

    Memory or files used up, and a device that failed, whatever was raised because of it.
    """
    cause = next(filter(_is_of_machine, _causes(error)), None)
    if cause is None:
        return None
    if isinstance(cause, MachineError):
        return str(cause)
    return (
        f"{describe_error(cause)[:400]}; see to the machine (free memory or space, end other "
        "programs on its GPU, take a smaller --batch-size) and run again"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    known: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and not any(found is each for each in known):
        yield found
        known.append(found)
        hidden = found.__suppress_context__
        found = found.__cause__ or (None if hidden else found.__context__)


def _is_of_machine(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _USED_UP
    if isinstance(error, RuntimeError):
        is_named = type(error).__name__ in MACHINES_FAILURES
        return is_named or _DEVICE_WORDS.search(str(error)) is not None
    return isinstance(error, MemoryError | MachineError)
