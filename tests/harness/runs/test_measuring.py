"""Measuring: in which order and how often queries are timed, and what is recorded of it."""

from __future__ import annotations

import hashlib
import json
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from harness.boards.config import parse_board
from harness.llm.requests import GenerateRequest
from harness.runs import session, write_phase
from harness.runs.directory import find_runs
from harness.runs.execute import execute
from harness.runs.manifest import read_manifest
from harness.runs.measuring import Measuring
from harness.runs.opening import Opened
from harness.runs.performance import Index, Latency, read_performance, update_performance
from harness.runs.timing import _same_as_batched
from harness.runs.usage import mean_usage
from leaderboards.board import build
from tests.harness.lab import (
    CountingModel,
    Remember,
    make_plan,
    quiet,
    without_torch,
    write_lines,
)
from tests.harness.llm.server.asking import opened
from tests.stub import Streams, Stub, Words


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)


def go(files: Path, out: Path, measuring: Measuring, method=None, model=None, **options) -> Path:
    plan = replace(make_plan(files, method), measuring=measuring)
    return execute(plan, out, model or CountingModel(), None, quiet(), **options)


def test_a_quarter_is_timed_again_and_the_protocol_is_kept(files: Path, tmp_path: Path) -> None:
    model = CountingModel()
    folder = go(files, tmp_path, Measuring(8, 3), model=model)
    assert model.calls == 2 * (24 + 3 + 8 + 2)
    latency = read_performance(folder).latency
    assert [len(latency.seconds), *map(len, latency.again)] == [8, 2]
    assert latency.noise is not None and latency.noise >= 0
    told = read_manifest(folder).timing
    assert (told["queries"], told["warmup"], told["passes"], told["queries_again"]) == (8, 3, 2, 2)
    assert told["window"] == 1 and not told["isolated"]
    assert read_manifest(folder).run_id == make_plan(files).config.run_id


def test_a_servers_first_tokens_are_timed_and_the_protocol_says_how(files, tmp_path) -> None:
    with Stub(Words(lambda _: "Paris is it")) as stub:
        for name, streams, told in (("well", Streams(), "all replies"), ("ill", None, "none of")):
            stub.streams = lambda _, streams=streams: streams
            model, asked = opened(stub), len(stub.asked)
            folder = go(files, tmp_path / name, Measuring(4, 1, passes=1), model=model)
            first = read_performance(folder).latency.first_token
            if name == "well":
                assert len(first) == 4
                whole = read_performance(folder).latency.seconds
                assert all(0 < one < other for one, other in zip(first, whole, strict=True))
            else:
                assert first == []
            assert read_manifest(folder).timing["streamed"].startswith(told)
            # Answers that are recorded come whole.
            wishes = ["stream" in body for body in stub.bodies()[asked:]]
            assert not any(wishes[: 2 * 24]) and wishes[2 * 24]


def test_the_timed_queries_are_the_same_random_ones_however_many(files: Path, tmp_path) -> None:
    def first(queries: int) -> list[str]:
        asked: list[str] = []
        calm = CountingModel(lambda request: asked.append(str(request.prompt)))
        go(files, tmp_path / str(queries), Measuring(queries, 0, passes=1), model=calm)
        return asked[2 * 24 + 1 :: 2]  # of two calls, the one that begins with the question

    order = sorted(range(24), key=lambda n: hashlib.sha256(f"q{n}".encode()).digest())
    six, three = first(6), first(3)
    assert all(f"number {n} " in text for n, text in zip(order[:6], six, strict=True))
    assert three == six[:3]


def test_runs_that_were_timed_once_are_timed_again_when_asked_alone(files, tmp_path) -> None:
    folder = go(files, tmp_path, Measuring(8, 0, passes=1))
    assert "again" not in read_performance(folder).latency.written()
    usual, thrice = (
        replace(make_plan(files), measuring=Measuring(8, 0, passes)) for passes in (None, 3)
    )
    assert usual.is_complete(tmp_path) and not thrice.is_complete(tmp_path)
    model = CountingModel()
    execute(thrice, tmp_path, model, None, quiet())
    assert model.calls == 2 * (8 + 2 + 2)
    assert thrice.is_complete(tmp_path)
    assert read_performance(folder).latency.passes == 3


def test_noise_is_the_median_spread_over_the_first_pass() -> None:
    assert Latency(seconds=[2.0, 4.0]).noise is None
    once = Latency(seconds=[2.0, 4.0, 5.0, 1.0], again=[[3.0, 4.0, None]])
    assert once.spreads == [0.5, 0.0]
    assert once.noise == 0.25
    twice = Latency(seconds=[2.0, 4.0], again=[[3.0], [1.0]])
    assert twice.spreads == [1.0]


def test_a_failure_in_a_further_pass_is_no_time(files: Path, tmp_path: Path) -> None:
    model = CountingModel()

    def fail(request: GenerateRequest) -> None:
        if model.calls > 2 * (24 + 8) + 2:
            raise ConnectionError("gone")

    model.interfere = fail
    latency = read_performance(go(files, tmp_path, Measuring(8, 0), model=model)).latency
    assert latency.again[0][0] > 0
    assert latency.again[0][1] is None


