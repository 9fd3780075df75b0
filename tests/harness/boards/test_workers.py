"""Workers: runs answered at once as one process answers them, and timed when they are gone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from queue import SimpleQueue
from threading import Thread, Timer
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from rich.console import Console

import harness.llm.open
from harness.boards import worker, workers
from harness.boards.config import Board, parse_board
from harness.boards.run import plan_runs
from harness.boards.so_far import SoFar
from harness.boards.whole import run_whole
from harness.boards.workers import Workers
from harness.errors import ConfigError, HarnessError, RunFailedError
from harness.registry import register
from harness.runs.directory import find_runs
from harness.runs.manifest import read_manifest
from harness.runs.performance import read_performance
from leaderboards.board import build
from tests.harness.lab import (
    Ask,
    CountingModel,
    FailingServer,
    Remember,
    quiet,
    without_torch,
    write_task,
)
from tests.stub import Stub, Words

OPEN = harness.llm.open.open_model
METHODS = ("no-retrieval", {"name": "bm25", "params": {"k": 1}}, "bm25")
Make = Callable[..., Board]


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A board of two tasks, three methods and two workers; every opened model is a new one."""
    without_torch(monkeypatch)
    monkeypatch.setattr(harness.llm.open, "open_model", lambda *_, **__: CountingModel())

    def make(*methods: Any, names: tuple[str, ...] = ("first", "second"), **keys: Any) -> Board:
        tasks = []
        for name in names:
            files = write_task(tmp_path / name)
            paths = {key: str(files / f"{key}.jsonl") for key in ("questions", "corpus", "train")}
            tasks.append({"name": name, "files": paths})
        latency = {"queries": 1, "warmup": 0}
        values = {"limit": 4, "order": "methods", "latency": latency, "workers": 2, **keys}
        return parse_board(
            {"name": "small", "tasks": tasks, "methods": methods or METHODS, **values}, "board"
        )

    return make


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Workers are threads of this process; the list has the threads that each was to use."""
    begun: list[int] = []

    @contextmanager
    def started(threads: int) -> Iterator[Any]:
        begun.append(threads)
        ids: SimpleQueue[str | None] = SimpleQueue()
        read, write = os.pipe()
        said = os.fdopen(write, "w", encoding="utf-8")

        def tell(what: str, why: str) -> None:
            said.write(f"{workers.EVENT}{json.dumps({what: why})}\n")
            said.flush()

        def work() -> None:
            request = json.loads(ids.get() or "")
            worker.answer(request, iter(ids.get, None), tell)

        thread = Thread(target=work)
        thread.start()
        line = SimpleNamespace(write=lambda text: ids.put(text.strip()), flush=lambda: None)
        with os.fdopen(read, encoding="utf-8") as stdout, said:
            yield SimpleNamespace(stdin=line, stdout=stdout, poll=lambda: None, pid=0)
            ids.put(None)
            thread.join()

    monkeypatch.setattr(workers, "_started", started)
    return begun


def play(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Another program in place of the workers, which has read what it is told first."""
    code = f"import json, os, sys, time; request = sys.stdin.readline(); {code}"
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-S", "-c", code))


def run(board: Board, out: Path) -> list[str]:
    text = StringIO()
    run_whole(board, out, Console(file=text, width=200), device="cpu")
    return text.getvalue().splitlines()


def files_of(root: Path, name: str) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob(name)}


