"""A figure of a benchmark: a ratio to a peer or a floor that was measured in the same process.

Seconds say as much of the machine and of its neighbours as of the code, so no figure is one. Sides
that are compared take turns, and who begins alternates: what drifts meanwhile falls on both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import process_time
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, computed_field
from pydantic.dataclasses import dataclass

from harness.files import write_json

Ratio = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]

FIGURES = "MEMORY_HARNESS_FIGURES"
"""The environment variable by which the suite tells a benchmark where its figures go."""


@dataclass(frozen=True, config=ConfigDict(extra="ignore"))
class Figure:
    """``name``, divided by what ``against`` names, once a repetition."""

    name: Text
    against: Text
    ratios: Annotated[tuple[Ratio, ...], Field(min_length=1)]
    bound: Literal["at most", "at least"] = "at most"
    target: Ratio | None = None
    detail: str = ""
    """What the ratio is of, in seconds, bytes or tokens: of this machine on this day."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def value(self) -> float:
        """The median of the ratios."""
        return median(self.ratios)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        at_most = self.bound == "at most"
        return self.value <= self.target if at_most else self.value >= self.target

    def cells(self) -> tuple[str, str, str, str, str]:
        """Ratio, spread, repetitions, target and whether it is met."""
        spread = f"{min(self.ratios):.3g}-{max(self.ratios):.3g}"
        aim, met = "none", ""
        if self.target is not None:
            aim, met = f"{self.bound} {self.target:.3g}", "met" if self.met else "MISSED"
        return f"{self.value:.3g}", spread, str(len(self.ratios)), aim, met

    def line(self) -> str:
        """The figure as a sentence, its target beside it."""
        value, spread, count, aim, met = self.cells()
        more = f" ({self.detail})" if self.detail else ""
        return (
            f"{self.name} / {self.against}: {value} [{spread}, n={count}], target {aim} {met}{more}"
        )


MANY = TypeAdapter(list[Figure])


def take_turns(
    sides: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = process_time,
) -> dict[str, list[float]]:
    """Seconds of each side in each round; who begins alternates.

    ``process_time`` counts a processor's, which other programs do not lengthen; it needs sides that
    compute in this process by one thread and wait for nothing.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name in list(sides)[:: -1 if turn % 2 else 1]:
            start = clock()
            sides[name]()
            seconds[name].append(clock() - start)
    return seconds


def divided(over: Sequence[float], under: Sequence[float]) -> tuple[float, ...]:
    """Ratios, round by round."""
    return tuple(one / other for one, other in zip(over, under, strict=True))


def report(figures: Iterable[Figure]) -> None:
    """Print each figure as it comes, and hand all of them to the suite if it is listening."""
    found = []
    for figure in figures:
        print(figure.line(), flush=True)
        found.append(figure)
    if place := os.environ.get(FIGURES):
        write_json(Path(place), json.loads(MANY.dump_json(found)))
