"""One run from plan to scores: what is done again, what is not, and what stops it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.boards.run import run_plans
from harness.errors import CapabilityError, InputError, RunFailedError
from harness.llm.requests import GenerateRequest
from harness.method import Method
from harness.records import Prediction, Query
from harness.runs import execute as module
from harness.runs import timing
from harness.runs.execute import execute
from harness.runs.manifest import read_manifest
from harness.runs.performance import read_performance
from harness.runs.predictions import read_predictions
from harness.trace import note
from tests.harness.lab import Ask, CountingModel, Remember, make_plan, quiet, without_torch

QUESTIONS = 24


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)
    monkeypatch.setattr(Remember, "writes", 0)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def go(files: Path, out: Path, method: Method | None = None, model=None, **options) -> Path:
    plan = make_plan(files, method, **options)
    return execute(plan, out, model or CountingModel(), None, quiet())


def answers(folder: Path) -> bytes:
    return (folder / "predictions.jsonl").read_bytes()


def rows(folder: Path) -> list[dict]:
    return [row for _, row in read_predictions(folder / "predictions.jsonl")]


def failing(when: str, error: type[Exception] = ConnectionError):
    def interfere(request: GenerateRequest) -> None:
        if when in str(request.prompt):
            raise error("the server is gone")

    return interfere


def test_a_run_leaves_the_promised_files(files: Path, out: Path) -> None:
    folder = go(files, out, Remember(), queries=2)
    assert folder.parent == out / "toy" / "remember"
    assert {path.name for path in folder.iterdir()} == {
        ".lock", "manifest.json", "predictions.jsonl", "performance.json",
        "scores.jsonl", "scores.json",
    }  # fmt: skip
    assert [row["question_id"] for row in rows(folder)] == [f"q{i}" for i in range(QUESTIONS)]
    assert read_manifest(folder).status == "finished"
    for name in ("predictions.jsonl", "manifest.json", "scores.jsonl"):
        assert "seconds" not in (folder / name).read_text()
    performance = read_performance(folder)
    assert list(performance.written()) == [
        "write", "throughput", "usage", "storage", "latency", "memory"
    ]  # fmt: skip
    assert performance.throughput.questions == QUESTIONS
    assert performance.usage.llm_calls == 1
    assert performance.storage.parts["memory vectors"] > 0


def test_a_finished_run_is_not_done_again(files: Path, out: Path) -> None:
    folder = go(files, out, queries=2)
    before = {p: p.read_bytes() for p in folder.iterdir()}
    model = CountingModel()
    assert make_plan(files, queries=2).is_complete(out)
    assert go(files, out, model=model, queries=2) == folder
    assert model.calls == 0
    assert {p: p.read_bytes() for p in folder.iterdir()} == before


def test_equal_runs_are_equal_files_whatever_the_window(files: Path, out: Path) -> None:
    one, other = go(files, out / "1"), go(files, out / "2", window=128)
    assert answers(one) == answers(other)
    assert (one / "scores.jsonl").read_bytes() == (other / "scores.jsonl").read_bytes()


def test_answers_taken_out_of_a_finished_run_are_given_again(files: Path, out: Path) -> None:
    folder = go(files, out)
    whole = answers(folder)
    lines = whole.splitlines(keepends=True)
    (folder / "predictions.jsonl").write_bytes(b"".join(lines[:5] + lines[7:]))
    model = CountingModel()
    assert not make_plan(files).is_complete(out)
    go(files, out, model=model)
    assert model.calls == 2 * 2
    assert answers(folder) == whole
    (folder / "predictions.jsonl").unlink()
    go(files, out)
    assert answers(folder) == whole
    assert make_plan(files).is_complete(out)


def test_one_failing_question_is_a_wrong_answer(files: Path, out: Path) -> None:
    model = CountingModel(failing("number 7 "))
    model.concurrency = 4  # as a server: one call fails, not its whole batch
    folder = go(files, out, model=model)
    failed = [row for row in rows(folder) if row["error"]]
    assert [row["question_id"] for row in failed] == ["q7"]
    assert failed[0]["error"] == "ConnectionError: the server is gone"
    assert failed[0]["answer"] == ""
    scores = [json.loads(line) for line in (folder / "scores.jsonl").open()]
    assert [s["question_id"] for s in scores if s["error"]] == ["q7"]
    assert next(s for s in scores if s["error"])["f1"] == 0


@pytest.mark.parametrize("window", [1, 4, 128])
def test_the_same_failure_everywhere_stops_the_run(files: Path, out: Path, window: int) -> None:
    with pytest.raises(RunFailedError, match=r"16 questions .* ConnectionError: the server"):
        go(files, out, model=CountingModel(failing("")), window=window)
    (folder,) = (out / "toy" / "ask").iterdir()
    assert not (folder / "predictions.jsonl").exists()
    assert read_manifest(folder).status == "running"
    go(files, out, window=window)
    assert answers(folder) == answers(go(files, out / "undisturbed"))


def test_a_short_run_that_fails_everywhere_stops_too(files: Path, out: Path) -> None:
    lines = (files / "questions.jsonl").read_text().splitlines(keepends=True)
    (files / "questions.jsonl").write_text("".join(lines[:3]))
    with pytest.raises(RunFailedError, match="3 questions in a row"):
        go(files, out, model=CountingModel(failing("")))


def test_failures_that_differ_in_a_number_are_the_same(files: Path, out: Path) -> None:
    class TooLong(Ask):
        async def answer(self, query: Query) -> Prediction:
            raise ValueError(f"prompt of {len(query.text) + int(query.id[1:])} tokens is too long")

    with pytest.raises(RunFailedError, match="tokens is too long"):
        go(files, out, TooLong())


def test_a_server_that_dies_midway_costs_no_answer(files: Path, out: Path) -> None:
    model = CountingModel()
    model.interfere = lambda _: failing("")(_) if model.calls > 12 else None
    with pytest.raises(RunFailedError, match="answers so far are kept"):
        go(files, out, model=model, window=1)
    (folder,) = (out / "toy" / "ask").iterdir()
    assert len(rows(folder)) == 6
    assert not any(row["error"] for row in rows(folder))
    go(files, out)
    assert answers(folder) == answers(go(files, out / "undisturbed"))


@pytest.mark.parametrize("value", [float("nan"), object(), "\ud800", {1, 2}])
def test_what_cannot_be_stored_is_a_failed_question(files: Path, out: Path, value) -> None:
    class Odd(Ask):
        async def answer(self, query: Query) -> Prediction:
            if query.id == "q3":
                note("odd", value=value)
            return await super().answer(query)

    failed = [row for row in rows(go(files, out, Odd())) if row["error"]]
    assert [row["question_id"] for row in failed] == ["q3"]


def test_a_memory_is_written_once_and_loaded(files: Path, out: Path) -> None:
    folder = go(files, out, Remember())
    whole = answers(folder)
    (folder / "predictions.jsonl").unlink()
    go(files, out, Remember())
    assert (Remember.writes, answers(folder)) == (1, whole)
    (place,) = (out / "toy" / ".memory").iterdir()
    (place / "write.json").unlink()  # as if killed while saving
    (place / "memory" / "words.json").write_text("{")
    (folder / "predictions.jsonl").unlink()
    go(files, out, Remember())
    assert (Remember.writes, answers(folder)) == (2, whole)
    assert {path.name for path in place.iterdir()} == {".lock", "memory", "write.json"}


@pytest.mark.parametrize("phase", ["write", "load", "storage"])
def test_an_error_in_a_methods_own_code_is_one_line(files: Path, out: Path, phase: str) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    method = type("Broken", (Remember,), {phase: broken})()
    with pytest.raises(RunFailedError, match=rf"{phase}\(\) failed with ZeroDivisionError: a bug"):
        go(files, out, method)


def test_single_queries_are_timed_after_a_warm_up(files: Path, out: Path) -> None:
    model = CountingModel()
    folder = go(files, out, model=model, queries=5)
    assert model.calls == 2 * (QUESTIONS + 5 + 1)
    latency = read_performance(folder).latency
    assert len(latency.seconds) == len(latency.by_kind["generate"]) == 5
    assert (latency.warmup, latency.same_as_batched) == (1, 5)
    assert not make_plan(files, queries=9).is_complete(out)
    go(files, out, queries=9)
    assert len(read_performance(folder).latency.seconds) == 9


def test_a_finished_run_holds_neither_model_nor_index(files: Path, out: Path) -> None:
    method = Ask()
    go(files, out, method)
    assert not {"llm", "retriever"} & vars(method).keys()


def test_a_failure_while_timing_is_no_latency(files: Path, out: Path) -> None:
    model = CountingModel()
    model.interfere = lambda _: failing("")(_) if model.calls > 2 * QUESTIONS + 4 else None
    with pytest.raises(RunFailedError, match=r"failed while it was timed .ConnectionError"):
        go(files, out, model=model, queries=5)
    (folder,) = (out / "toy" / "ask").iterdir()
    assert read_performance(folder).latency is None
    calm = CountingModel()
    go(files, out, model=calm, queries=5)
    assert calm.calls == 2 * 6


def test_what_a_model_lacks_stops_before_anything_is_written(
    files: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = type("Needy", (Ask,), {"needs": frozenset({"soft-prompts"})})()
    monkeypatch.setattr("harness.llm.open.open_model", lambda *_, **__: CountingModel())
    with pytest.raises(
        CapabilityError, match="'needy' needs .*'soft-prompts', which model 'rules'"
    ):
        run_plans([make_plan(files, method)], out, quiet())
    assert not out.exists()


def test_more_demonstrations_than_there_are(files: Path, out: Path) -> None:
    with pytest.raises(InputError, match="7 demonstrations wanted, 6 train questions there"):
        go(files, out, Ask(Ask.Params(shots=7)))
    assert not out.exists()


def test_a_lost_gold_file_is_restored(files: Path, out: Path) -> None:
    go(files, out)
    (gold,) = (out / "toy").glob("questions-*.jsonl")
    content = gold.read_bytes()
    gold.unlink()
    assert not make_plan(files).is_complete(out)
    go(files, out)
    assert gold.read_bytes() == content


def test_an_unwritable_place_is_one_line(files: Path, out: Path) -> None:
    out.write_text("a file")
    with pytest.raises(InputError, match="cannot write there"):
        go(files, out)
    assert out.read_text() == "a file"


def test_progress_counts_what_was_answered_before(files: Path, out: Path, monkeypatch) -> None:
    seen = []
    bar = module.bar
    monkeypatch.setattr(module, "bar", lambda *args: seen.append(args[2:]) or bar(*args))
    folder = go(files, out)
    lines = answers(folder).splitlines(keepends=True)
    (folder / "predictions.jsonl").write_bytes(b"".join(lines[:20]))
    go(files, out)
    assert seen == [(QUESTIONS, 0), (QUESTIONS, 20)]


def test_progress_of_timing_counts_the_timed_queries(files: Path, out: Path, monkeypatch) -> None:
    seen = []
    bar = timing.bar
    monkeypatch.setattr(timing, "bar", lambda *args: seen.append(args[1:]) or bar(*args))
    go(files, out, queries=5)
    label = "toy / ask"
    assert seen == [(f"{label}, warm-up", 1), (f"{label}, latency", 5)]


def test_deleted_figures_of_a_finished_run_come_back(files: Path, tmp_path: Path) -> None:
    folder = go(files, tmp_path, queries=2)
    usage, storage = read_performance(folder).usage, read_performance(folder).storage
    (folder / "performance.json").unlink()
    go(files, tmp_path, queries=2)
    found = read_performance(folder)
    assert (found.usage, found.storage) == (usage, storage)
    assert found.latency and len(found.latency.seconds) == 2