def test_the_answers_are_those_of_one_process(board: Make, here: list[int], tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    run(board(workers=1), alone)
    assert not here
    run(board(), together)
    assert len(here) == 2
    for name in ("predictions.jsonl", "scores.jsonl"):
        assert files_of(alone, name) == files_of(together, name)
        assert len(files_of(alone, name)) == 6


def test_a_model_on_other_threads_that_shares_replies_gives_the_same_bytes(
    board: Make, tmp_path: Path, completion_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from harness.llm import generation

    monkeypatch.setattr(harness.llm.open, "open_model", OPEN)
    written, asked = generation.generate_all, []
    monkeypatch.setattr(
        generation, "generate_all", lambda *given: asked.extend(given[1]) or written(*given)
    )
    few = [{"name": "ircot", "params": {"max_steps": steps, "k": 1}} for steps in (1, 2)]
    keys = {"models": [f"path:{completion_model_dir}"], "limit": 2, "names": ("first",)}
    chosen = board("bm25", *few, **keys, workers=1, latency={"queries": 0})
    run(chosen, tmp_path / "alone")
    alone, threads, told = len(asked), torch.get_num_threads(), []
    replies = tmp_path / "replies"
    replies.mkdir()
    request = json.loads(Workers(chosen, tmp_path / "together").request(2, str(replies)))
    ids = [plan.config.run_id for plan in plan_runs(chosen)]
    torch.set_num_threads(threads + 1)
    try:
        worker.answer(request, ids, lambda what, why: told.append(what + why))
    finally:
        torch.set_num_threads(threads)
    assert told == ["opened", "answered"] * 3
    answers = files_of(tmp_path / "alone", "predictions.jsonl")
    assert answers == files_of(tmp_path / "together", "predictions.jsonl")
    assert 0 < len(asked) - alone < alone


def test_single_queries_are_timed_here_and_what_was_shared_is_left_out(
    board: Make, here: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register("methods", "remember", Remember)
    opened = []
    monkeypatch.setattr(
        harness.llm.open,
        "open_model",
        lambda *_, **__: opened.append(CountingModel()) or opened[-1],
    )
    run(board("remember", "bm25"), tmp_path)
    *_, last = opened
    assert len(opened) == 3
    assert last.calls == 4, "one query of each run"
    for folder in find_runs(tmp_path):
        found, manifest = read_performance(folder), read_manifest(folder)
        assert found.throughput is None
        assert len(found.latency.seconds) == found.latency.same_as_batched == 1
        assert found.memory.peak_bytes and found.cold_start
        assert manifest.is_finished and manifest.timing["queries"] == 1
        if manifest.config.method.name == "remember":
            assert found.write.processes == 2
    costs = [row.cost for table in build(tmp_path).tables for row in table.rows]
    assert {cost.write_seconds for cost in costs} == {None}


def test_rows_are_shown_as_they_are_answered_and_at_the_end_with_their_times(
    board: Make, here: list[int], tmp_path: Path
) -> None:
    lines = run(board(), tmp_path)
    assert len([line for line in lines if line.startswith("method ")]) == 2
    assert len([line for line in lines if ": F1 " in line]) == 6
    for name in ("no-retrieval", "bm25, k=1", "bm25"):
        first, second = [line for line in lines if line.startswith(f"{name}  ")]
        assert first.endswith(" -") and re.search(r"\d\.\d\d$", second)
        timed = [number for number, line in enumerate(lines) if "latency" in line]
        assert lines.index(first) < timed[0] < timed[-1] < lines.index(second)
    assert any(line.startswith("runs answered: 6/6") for line in lines)
    assert not [line for line in run(board(), tmp_path) if "processes" in line], "all is finished"


def test_no_two_build_the_same_index_or_memory_and_none_waits_for_nothing(
    board: Make, tmp_path: Path
) -> None:
    register("methods", "remember", Remember)
    methods = ("bm25", {"name": "bm25", "params": {"k": 1}}, "remember", "no-retrieval", "remember")
    plans = list(plan_runs(board(*methods, names=("first",)), "cpu"))
    left = workers._Left(list(plans), tmp_path)
    bm25, again, remember, plain, twice = plans
    assert [left.take(), left.take(), left.take()] == [bm25, remember, plain]
    left.opened(bm25)
    assert left.take() is again, "the index is there while its first run is still answered"
    left.ended(remember)
    assert left.take() is twice
    assert left.take() is None


def test_what_a_server_left_unanswered_is_not_asked_again_by_the_one_that_measures(
    board: Make, here: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[int, int] = {}
    for count in (1, 2):
        server = FailingServer("How is number 3 called")
        monkeypatch.setattr(harness.llm.open, "open_model", lambda *_, s=server, **__: s)
        run(board("no-retrieval", limit=24, workers=count), tmp_path / str(count))
        asked[count] = len(server.asked)
    assert asked[1] == asked[2]
    assert len(here) == 2


def test_a_worker_that_dies_is_named_and_what_it_never_began_is_answered_here(
    board: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, "sys.stdin.readline(); os.kill(os.getpid(), 9)")
    text = StringIO()
    with pytest.raises(RunFailedError, match="stopped 2 times"):
        run_whole(board(), tmp_path, Console(file=text, width=400), device="cpu")
    told = [line for line in text.getvalue().splitlines() if line.startswith("stopped: ")]
    expected = r"stopped: \w+ / no-retrieval: the worker that answered it is gone .*: signal 9"
    assert len(told) == 2 and all(re.match(expected, line) for line in told)
    assert len(find_runs(tmp_path)) == 4
    run(board(workers=1), tmp_path)
    assert all(read_performance(folder).latency for folder in find_runs(tmp_path))


def test_why_a_run_was_not_answered_is_told_once_with_what_its_worker_said(
    board: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = r"print('route-a: 4/4\n\x1e' + json.dumps({'failed': 'no weights'}), flush=True)"
    play(monkeypatch, f"[exec({said!r}) for line in sys.stdin]")
    plans = list(plan_runs(board(), "cpu"))
    text, failures = StringIO(), list[HarnessError]()
    so_far = SoFar(Console(file=text, width=200), plans, tmp_path)
    assert Workers(board(), tmp_path).answer(plans, so_far, failures) == []
    assert [str(failure) for failure in failures] == ["no weights"]
    lines = [line for line in text.getvalue().splitlines() if "route-a" in line]
    assert sorted(lines) == sorted(f"{plan.label}: route-a: 4/4" for plan in plans)


def test_an_interrupt_ends_all(
    board: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = tmp_path / "pids"
    notes.mkdir()
    play(monkeypatch, f"open(f'{notes}/{{os.getpid()}}', 'w').close(); time.sleep(60)")

    def interrupt() -> None:
        while len(list(notes.iterdir())) < 2:
            pass
        os.kill(os.getpid(), signal.SIGINT)

    Timer(0.1, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_whole(board(), tmp_path / "runs", quiet(), device="cpu")
    assert not [note for note in notes.iterdir() if psutil.pid_exists(int(note.name))]


def test_a_name_of_this_process_alone_is_refused_before_any_work(
    board: Make, tmp_path: Path
) -> None:
    class Mine(Ask):
        pass

    register("methods", "mine", Mine)
    with pytest.raises(ConfigError, match=r"^method 'mine' cannot be .* \(workers\): it was made"):
        run_whole(board("mine", names=("first",)), tmp_path, quiet(), device="cpu")


def test_workers_change_no_run_and_count_from_one(board: Make) -> None:
    runs = [[plan.config.run_id for plan in plan_runs(board(workers=n), "cpu")] for n in (1, 3)]
    assert runs[0] == runs[1]
    with pytest.raises(ConfigError, match="'workers' = 0: .*greater than or equal to 1"):
        board(workers=0)


@pytest.mark.slow
def test_real_processes_answer_what_this_one_does(
    board: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a model behind a server, which takes the others no weights to load."""
    monkeypatch.setattr(harness.llm.open, "open_model", OPEN)
    keys = {"limit": 2, "names": ("first",), "latency": {"queries": 0}}
    with Stub(Words(lambda prompt: prompt.split()[-3])) as server:
        chosen = board("no-retrieval", "bm25", **keys, models=[f"openai:m@{server.url}"])
        run(chosen.model_copy(update={"workers": 1}), tmp_path / "alone")
        run(chosen, tmp_path / "together")
    answers = files_of(tmp_path / "alone", "predictions.jsonl")
    assert len(answers) == 2
    assert answers == files_of(tmp_path / "together", "predictions.jsonl")


def test_a_real_worker_is_gone_when_nobody_hands_out_runs(tmp_path: Path) -> None:
    process = subprocess.Popen(workers.COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    told, _ = process.communicate(b'{"root": "."}\n', timeout=60)
    assert (process.returncode, told) == (0, b"")
