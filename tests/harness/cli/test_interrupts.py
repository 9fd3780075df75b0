"""Ctrl-C ends a command within three seconds whatever it waits for, a second one at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from types import MappingProxyType

import pytest

from harness.cli.interrupts import STOPPED
from tests.harness.lab import write_task
from tests.stub import Fault, Lasting, Stub, Words

pytestmark = pytest.mark.slow

# The signal: nohup, a shell's "&" and some CI runners leave it ignored, and children inherit that.
START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import harness.cli.main
harness.cli.main.main()
"""
# One call of a library, in which the main thread takes no step for half a minute.
LONG_CALL = '''
"""A method whose answer is a long call."""
from pathlib import Path
from typing import ClassVar
import numpy
from harness import Method, MethodCard, MethodParams, Prediction, Query
from harness.registry import register_method

class LongCall(Method):
    """Factor a large matrix."""
    card: ClassVar[MethodCard] = MethodCard(
        title="t", summary="s.", paper="p", source="none", deviations=()
    )
    class Params(MethodParams):
        """None."""
    params: Params
    async def answer(self, query: Query) -> Prediction:
        Path(__file__).with_name("begun").touch()
        numpy.linalg.svd(numpy.random.default_rng(0).random((4000, 4000)))
        return Prediction(answer="late")

register_method("long-call", LongCall)
'''


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_task(tmp_path / "files", 4)


@pytest.fixture
def mute() -> Iterator[socket.socket]:
    """A server that takes a connection and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener


def run(files: Path, *arguments: object) -> list[str]:
    here = ["--questions", files / "questions.jsonl", "--corpus", files / "corpus.jsonl"]
    out = ["--task", "toy", "--device", "cpu", "--out", files.parent / "runs"]
    return [str(each) for each in ("run", *arguments, *here, *out)]


def interrupted(
    command: list[str],
    waits: Callable[[], bool],
    *,
    pause: float | None = None,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> tuple[int, float, list[str]]:
    """Exit status, seconds since the last Ctrl-C and lines of a command that came to ``waits``.

    ``pause``: seconds until a second Ctrl-C.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", START, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, **variables},
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not waits():
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        if pause is not None:
            time.sleep(pause)
            process.send_signal(signal.SIGINT)
        last = time.monotonic()
        _, errors = process.communicate(timeout=30)
        return process.returncode, time.monotonic() - last, errors.splitlines()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def ends_in_time(ended: tuple[int, float, list[str]], seconds: float = 3.0) -> None:
    code, took, errors = ended
    assert (code, errors[-1]) == (130, STOPPED), errors
    assert took < seconds
    assert not any("Traceback" in line for line in errors)


def test_a_server_that_does_not_answer_a_question(files: Path) -> None:
    stuck = Lasting(Fault(drops=True, delay=60))
    with Stub(Words(lambda _: "x"), faults=stuck) as stub:
        model = f"openai:{stub.model}@{stub.url}"
        command = run(files, "--method", "no-retrieval", "--model", model, "-p", "shots=0")
        ends_in_time(interrupted(command, lambda: bool(stub.asked)))
        stuck.healed = True
        again = subprocess.run(
            [sys.executable, "-c", START, *command], capture_output=True, timeout=60, check=False
        )
    assert again.returncode == 0, again.stderr


def test_a_server_that_says_nothing_at_all(files: Path, mute: socket.socket) -> None:
    model = f"openai:m@http://127.0.0.1:{mute.getsockname()[1]}/v1"
    command = run(files, "--method", "no-retrieval", "--model", model)
    ends_in_time(interrupted(command, _asked(mute)))


def _asked(listener: socket.socket) -> Callable[[], bool]:
    """Whether somebody has connected, who is then kept waiting."""
    held: list[socket.socket] = []
    listener.settimeout(0.01)

    def asked() -> bool:
        with suppress(TimeoutError):
            held.append(listener.accept()[0])
        return bool(held)

    return asked


def test_a_download_that_never_comes(files: Path, mute: socket.socket, tmp_path: Path) -> None:
    command = run(files, "--method", "no-retrieval", "--model", "hf:someone/something")
    hub = {
        "HF_ENDPOINT": f"http://127.0.0.1:{mute.getsockname()[1]}",
        "HF_HOME": str(tmp_path / "hub"),
        "HF_HUB_OFFLINE": "0",
    }
    ends_in_time(interrupted(command, _asked(mute), variables=hub))


@pytest.mark.parametrize("pause", [None, 0.3])
def test_a_long_call_of_a_library(files: Path, tmp_path: Path, pause: float | None) -> None:
    plugin = tmp_path / "long_call.py"
    plugin.write_text(LONG_CALL)
    with Stub(Words(lambda _: "x")) as stub:
        model = f"openai:{stub.model}@{stub.url}"
        command = run(files, "--method", "long-call", "--model", model)
        begun = tmp_path / "begun"
        # What takes half a second may take a busy machine twice that, as the first Ctrl-C does.
        for _ in range(1 if pause is None else 3):
            begun.unlink(missing_ok=True)
            ended = interrupted(["--plugin", str(plugin), *command], begun.exists, pause=pause)
            if ended[1] < 0.5:
                break
    ends_in_time(ended, 3.0 if pause is None else 0.5)
