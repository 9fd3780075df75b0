"""External results: answers that another program gave to a task's questions, marked in a manifest.

They are scored as runs are, and nothing of their cost is known. Wherever a row of them is shown, it
says that it is external and with which model it was made.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from harness.runs.record import Record


class External(Record):
    """Where results came from, as their files tell it."""

    source: str
    """The program that made them."""
    model: str
    """The model as they name it, ``unknown`` if they do not; no model of the catalogue."""
    corpus: Literal["same", "unknown"] = "unknown"
    """Whether all passages that they name are of the task's corpus."""
    told: dict[str, Any] = Field({})
    """What else they tell of how they were made."""
    files: dict[str, str] = Field({})
    """SHA-256 of the files by name."""
