"""Seals: in a JSON file, a fingerprint of what it holds and belongs to.

A seal tells damage, edits by accident and files of two runs that were mixed. It is no signature:
whoever means to forge a file can seal it again. Files of earlier releases have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.fingerprint import fingerprint

_SEAL = "seal"


def sealed(values: Mapping[str, Any], of: Any) -> dict[str, Any]:
    """The values with their seal; ``of`` is what they belong to, such as a run's id."""
    return {**values, _SEAL: fingerprint([of, values])}


def is_sound(values: Mapping[str, Any], of: Any) -> bool:
    """Whether values that were read are those that were sealed, or never were."""
    rest = without_seal(values)
    return len(rest) == len(values) or values[_SEAL] == fingerprint([of, rest])


def without_seal(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values alone."""
    return {name: value for name, value in values.items() if name != _SEAL}
