"""Remote workers: their answers are those of one process, whoever is lost on the way.

The workers are real, in threads of this process in place of other machines; Ray's own part is
tested by ``make test-ray``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import harness.llm.open
from harness.boards import handfuls, remote_worker, whole
from harness.boards.config import Board, parse_board
from harness.boards.remote import RemoteWorkers
from harness.boards.remote_worker import RemoteWorker
from harness.boards.run import plan_runs
from harness.boards.whole import run_whole
from harness.errors import RunFailedError
from harness.registry import register
from harness.runs.directory import find_runs
from harness.runs.manifest import read_manifest
from harness.runs.performance import read_performance
from tests.harness.boards.threads import Threads
from tests.harness.lab import (
    CountingModel,
    FailingServer,
    Remember,
    without_torch,
    write_lines,
    write_task,
)

SAME = ("predictions.jsonl", "scores.jsonl", "questions-*.jsonl", "unanswered.jsonl")


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A board of a task of 24 questions; workers are handed four at a time."""
    without_torch(monkeypatch)
    monkeypatch.setattr(harness.llm.open, "open_model", lambda *_, **__: CountingModel())
    monkeypatch.setattr(remote_worker, "LISTENS", 0.02)
    monkeypatch.setattr(handfuls, "SMALLEST", 4)
    monkeypatch.setattr(handfuls, "LARGEST", 4)
    files = write_task(tmp_path / "files")
    paths = {key: str(files / f"{key}.jsonl") for key in ("questions", "corpus", "train")}

    def make(*methods: Any, **keys: Any) -> Board:
        tasks = [{"name": "toy", "files": paths}]
        latency = {"queries": 1, "warmup": 0}
        values = {"name": "small", "tasks": tasks, "latency": latency, **keys}
        return parse_board({**values, "methods": methods or ("no-retrieval", "bm25")}, "board")

    return make


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a cluster in the place of Ray's."""

    def use(found: Threads) -> Threads:
        @contextmanager
        def joined(on: str) -> Iterator[Threads]:
            yield found

        monkeypatch.setattr(whole, "ray_cluster", joined)
        return found

    return use


def run(board: Board, out: Path, on: str | None = None) -> list[str]:
    text = StringIO()
    run_whole(board, out, Console(file=text, width=300), device="cpu", on=on)
    return text.getvalue().splitlines()


def same_files(root: Path) -> dict[str, bytes]:
    found = [path for name in SAME for path in root.rglob(name)]
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def asked_by(models: list[CountingModel]) -> Any:
    """A factory of models that note what they are asked."""
    asked: list[str] = []

    def open_model(*_: object, **__: object) -> CountingModel:
        models.append(CountingModel(lambda request: asked.append(str(request.prompt))))
        return models[-1]

    return open_model, asked


def test_the_answers_are_those_of_one_process_and_are_timed_here(
    board: Any, cluster: Any, tmp_path: Path
) -> None:
    run(board(), tmp_path / "alone")
    machines = cluster(Threads())
    lines = run(board(), tmp_path / "together", on="ray")
    assert len(machines.started) == 2
    assert same_files(tmp_path / "together") == same_files(tmp_path / "alone")
    assert any(line.startswith("questions answered: 48/48") for line in lines)
    assert len([line for line in lines if ": F1 " in line]) == 2
    for folder in find_runs(tmp_path / "together"):
        manifest, costs = read_manifest(folder), read_performance(folder)
        assert manifest.is_finished and costs.throughput is None
        assert costs.latency is not None and costs.latency.same_as_batched == 1
        assert manifest.answered_on is not None
        assert manifest.answered_on.by == "threads"
        assert manifest.answered_on.machines == {manifest.hardware.text: 24}
    assert not [line for line in run(board(), tmp_path / "together", on="ray") if "workers" in line]


