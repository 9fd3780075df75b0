"""Errors a user can act on. The command line prints them in one line and exits with status 2."""

from __future__ import annotations


class HarnessError(Exception):
    """What went wrong, where, and how to fix it, in one line."""


class InputError(HarnessError):
    """A file, record or name given by the user is not usable."""


class ConfigError(HarnessError):
    """A board, parameter or option is not valid."""


class CapabilityError(HarnessError):
    """A method needs something that the language model cannot do."""


class RunLockedError(HarnessError):
    """Another process is writing to the same run directory."""


class RunFailedError(HarnessError):
    """Every question failed in the same way, so the run was stopped."""


class PromptTooLongError(HarnessError):
    """A prompt exceeds the model's window even with every passage left out."""


def did_you_mean(name: str, known: list[str]) -> str:
    """Return a hint such as ``; did you mean 'bm25'? (known: bm25, none)``."""
    import difflib

    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    return f"{hint} (known: {', '.join(sorted(known))})"
