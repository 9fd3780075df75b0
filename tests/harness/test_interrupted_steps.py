"""Ctrl-C in work that does not await: it ends at its next step, not after its last."""

from __future__ import annotations

import asyncio
import signal

import pytest
from rich.console import Console

from harness.progress import bar
from tests.harness.programs import Program, make_engine

STEPS = 1_000


def training(done: list[int], interrupted_at: int | None):
    async def work() -> None:
        with bar(Console(quiet=True), "training", STEPS) as shown:
            for step in range(STEPS):
                if step == interrupted_at:
                    signal.raise_signal(signal.SIGINT)
                done.append(step)
                shown.advance()

    return work()


def test_ctrl_c_ends_a_write_at_its_next_step():
    engine, done = make_engine(Program(1)).engine, list[int]()
    with pytest.raises(KeyboardInterrupt):
        engine.complete(training(done, interrupted_at=3))
    assert done == [0, 1, 2, 3]


def test_the_next_write_goes_on_to_its_end():
    engine, done = make_engine(Program(1)).engine, list[int]()
    with pytest.raises(KeyboardInterrupt):
        engine.complete(training([], interrupted_at=3))
    engine.complete(training(done, interrupted_at=None))
    assert len(done) == STEPS


def test_a_task_that_is_cancelled_by_itself_stops_no_other():
    """Such as a request that takes too long, beside a bar of answers."""
    done: list[int] = []

    async def work() -> None:
        late = asyncio.create_task(asyncio.sleep(60))
        late.cancel()
        await training(done, interrupted_at=None)

    make_engine(Program(1)).engine.complete(work())
    assert len(done) == STEPS