def test_without_timings_nothing_that_a_busy_machine_changes_is_kept(files, tmp_path) -> None:
    folder = go(files, tmp_path, Measuring(4, timings=False), Remember(), opened=Opened(1.0))
    assert set(read_performance(folder).written()) == {"usage", "storage"}
    assert not read_manifest(folder).timing
    (row,) = build(tmp_path).tables[0].rows
    assert (row.cost.throughput, row.cost.latency_p50, row.cost.memory_bytes) == (None, None, None)
    model = CountingModel()
    go(files, tmp_path, Measuring(4, 0, passes=1), Remember(), model, opened=Opened(1.0))
    assert model.calls == 4
    found = set(read_performance(folder).written())
    assert found == {"usage", "storage", "write", "cold_start", "latency", "memory"}


def test_a_board_and_the_command_line_say_it_alike(files: Path, tmp_path: Path, cli) -> None:
    keys = (
        "{name: b, tasks: [nq], methods: [bm25], timings: off, isolate: on, latency: {passes: 3}}"
    )
    board = parse_board(yaml.safe_load(keys), "board")
    assert (board.timings, board.isolate, board.latency.passes) == (False, True, 3)
    own = [f"--{kind}={files / kind}.jsonl" for kind in ("questions", "corpus", "train")]
    run = (
        "run",
        "--method",
        "no-retrieval",
        "--task",
        "toy",
        *own,
        "--limit",
        4,
        "--out",
        tmp_path,
    )
    assert cli(*run, "--no-timings").code == 0
    (folder,) = find_runs(tmp_path)
    assert set(read_performance(folder).written()) == {"usage", "storage"}
    assert cli(*run, "--latency-queries", 4, "--latency-passes", 3).code == 0
    assert read_performance(folder).latency.passes == 3
    assert "latency.passes" in cli.refuses(*run, "--latency-passes", 0)


def test_cold_start_and_building_are_apart(files: Path, tmp_path: Path) -> None:
    opened = Opened(2.0, index_seconds=0.5, index=Index(cached=True, seconds=40.0))
    folder = go(files, tmp_path, Measuring(0), Remember(), opened=opened)
    found = read_performance(folder)
    assert (found.cold_start.model, found.cold_start.index) == (2.0, 0.5)
    assert found.cold_start.seconds == 2.5 + found.cold_start.memory
    assert found.write.seconds >= 0
    (row,) = build(tmp_path).tables[0].rows
    assert row.cost.cold_start_seconds == found.cold_start.seconds
    assert (row.cost.index_seconds, row.cost.index_cached) == (40.0, True)
    assert go(files, tmp_path, Measuring(0), Remember(), opened=Opened(9.0)) == folder
    assert read_performance(folder).cold_start == found.cold_start, "nothing was left to do"


def test_a_killed_session_keeps_its_throughput(files: Path, tmp_path: Path, monkeypatch) -> None:
    """What lies on the disk in the middle of a session is what a kill leaves."""
    monkeypatch.setattr(session, "NOTED_EVERY", 0.0)
    model, killed = CountingModel(), tmp_path / "killed"

    def kill(request: GenerateRequest) -> None:
        if model.calls == 2 * 13:
            shutil.copytree(tmp_path / "runs", killed)

    model.interfere = kill
    model.seconds = 0.001
    plan = replace(make_plan(files, window=1), measuring=Measuring(0))
    folder = execute(plan, tmp_path / "runs", model, None, quiet())
    left = killed / folder.relative_to(tmp_path / "runs")
    before = read_performance(left).throughput
    assert before.questions == len((left / "predictions.jsonl").read_text().splitlines()) == 12
    assert before.seconds >= 0.012
    execute(plan, killed, CountingModel(seconds=0.001), None, quiet())
    after = read_performance(left).throughput
    assert after.questions == 24
    assert after.seconds > before.seconds


def test_a_killed_write_keeps_its_seconds(files: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(write_phase, "NOTED_EVERY", 0.01)
    noted: list[float] = []

    class Slow(Remember):
        def write(self, corpus, train, folder: Path) -> None:
            super().write(corpus, train, folder)
            note = folder.parent / "scratch" / "seconds.json"
            while not noted:
                if note.exists():
                    noted.append(json.loads(note.read_bytes())["seconds"])

    folder = go(files, tmp_path, Measuring(0), Slow())
    assert 0 < noted[0] <= read_performance(folder).write.seconds


def test_comparing_and_averaging_hold_one_prediction_at_a_time(tmp_path: Path) -> None:
    usage = {"llm_calls": 1, "prompt_tokens": 3}
    step = {"kind": "generate", "reply": "x" * 30_000, "cut_off": True}
    rows = [
        {
            "question_id": f"q{n}", "answer": "a", "retrieved_ids": [], "error": None,
            "usage": usage, "steps": [step],
        }
        for n in range(300)
    ]  # fmt: skip
    path = write_lines(tmp_path / "predictions.jsonl", rows)

    class Run:
        folder, predictions_path = tmp_path, path

    class Single:
        answer, error = "a", None

    tracemalloc.start()
    try:
        assert _same_as_batched(Run(), {"q7": Single()}) == 1  # type: ignore[arg-type, dict-item]
        means = mean_usage(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (means.llm_calls, means.prompt_tokens, means.cut_off) == (1, 3, 1)
    assert peak < 1_000_000 < path.stat().st_size / 5


def test_what_an_earlier_release_measured_is_read(tmp_path: Path) -> None:
    update_performance(tmp_path, latency={"seconds": [1.0], "warmup": 1})
    latency = read_performance(tmp_path).latency
    assert (latency.passes, latency.noise, latency.first_token, latency.isolated) == (
        1, None, [], False,
    )  # fmt: skip
