"""A shard: those of a run's questions that one of several jobs asks (``run --part``)."""

from __future__ import annotations

from harness.runs.record import Count, Record


class Shard(Record):
    """The questions from ``begin`` to ``end``, in the run's order, counted from 0.

    ``end`` is not among them. They are those of part ``number`` (from 1) of ``parts`` of a board,
    which ``board`` is the fingerprint of.
    """

    number: Count
    parts: Count
    board: str
    begin: Count
    end: Count

    @property
    def text(self) -> str:
        """``part 2 of 8, questions 121 to 240``."""
        return f"part {self.number} of {self.parts}, questions {self.begin + 1:,} to {self.end:,}"
