"""Questions whose server failed: neither answers nor errors, asked again by the next run."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import RunFailedError, UnansweredError
from harness.llm.requests import GenerateRequest
from harness.method import Method
from harness.records import Prediction, Query
from harness.runs.manifest import read_manifest
from harness.runs.performance import read_performance
from harness.runs.train_answers import answer_train
from harness.runs.unanswered import read_unanswered
from harness.runs.usage import cautions
from tests.harness.lab import (
    GONE,
    Ask,
    CountingModel,
    FailingServer,
    Remember,
    make_plan,
    without_torch,
)
from tests.harness.runs.going import answers, errors_of, go, ids


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "runs"


class Swallows(Ask):
    """Goes on without an answer, whatever it is that failed."""

    async def answer(self, query: Query) -> Prediction:
        try:
            return await super().answer(query)
        except Exception:
            return Prediction("my own answer")


class Wraps(Ask):
    """Tells of every failure in words of its own."""

    async def answer(self, query: Query) -> Prediction:
        try:
            return await super().answer(query)
        except Exception as error:
            raise ValueError("no sub-answer") from error


class Gathers(Ask):
    """Takes the exception of a branch for a result."""

    async def answer(self, query: Query) -> Prediction:
        branches = (super(Gathers, self).answer(query) for _ in range(2))
        found = await asyncio.gather(*branches, return_exceptions=True)
        return next((each for each in found if isinstance(each, Prediction)), Prediction(""))


class Groups(Ask):
    """Asks in a task group, which wraps what is raised."""

    async def answer(self, query: Query) -> Prediction:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(super().answer(query))
        return task.result()


@pytest.mark.parametrize("method", [Ask, Swallows, Wraps, Gathers, Groups])
def test_an_unanswered_question_is_neither_an_answer_nor_an_error(
    files: Path, out: Path, method: type[Method]
) -> None:
    folder = go(files, out, method(), FailingServer("number 7 ", "number 11 "))
    assert len(ids(folder)) == 22
    assert not {"q7", "q11"} & set(ids(folder))
    assert ids(folder, failed=True) == []
    assert read_unanswered(folder) == {
        "q7": f"UnansweredError: {GONE}", "q11": f"UnansweredError: {GONE}"
    }  # fmt: skip
    assert read_manifest(folder).status == "incomplete"
    scores = [json.loads(line) for line in (folder / "scores.jsonl").open()]
    assert [score["question_id"] for score in scores] == ids(folder)


@pytest.mark.parametrize("method", [Ask, Gathers])
def test_the_next_run_asks_exactly_those_again(
    files: Path, out: Path, method: type[Method]
) -> None:
    folder = go(files, out, method(), FailingServer("number 7 ", "number 11 "))
    assert not make_plan(files, method()).is_complete(out)
    server = FailingServer("number 11 ")
    go(files, out, method(), server)
    assert list(read_unanswered(folder)) == ["q11"]
    assert all("number 7 " in text or "number 11 " in text for text in server.asked)
    go(files, out, method(), FailingServer())
    assert read_manifest(folder).status == "finished"
    assert not (folder / "unanswered.jsonl").exists()
    whole = go(files, out / "whole", method())
    for name in ("predictions.jsonl", "scores.jsonl", "scores.json"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert read_performance(folder).usage == read_performance(whole).usage
    assert make_plan(files, method()).is_complete(out)


def test_a_dead_server_stops_the_run_and_leaves_nothing_to_clean_up(files, out) -> None:
    with pytest.raises(
        RunFailedError, match=rf"16 questions in a row .* see to .*; the last: .*{GONE}"
    ):
        go(files, out, model=FailingServer(""))
    (folder,) = (out / "toy" / "ask").iterdir()
    assert {path.name for path in folder.iterdir()} <= {
        ".lock", "manifest.json", "performance.json"
    }  # fmt: skip
    assert read_manifest(folder).status == "running"
    go(files, out)
    assert answers(folder) == answers(go(files, out / "whole"))


def test_a_short_run_of_which_nothing_is_answered_stops_too(files: Path, out: Path) -> None:
    lines = (files / "questions.jsonl").read_text().splitlines(keepends=True)
    (files / "questions.jsonl").write_text("".join(lines[:3]))
    with pytest.raises(RunFailedError, match="3 questions in a row were left unanswered"):
        go(files, out, model=FailingServer(""))


def test_asking_again_in_vain_leaves_the_run_as_it_was(files: Path, out: Path) -> None:
    """Questions that crash a server every time are more in a row when they alone are asked."""
    hard = [f"number {n} " for n in range(24) if n != 12]
    folder = go(files, out, model=FailingServer(*hard), window=1)
    assert len(read_unanswered(folder)) == 23
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(RunFailedError, match="16 questions in a row were left unanswered"):
        go(files, out, model=FailingServer(*hard), window=1)
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert before.pop("performance.json") != after.pop("performance.json")  # more retries
    assert after == before


def test_retries_of_all_sessions_are_added_up(files: Path, out: Path) -> None:
    folder = go(files, out, model=FailingServer("number 7 ", "number 11 "))
    assert read_performance(folder).retries == 10
    model = FailingServer("number 7 ")
    model.retries = 1000  # those of the runs before this one
    go(files, out, model=model)
    assert read_performance(folder).retries == 15
    go(files, out)
    assert read_performance(folder).retries == 15
    assert "retries" not in read_performance(go(files, out / "calm")).written()


def test_timing_takes_other_queries_for_those_the_server_lost(files: Path, out: Path) -> None:
    model = FailingServer()
    folder = go(files, out, model=model)
    model.left = {"number 1 ": 1000, "number 2 ": 1}
    go(files, out, model=model, queries=5)
    latency = read_performance(folder).latency
    assert len(latency.seconds) == 5
    assert latency.same_as_batched == 5
    assert make_plan(files, queries=5).is_complete(out)


def test_a_server_that_dies_while_timed_costs_no_answer(files: Path, out: Path) -> None:
    model = FailingServer()
    folder = go(files, out, model=model)
    before = answers(folder)
    with pytest.raises(RunFailedError, match=r"timed, 5 in a row .* all answers are kept; the"):
        go(files, out, model=FailingServer(""), queries=9)
    assert answers(folder) == before
    assert read_performance(folder).latency is None
    assert read_manifest(folder).status == "finished"
    go(files, out, queries=9)
    assert len(read_performance(folder).latency.seconds) == 9


def test_an_incomplete_run_is_timed_on_what_it_answered(files: Path, out: Path) -> None:
    model = FailingServer("number 1 ", "number 3 ")
    folder = go(files, out, model=model, queries=24)
    assert len(read_performance(folder).latency.seconds) == 22


def test_a_memory_is_not_learnt_from_a_servers_failures(files: Path, out: Path) -> None:
    class Learns(Remember):
        async def write(self, corpus, train, folder):
            super().write(corpus, train, folder)
            rows = await answer_train(self, Ask(), train, "silver")
            (folder / "rows.json").write_text(json.dumps(rows))

    with pytest.raises(RunFailedError, match="silver: train questions left unanswered: 1; see to"):
        go(files, out, Learns(), FailingServer("number 25 called? "))
    model = FailingServer()
    go(files, out, Learns(), model)
    trained = [n for n in range(24, 30) for text in model.asked if f"number {n} called? " in text]
    assert trained == [25]
    (rows,) = out.glob("toy/.memory/*/memory/rows.json")
    go(files, out / "whole", Learns(), FailingServer())
    (whole,) = (out / "whole").glob("toy/.memory/*/memory/rows.json")
    assert rows.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("seed", range(8))
def test_any_schedule_of_failures_and_kills_ends_in_the_same_answers(
    files: Path, out: Path, seed: int
) -> None:
    draw = random.Random(seed)
    whole = go(files, out / "whole", Gathers())

    def session(rate: float, kill_at: int) -> Callable[[GenerateRequest], None]:
        count = 0

        def interfere(_: GenerateRequest) -> None:
            nonlocal count
            count += 1
            if count == kill_at:
                raise KeyboardInterrupt
            if draw.random() < rate:
                raise UnansweredError(GONE)

        return interfere

    for _ in range(6):
        model = CountingModel(session(0.3, draw.randrange(1, 60)))
        model.concurrency = draw.choice((0, 3))
        try:
            folder = go(files, out, Gathers(), model, window=draw.choice((1, 4)))
        except (KeyboardInterrupt, RunFailedError):
            (folder,) = (out / "toy" / "gathers").iterdir()
        path = folder / "predictions.jsonl"
        if draw.random() < 0.5 and path.exists():  # killed in the middle of a line
            path.write_bytes(path.read_bytes()[: -draw.randrange(1, 40)])
    go(files, out, Gathers())
    for name in ("predictions.jsonl", "scores.jsonl", "scores.json", "manifest.json"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name


def test_what_a_server_refused_is_recorded_when_it_is_known(files: Path, out: Path) -> None:
    class Adapting(CountingModel):
        concurrency = 2

        def provenance(self):
            refused = {"adapted": ["seed"]} if self.calls else {}
            return {**super().provenance(), **refused}

    def kill(_: GenerateRequest) -> None:
        if model.calls > 20:
            raise KeyboardInterrupt

    model = Adapting(kill)
    with pytest.raises(KeyboardInterrupt):
        go(files, out, model=model, window=1)
    (folder,) = (out / "toy" / "ask").iterdir()
    assert read_manifest(folder).model_provenance["adapted"] == ["seed"]
    calm = CountingModel()  # a server that was changed meanwhile: earlier answers were not seeded
    go(files, out, model=calm)
    assert read_manifest(folder).model_provenance["adapted"] == ["seed"]


def test_cautions_name_the_count_the_reason_and_the_way_out(files: Path, out: Path) -> None:
    folder = go(files, out, model=FailingServer("number 7 ", "number 11 "))
    (line,) = cautions(folder)
    assert line == (
        "questions left unanswered by the model's server: 2; running the same board again asks "
        f"them again; the last: UnansweredError: {GONE}"
    )
    folder = errors_of(files, out / "errors", 3, 9)
    (line,) = cautions(folder)
    assert line == (
        "2 of 24 questions failed and count as wrong answers, the last with ConnectionError: gone; "
        "--retry-errors asks them again"
    )
