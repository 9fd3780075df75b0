"""Record of a contextual training: what its steps have at hand, its log, curves and results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

import torch
from torch import Tensor

from harness.files import atomic_file, write_json
from methods.parametric_qa.contextual.draws import Draws
from methods.parametric_qa.contextual.pace import Pace, Phase
from methods.parametric_qa.contextual.pool import Pool
from methods.parametric_qa.contextual.recipe import Recipe
from methods.parametric_qa.contextual.student import Passes

NOTES, CURVES = "run.json", "curves.csv"
LOGGED = 10
"""Steps between two points of a curve."""

Say = Callable[[str], None]


@dataclass
class Run:
    """The state of a run."""

    recipe: Recipe
    pool: Pool
    passes: Passes
    draws: Draws
    pace: Pace
    out: Path
    say: Say
    decode: Callable[[Sequence[int]], str]
    points: list[tuple[int, str, float, float]] = field(default_factory=list)
    steps: int = 0
    tokens: int = 0
    skipped: int = 0
    best: float = float("inf")
    saved: int = -1

    def note(self, name: str, value: float) -> None:
        """A point of a curve."""
        self.points.append((self.steps, name, round(value, 5), round(self.pace.seconds, 1)))


class Log:
    """The log of a phase's steps: losses, speed of late and how many steps are to come."""

    def __init__(self, run: Run, phase: Phase) -> None:
        self.run, self.phase = run, phase
        self.first, self.last = run.steps, (run.steps, run.pace.seconds, run.passes.run.tokens)

    def step(self, found: dict[str, Tensor]) -> None:
        """Note a step's losses, now and then."""
        run, done = self.run, self.run.steps - self.first
        if done > 3 and done % LOGGED:
            return
        values = {name: float(value.detach()) for name, value in found.items()}
        for name, value in values.items():
            run.note(f"loss {name}", value)
        if done > 3 and done % (5 * LOGGED):
            return
        steps, seconds, tokens = self.last
        self.last = run.steps, run.pace.seconds, run.passes.run.tokens
        took = max(run.pace.seconds - seconds, 1e-9)
        speed = (run.steps - steps) / took
        to_come = round(speed * max(0.0, self.phase.end - run.pace.seconds))
        shown = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
        run.say(
            f"{run.pace.seconds:6.1f} s, step {run.steps}: {shown}; {speed:.2f} steps/s, "
            f"{(run.passes.run.tokens - tokens) / took:,.0f} positions/s, {to_come} steps to come"
        )


def note_measured(run: Run, found: dict[str, float]) -> None:
    """Note and say what a validation found."""
    for name, value in found.items():
        run.note(f"validation {name}", value)
        run.say(f"{run.pace.seconds:6.1f} s, validation {name}: {value:.1f}")


def write_notes(run: Run, found: dict[str, float]) -> None:
    """``run.json``: recipe, steps, hardware, results; and ``curves.csv``."""
    device = run.passes.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    memory = torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else 0.0
    notes = {
        "recipe": run.recipe.model_dump(mode="json"),
        "steps": run.steps,
        "skipped": run.skipped,
        "saved step": run.saved,
        "seconds": round(run.pace.seconds, 1),
        "budget": run.pace.budget,
        "positions": run.passes.run.tokens,
        "device": name,
        "memory GB": round(memory, 1),
        "torch": torch.__version__,
        "validation loss": run.best if isfinite(run.best) else None,
        "validation": found,
    }
    write_json(run.out / NOTES, notes)
    lines = ["step,measure,value,seconds", *(",".join(map(str, p)) for p in run.points)]
    with atomic_file(run.out / CURVES) as file:
        file.write(("\n".join(lines) + "\n").encode())
