"""The pace of a training that has so many seconds: phases, rates and what time is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

RESERVE, LEAST_RESERVE = 0.1, 4.0
"""Share of the time, and seconds at least, that are kept to validate and save at the end."""


@dataclass
class Pace:
    """Seconds since ``start`` (of ``now``'s clock), against a budget."""

    budget: float
    start: float = field(default_factory=monotonic)
    now: Callable[[], float] = monotonic

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self.now() - self.start

    @property
    def training(self) -> float:
        """Seconds, from the start, at which training ends."""
        return self.budget - max(RESERVE * self.budget, min(LEAST_RESERVE, self.budget / 2))

    @property
    def left(self) -> float:
        """Seconds to the end of the budget."""
        return self.budget - self.seconds


@dataclass
class Phase:
    """A part of the time, with a learning rate that rises and then falls to ``last`` of itself."""

    pace: Pace
    begin: float
    end: float
    warmup: float
    last: float = 0.0

    @property
    def done(self) -> float:
        """What share of the phase is over."""
        return min(
            1.0, max(0.0, (self.pace.seconds - self.begin) / max(self.end - self.begin, 1e-9))
        )

    @property
    def over(self) -> bool:
        """Whether another step would begin too late."""
        return self.pace.seconds >= self.end

    @property
    def rate(self) -> float:
        """What the learning rate is multiplied by now."""
        done = self.done
        rise = min(1.0, (done + 1e-3) / self.warmup)
        return rise * (self.last + (1 - self.last) * (1 - done))
