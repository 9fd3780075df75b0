"""An awaited write: over many passages at once, whatever kills it, counted and told."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.engine import Engine
from harness.errors import ConfigError, MachineError, RunFailedError
from harness.runs.write_phase import CALLS
from tests.harness.lab import CountingModel, FailingServer
from tests.harness.writing.killed_write import CALLS_OF_TOLD, CORPUS, Told, go


def memory(out: Path) -> bytes:
    return (out / "memory" / "words.json").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What an uninterrupted write leaves."""
    out = tmp_path_factory.mktemp("whole")
    go(out)
    return memory(out)


def stopping(at: int, concurrency: int) -> CountingModel:
    """A model whose call number ``at`` interrupts the program."""

    def stop(_) -> None:
        if model.calls == at:
            raise KeyboardInterrupt

    model = CountingModel(stop)
    model.concurrency = concurrency
    return model


@pytest.mark.parametrize(("window", "concurrency"), [(1, 0), (7, 0), (128, 0), (4, 3)])
def test_neither_window_nor_servers_nor_interruptions_change_a_byte(
    window: int, concurrency: int, whole: bytes, tmp_path: Path
) -> None:
    asked, journal = 0, tmp_path / "scratch" / CALLS
    for stop_at in (6, 41):
        model = stopping(stop_at, concurrency)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path, model, window=window)
        journal.write_bytes(journal.read_bytes() + b"half a li")
        asked += model.calls
    model = stopping(0, concurrency)
    counts = go(tmp_path, model, window=window)
    asked += model.calls
    assert memory(tmp_path) == whole
    # Of a server's calls those that wait are lost, too: two branches of each passage.
    lost = 2 * window if concurrency else 1
    assert CALLS_OF_TOLD + 2 <= asked <= CALLS_OF_TOLD + 2 * lost
    assert (counts.llm_calls, counts.retrievals) == (CALLS_OF_TOLD, 0)
    assert counts.completion_tokens == 3 * CALLS_OF_TOLD


def test_a_killed_program_asks_only_what_was_not_answered(whole: bytes, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.harness.writing.killed_write", str(tmp_path), "50"]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    model = CountingModel()
    go(tmp_path, model)
    assert model.calls == CALLS_OF_TOLD - 49
    assert memory(tmp_path) == whole


def test_what_a_server_leaves_unanswered_stops_it_when_the_rest_is_done(
    whole: bytes, tmp_path: Path
) -> None:
    with pytest.raises(RunFailedError, match="passages left unanswered: 2; see to the model's ser"):
        go(tmp_path, FailingServer("Of Number 3 ", "Of Number 9 "))
    model = FailingServer()
    go(tmp_path, model)
    assert len(model.asked) == 2 * 3 + 1
    assert memory(tmp_path) == whole


def test_a_server_that_is_gone_is_not_asked_for_every_passage(tmp_path: Path) -> None:
    model = FailingServer("")
    with pytest.raises(RunFailedError, match="passages left unanswered: 16;"):
        go(tmp_path, model)
    assert len(model.asked) <= 16 + 4


def test_a_method_that_swallows_a_failure_writes_nothing_of_it(tmp_path: Path) -> None:
    class Swallows(Told):
        async def ask(self, passage):
            try:
                return await super().ask(passage)
            except Exception:
                return "nothing"

    with pytest.raises(RunFailedError, match="passages left unanswered: 1;"):
        go(tmp_path, FailingServer("Of Number 3 "), Swallows())


def test_a_failure_beside_the_passages_is_told_too(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="toy: calls left unanswered: 1; see to"):
        go(tmp_path, FailingServer("And all?"))


def test_an_error_of_the_methods_own_ends_it_at_once(tmp_path: Path) -> None:
    class Fails(Told):
        async def ask(self, passage):
            if passage.id == "d2":
                raise KeyError("n")
            return await super().ask(passage)

    model = CountingModel()
    with pytest.raises(KeyError):
        go(tmp_path, model, Fails())
    assert model.calls < len(CORPUS)


def test_a_full_machine_is_no_fault_of_the_method(tmp_path: Path) -> None:
    class Full(Told):
        async def ask(self, passage):
            raise MemoryError("full")

    with pytest.raises(MachineError, match="passages: MemoryError: full; see to the machine"):
        go(tmp_path, method=Full())


def test_each_is_of_a_write() -> None:
    method = Told()
    method.open(Engine(CountingModel()).lend())
    with pytest.raises(ConfigError, match=r"each\(\) works inside 'async def write' alone"):
        asyncio.run(method.each(CORPUS, method.ask))