def test_what_a_lost_worker_had_told_is_kept_and_the_rest_is_asked_of_another(
    board: Any, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(board("no-retrieval"), tmp_path / "alone")
    open_model, asked = asked_by([])
    monkeypatch.setattr(harness.llm.open, "open_model", open_model)
    machines = cluster(Threads(dies=[6]))
    lines = run(board("no-retrieval", timings=False), tmp_path / "together", on="ray")
    assert len(machines.started) == 3
    assert [line for line in lines if "worker is gone, 2 questions go to another" in line]
    assert same_files(tmp_path / "together") == same_files(tmp_path / "alone")
    assert len(asked) == 24 + 2, "no question that was told is asked again"


def test_questions_that_every_worker_is_lost_at_stop_their_run_alone(
    board: Any, cluster: Any, tmp_path: Path
) -> None:
    cluster(Threads(room=1, dies=[0, 0, 0]))
    text = StringIO()
    with pytest.raises(RunFailedError, match="stopped 1 times"):
        run_whole(board(), tmp_path, Console(file=text, width=300), device="cpu", on="ray")
    (line,) = [line for line in text.getvalue().splitlines() if line.startswith("stopped: ")]
    assert "toy / no-retrieval: stopped, 3 workers in a row were lost" in line
    (other,) = find_runs(tmp_path)
    assert other.parent.name == "bm25" and read_manifest(other).is_finished
    cluster(Threads())
    run(board(), tmp_path, on="ray")
    assert all(read_manifest(folder).is_finished for folder in find_runs(tmp_path))


def test_a_memory_is_written_once_and_carried_to_all(
    board: Any, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register("methods", "remember", Remember)
    run(board("remember"), tmp_path / "alone")
    monkeypatch.setattr(Remember, "writes", 0)
    machines = cluster(Threads(room=3))
    out = tmp_path / "together"
    run(board("remember", limit=12), out, on="ray")
    assert Remember.writes == 1
    run(board("remember"), out, on="ray")
    assert Remember.writes == 1, "later sessions carry what the first brought home"
    carried = {place for each in machines.started for place in each.kept}
    assert len(carried) == 1
    whole_run = same_files(tmp_path / "alone")
    assert {k: v for k, v in same_files(out).items() if k in whole_run} == whole_run


def test_an_interrupt_leaves_what_was_told_and_a_local_run_completes_it(
    board: Any, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(board("no-retrieval"), tmp_path / "alone")
    machines = cluster(Threads(room=1))
    heard, rows = Threads.heard, []

    def interrupted(self: Threads, remotes: Any, seconds: float) -> Any:
        for remote, events in heard(self, remotes, seconds):
            rows.extend(event for event in events if event[0] == "row")
            yield remote, events
            if len(rows) >= 6:
                raise KeyboardInterrupt

    monkeypatch.setattr(Threads, "heard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(board("no-retrieval"), tmp_path / "together", on="ray")
    monkeypatch.undo()
    (folder,) = find_runs(tmp_path / "together")
    kept = (folder / "predictions.jsonl").read_bytes().count(b"\n")
    assert 6 <= kept == len(rows) < 24
    assert sum(read_manifest(folder).answered_on.machines.values()) == kept
    assert not machines.started[0].worker._here.exists()
    open_model, asked = asked_by([])
    monkeypatch.setattr(harness.llm.open, "open_model", open_model)
    without_torch(monkeypatch)
    run(board("no-retrieval", timings=False), tmp_path / "together")
    assert len(asked) == 24 - kept
    assert same_files(tmp_path / "together") == same_files(tmp_path / "alone")


def test_what_a_server_left_unanswered_is_as_in_a_local_run(
    board: Any, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_model(*_: object, **__: object) -> FailingServer:
        return FailingServer("How is number 3 called")

    monkeypatch.setattr(harness.llm.open, "open_model", open_model)
    run(board("no-retrieval", timings=False), tmp_path / "alone")
    cluster(Threads())
    run(board("no-retrieval", timings=False), tmp_path / "together", on="ray")
    assert same_files(tmp_path / "together") == same_files(tmp_path / "alone")
    costs = [read_performance(f).retries for f in find_runs(tmp_path)]
    assert costs[0] == costs[1] == 5


def refuse(chosen: Board, out: Path, **changes: Any) -> str:
    """What a worker says to a request with these changes."""
    workers = RemoteWorkers(chosen, out, Threads(), device="cpu")  # type: ignore[arg-type]
    request = json.loads(workers.request([], 1, Threads()))
    worker = RemoteWorker(json.dumps({**request, **changes}))
    events = [event for _ in range(500) for event in worker.listen()]
    ((what, why),) = events
    assert what == "refused" and "\n" not in why
    return str(why)


def test_a_machine_with_another_release_or_other_files_is_refused_before_a_model_is_opened(
    board: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_worker, "LISTENS", 0.005)
    monkeypatch.setattr(harness.llm.open, "open_model", None)
    chosen = board("bm25")
    why = refuse(chosen, tmp_path, harness={"version": "0.0.1", "git_commit": None})
    assert "memory-harness 0.1.0 is installed, the board is run by 0.0.1" in why
    asked = {p.config.run_id: [p.label, p.config.written()] for p in plan_runs(chosen, "cpu")}
    corpus = tmp_path / "files" / "corpus.jsonl"
    lines = corpus.read_text().splitlines()
    write_lines(corpus, [*map(json.loads, lines), {"id": "new", "contents": "New\nText"}])
    why = refuse(chosen, tmp_path, runs=asked)
    assert "'toy / bm25' is another one there (task.corpus_fingerprint, task.passages " in why
    corpus.unlink()
    assert f"{corpus}: " in refuse(chosen, tmp_path, runs=asked)


def test_no_key_leaves_this_machine(
    board: Any, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    machines = cluster(Threads())
    run(board(), tmp_path / "out", on="ray")
    assert machines.requests and "sk-very-secret" not in "".join(machines.requests)
    for path in (tmp_path / "out").rglob("*.json*"):
        assert "sk-very-secret" not in path.read_text()
