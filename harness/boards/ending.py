"""Ends of a command: what is still done where it is ended at once, as by a second Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_acts: list[Callable[[], object]] = []


@contextmanager
def also_at_end(act: Callable[[], object]) -> Iterator[None]:
    """Have something done where the process ends within the block: soon, and by any thread."""
    _acts.append(act)
    try:
        yield
    finally:
        _acts.remove(act)


def end() -> None:
    """Do all of it; what fails keeps nothing else from its end."""
    for act in list(_acts):
        with suppress(Exception):
            act()
