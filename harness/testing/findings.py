"""Findings about a method: the rules it keeps, those it breaks with the fix, those not checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.testing.conformance_lab import Lab

Wrongs = Iterator[tuple[str, str]]
"""What is wrong and where, and how it is mended."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule by its name, how it is checked, and the rules without which it cannot be."""

    name: str
    check: Callable[[Lab], Wrongs]
    after: tuple[Rule, ...] = ()
    applies: Callable[[Lab], bool] = lambda _: True


def rule(
    name: str, *after: Rule, applies: Callable[[Lab], bool] = lambda _: True
) -> Callable[[Callable[[Lab], Wrongs]], Rule]:
    """Make a rule of a generator that yields what breaks it."""
    return lambda check: Rule(name, check, after, applies)


@dataclass(frozen=True, slots=True)
class Breach:
    """A broken rule: what is wrong and where, and how it is mended."""

    rule: str
    wrong: str
    fix: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found of a method."""

    name: str
    kept: tuple[str, ...] = ()
    broken: tuple[Breach, ...] = ()
    unchecked: tuple[tuple[str, str], ...] = ()
    """Rules that could not be checked, each with the broken rule that is why."""


class BrokenRuleError(HarnessError, AssertionError):
    """A method breaks rules that the harness relies on: each breach a line, with its fix."""

    def __init__(self, findings: Findings) -> None:
        lines = [
            f'{findings.name} breaks the rule "{each.rule}": {each.wrong}; {each.fix}'
            for each in findings.broken
        ]
        super().__init__()
        self.args = ("\n".join(lines),)  # a report of several lines, unlike other errors
        self.findings = findings
