"""StartHere keeps the rules of a method, whatever its parameters."""

from __future__ import annotations

from harness import check_method

from start_here import StartHere


def test_it_keeps_the_rules_of_a_method() -> None:
    """The error names every broken rule, its place and its fix."""
    assert check_method(StartHere)


def test_it_keeps_them_with_other_parameters() -> None:
    """Smallest values are where lists run empty."""
    assert check_method(StartHere, {"k": 1, "shots": 0})
