"""Isolated measuring: in a process of its own, which tells in one line what went wrong."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from threading import Timer
from typing import Any

import psutil
import pytest

import harness.llm.open
from harness.boards import alone, isolated
from harness.boards.config import Board, parse_board, parse_changes
from harness.boards.isolated import check_isolated, measure_isolated
from harness.boards.run import plan_runs, run_plans
from harness.errors import ConfigError, RunFailedError
from harness.registry import load_plugin, register
from harness.runs.directory import find_runs
from harness.runs.manifest import read_manifest
from harness.runs.performance import read_performance
from tests.harness.lab import Ask, CountingModel, make_plan, quiet, without_torch
from tests.stub import Stub, Words

PLUGIN = """
from harness import Method, MethodCard, Prediction

class Own(Method):
    card = MethodCard("Own", "Of a file.")

    async def answer(self, query):
        return Prediction("own")

METHODS = {"own": Own}
"""


def board(files: Path, **keys: Any) -> Board:
    names = ("questions", "corpus", "train")
    task = {"name": "toy", "files": {name: str(files / f"{name}.jsonl") for name in names}}
    own = {"name": "own", "tasks": [task], "methods": ["no-retrieval"], "isolate": True}
    return parse_board({**own, "limit": 4, "latency": {"queries": 4, "warmup": 1}, **keys}, "test")


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> CountingModel:
    without_torch(monkeypatch)
    counting = CountingModel()
    monkeypatch.setattr(harness.llm.open, "open_model", lambda *_, **__: counting)
    return counting


def play(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Another program in place of the child."""
    monkeypatch.setattr(isolated, "COMMAND", (sys.executable, "-S", "-c", code))


@pytest.mark.parametrize("leave_out", [True, False])
def test_the_board_of_one_run_plans_that_run(files: Path, leave_out: bool) -> None:
    methods = ["no-retrieval", {"name": "bm25", "params": {"k": 2}}, "bm25"]
    keys = {"methods": methods, "seeds": [0, 3], "leave_out_trained": leave_out}
    plans = list(plan_runs(board(files, **keys), "cpu"))
    assert len(plans) == 6
    for plan in plans:
        alone_board = parse_board(json.loads(plan.board), "one")
        again = [each.config.run_id for each in plan_runs(alone_board, "cpu")]
        assert plan.config.run_id in again
        assert len(again) == (3 if leave_out else 1)
    plain = plan_runs(board(files, **keys, isolate=False), "cpu")
    assert [p.config.run_id for p in plain] == [p.config.run_id for p in plans]


def test_a_child_measures_what_its_parent_answered(
    files: Path, tmp_path: Path, model: CountingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child's work in this process; the real one is the test below."""
    out, requests = tmp_path / "runs", []

    def ask(request: str, *, shown: bool) -> tuple[int, str]:
        requests.append(json.loads(request))
        alone.measure(requests[-1])
        return 0, "{}"

    monkeypatch.setattr(isolated, "_ask", ask)
    plans = list(plan_runs(board(files), "cpu"))
    run_plans(plans, out, quiet(), device="cpu")
    (folder,) = find_runs(out)
    found = read_performance(folder)
    assert found.latency.isolated and len(found.latency.seconds) == 4
    assert 0 < found.memory.baseline_bytes <= found.memory.peak_bytes
    assert found.cold_start.seconds >= 0
    assert read_manifest(folder).timing["isolated"]
    assert found.throughput.questions == 4
    assert model.calls == 4 + 1 + 4 + 1
    assert plans[0].is_complete(out)
    run_plans(plans, out, quiet(), device="cpu")
    assert len(requests) == 1, "it is measured"


def test_a_run_that_was_measured_among_others_is_measured_alone_without_an_answer_anew(
    files: Path, tmp_path: Path, model: CountingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = board(files, isolate=False)
    run_plans(list(plan_runs(here, "cpu")), tmp_path, quiet())
    calls, asked = model.calls, []
    plans = list(plan_runs(here.changed(parse_changes({"isolate": True})), "cpu"))
    monkeypatch.setattr(
        "harness.boards.run.measure_isolated", lambda plan, *_, **__: asked.append(plan.label)
    )
    monkeypatch.setattr(harness.llm.open, "open_model", None)  # the parent needs no model
    run_plans(plans, tmp_path, quiet())
    assert asked == ["toy / no-retrieval"]
    assert model.calls == calls


def test_what_lives_in_this_process_alone_is_refused_by_name(files: Path, tmp_path: Path) -> None:
    class Mine(Ask):
        pass

    register("methods", "mine", Mine)
    (plan,) = plan_runs(board(files, methods=["mine"]), "cpu")
    with pytest.raises(ConfigError, match=r"^method 'mine' cannot be .* load it with --plugin$"):
        check_isolated(plan)
    with pytest.raises(ConfigError, match="'toy / ask' cannot be .* not planned from a board"):
        check_isolated(make_plan(files))
    register("methods", "theirs", Ask)  # of a module, which another process imports
    (plan,) = plan_runs(board(files, methods=["theirs"]), "cpu")
    check_isolated(plan)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ('print(\'{"error": "no room"}\')', "no room"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9 ended it"),
        ("raise SystemExit(3)", "exit status 3; run again without --isolate"),
    ],
)
def test_what_stops_the_other_process_is_one_line(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, told: str
) -> None:
    (plan,) = plan_runs(board(files), "cpu")
    play(monkeypatch, f"import sys; sys.stdin.read(); {code}")
    with pytest.raises(RunFailedError, match=rf"^toy / no-retrieval: .* of its own: {told}") as one:
        measure_isolated(plan, tmp_path, quiet())
    assert "\n" not in str(one.value)


def test_an_interrupt_ends_both(files: Path, tmp_path: Path, monkeypatch) -> None:
    (plan,) = plan_runs(board(files), "cpu")
    note = tmp_path / "pid"
    play(
        monkeypatch,
        f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)",
    )

    def interrupt() -> None:
        while not (note.exists() and note.read_text()):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    Timer(0.1, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        measure_isolated(plan, tmp_path, quiet())
    assert not psutil.pid_exists(int(note.read_text()))


def test_a_run_that_became_another_is_refused(files: Path, tmp_path: Path, model) -> None:
    (plan,) = plan_runs(board(files), "cpu")
    request = {
        "board": json.loads(plan.board), "run_id": "0" * 12, "root": str(tmp_path),
        "batch_size": None, "device": "cpu", "plugins": [], "registered": [],
    }  # fmt: skip
    with pytest.raises(RunFailedError, match="run 000000000000 is another one now"):
        alone.measure(request)


@pytest.mark.slow
def test_a_real_process_opens_plugin_and_model_and_measures(files: Path, tmp_path: Path) -> None:
    """With a model behind a server, which takes the other process no weights to load."""
    plugin, out = tmp_path / "own_plugin.py", tmp_path / "runs"
    plugin.write_text(PLUGIN)
    load_plugin(str(plugin))
    latency = {"queries": 1, "warmup": 0}
    with Stub(Words(lambda _: "a word")) as server:
        chosen = board(files, methods=["own"], models=[f"openai:m@{server.url}"], latency=latency)
        run_plans(list(plan_runs(chosen, "cpu")), out, quiet(), device="cpu")
    (folder,) = find_runs(out)
    found = read_performance(folder)
    assert found.latency.isolated and found.latency.same_as_batched == 1
    assert 30e6 < found.memory.baseline_bytes <= found.memory.peak_bytes
