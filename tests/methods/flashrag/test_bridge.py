"""The bridge: plain functions that wait, run by coroutines."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import pytest

pytest.importorskip("greenlet")
from methods.flashrag.bridge import run_sync, untouched, wait_for


async def double(number: int) -> int:
    await asyncio.sleep(0)
    if number < 0:
        raise ValueError("negative")
    return 2 * number


def test_a_function_gets_what_it_waits_for_and_others_go_on_meanwhile() -> None:
    def work(start: int) -> list[int]:
        return [wait_for(double(number)) for number in range(start, start + 3)]

    async def both() -> list[list[int]]:
        return await asyncio.gather(run_sync(lambda: work(0)), run_sync(lambda: work(10)))

    assert asyncio.run(both()) == [[0, 2, 4], [20, 22, 24]]


def test_an_error_of_what_is_awaited_is_raised_where_it_was_wanted() -> None:
    def work() -> str:
        try:
            wait_for(double(-1))
        except ValueError as error:
            return f"caught {error}, then {wait_for(double(1))}"
        return "nothing"

    assert asyncio.run(run_sync(work)) == "caught negative, then 2"


def test_an_error_of_the_function_is_the_coroutines() -> None:
    def work() -> None:
        wait_for(double(1))
        raise KeyError("pred")

    with pytest.raises(KeyError, match="pred"):
        asyncio.run(run_sync(work))


def test_no_except_clause_survives_a_cancellation() -> None:
    went_on: list[str] = []

    def work() -> None:
        while True:
            try:
                wait_for(asyncio.sleep(60))
            except Exception:
                went_on.append("on")

    async def stopped() -> None:
        task = asyncio.create_task(run_sync(work))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stopped())
    assert went_on == []


def test_what_a_function_prints_is_dropped_and_nothing_else(capsys: Any) -> None:
    async def aside() -> None:
        print("kept", file=sys.stderr)

    def work() -> None:
        print("dropped")
        wait_for(aside())
        print("dropped", file=sys.stderr)

    asyncio.run(run_sync(work))
    assert capsys.readouterr() == ("", "kept\n")


def test_waiting_outside_is_an_error() -> None:
    coroutine = double(1)
    with pytest.raises(RuntimeError, match="run_sync"):
        wait_for(coroutine)
    coroutine.close()


def test_the_environment_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    before = dict(os.environ)
    with untouched():
        os.environ.update(CUDA_VISIBLE_DEVICES="0,1,2,3", TOKENIZERS_PARALLELISM="false")
    assert dict(os.environ) == before
