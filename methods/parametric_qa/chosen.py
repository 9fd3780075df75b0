"""What selection gives; apart from how, so that naming methods loads no heavy library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chosen:
    """A document, its score and the round (1 for the first) in which it was chosen."""

    id: str
    score: float
    hop: int
