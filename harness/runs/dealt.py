"""The record of a dealt pool: which of several it is, what all of them ask (``data.dealing``)."""

from __future__ import annotations

from typing import Any

from harness.runs.record import Count, Record


class Dealt(Record):
    """One of several ``pools`` of a size, by its number from 1; without one, all of them joined.

    ``questions`` and their fingerprint are of all pools together.
    """

    number: Count | None = None
    pools: Count
    questions: Count
    questions_fingerprint: str

    def together(self) -> dict[str, Any]:
        """What all pools of a size say alike."""
        return {name: value for name, value in self.written().items() if name != "number"}
