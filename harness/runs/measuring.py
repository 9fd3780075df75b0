"""Measuring of a run: how many single queries are timed, and by which protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.fingerprint import sample_by_hash
from harness.records import Query
from harness.runs.performance import Latency

USUAL_PASSES = 2
REPEATED = 4
"""One in so many timed queries is timed again in a further pass: a quarter more time tells by how
much a figure may change by itself, and as the last thing done, also what drifted meanwhile."""


@dataclass(frozen=True, slots=True)
class Measuring:
    """How latency is measured: single queries in a fixed random order, after a warm-up.

    ``passes``: how often a quarter of the queries is timed; None for twice, of four queries or
    more, with which runs that were timed once are content. ``isolate``: in a process of its own,
    which ``alone`` says that this one is. Without ``timings``, as on a busy machine, no latency, no
    throughput and no memory is recorded.
    """

    queries: int = 50
    warmup: int = 5
    passes: int | None = None
    isolate: bool = False
    alone: bool = False
    timings: bool = True
    processes: int = 1
    """That answer runs of the board at once, each with its share of the cores."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether another process is to measure."""
        return self.isolate and not self.alone

    def is_done(self, latency: Latency | None, questions: int) -> bool:
        """Whether a run of so many questions needs no more measuring."""
        wanted = min(self.queries, questions)
        if not self.timings or not wanted:
            return True
        if latency is None or len(latency.seconds) < wanted:
            return False
        again = self.passes is not None and latency.passes < self.passes
        return not again and (latency.isolated or not self.isolate)

    def again(self, timed: int) -> list[int]:
        """How many of so many timed queries each further pass times."""
        if self.passes is None:
            return [timed // REPEATED] * (USUAL_PASSES - 1) if timed >= REPEATED else []
        return [max(1, timed // REPEATED)] * (self.passes - 1) if timed else []

    def protocol(self, timed: int, streamed: str = "") -> dict[str, Any]:
        """What a manifest says of how so many queries were timed.

        ``streamed``: which of a server's replies came as streams.
        """
        again = self.again(timed)
        return {
            "loop": "closed: the next query is asked when the last one is answered",
            "window": 1,
            "queries": timed,
            "order": "smallest SHA-256 of the question's id first",
            "warmup": min(self.warmup, timed),
            "warmup_queries": "the first of the timed ones, not counted",
            "passes": 1 + len(again),
            "queries_again": again[0] if again else 0,
            "cached": (
                "model, index and memory are open; nothing is kept from one query to the next, but "
                "by a server that keeps what it read of prompts"
            ),
            "timer": "perf_counter, from the query to its answer; kernels of a GPU are waited for",
            "first_token": "from the query to the first token of the last reply of its program",
            **({"streamed": streamed} if streamed else {}),
            "isolated": self.alone,
        }


USUAL = Measuring()


def in_order(queries: Sequence[Query]) -> list[Query]:
    """Queries in the order in which they are timed: a fixed random one, however many are."""
    return sample_by_hash(queries, len(queries), lambda query: query.id)
