"""Remote workers: their answers are those of one process, whoever is lost on the way.

The workers are real, in threads of this process in place of other machines; Ray's own part is
tested by ``make test-ray``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import harness.llm.open
from harness.boards import handfuls, remote_worker, whole
from harness.boards.config import Board, parse_board
from harness.boards.elsewhere import as_json
from harness.boards.handfuls import Handfuls, size_of
from harness.boards.on_ray import board_on, check_on, ray_cluster
from harness.boards.parts import Part
from harness.boards.remote import RemoteWorkers
from harness.boards.remote_worker import RemoteWorker
from harness.boards.run import plan_runs
from harness.boards.whole import run_whole
from harness.errors import ConfigError, RunFailedError
from harness.registry import register
from harness.runs.carried import Arriving, pieces
from harness.runs.directory import find_runs
from harness.runs.manifest import read_manifest
from harness.runs.performance import read_performance
from harness.runs.resources import Resources
from tests.harness.lab import (
    CountingModel,
    FailingServer,
    Remember,
    quiet,
    without_torch,
    write_lines,
    write_task,
)

SAME = ("predictions.jsonl", "scores.jsonl", "questions-*.jsonl", "unanswered.jsonl")
KILLED = "killed by the test"


class Thread:
    """A worker in a thread, which ``dies`` once it has told so many answers."""

    def __init__(self, request: str, dies: int | None) -> None:
        self.worker, self.left, self.is_dead = RemoteWorker(request), dies, False
        self.kept: list[str] = []

    def hand(self, run_id: str, question_ids: Sequence[str], *, is_begun: bool) -> None:
        self.worker.hand((run_id, tuple(question_ids), is_begun))

    def keep(self, place: str, piece: tuple[str, bytes]) -> None:
        self.kept.append(place)
        self.worker.keep(place, piece)

    def heard(self) -> list[Any] | str:
        told: list[Any] = []
        for event in () if self.is_dead else self.worker.listen():
            if self.left == 0 and event[0] != "ready":
                self.is_dead = True
                break
            if event[0] == "row" and self.left:
                self.left -= 1
            told.append(event)
        return KILLED if self.is_dead and not told else told


class Threads:
    """A cluster of threads; ``dies`` says of each that is started when it dies, if it does."""

    name, is_local = "threads", True

    def __init__(self, room: int = 2, dies: Sequence[int | None] = ()) -> None:
        self.size, self.dies = room, list(dies)
        self.started: list[Thread] = []
        self.requests: list[str] = []

    def room(self, resources: Resources) -> int:
        return self.size

    def start(self, request: str, resources: Resources) -> Thread:
        self.requests.append(request)
        self.started.append(Thread(request, self.dies.pop(0) if self.dies else None))
        return self.started[-1]

    def stop(self, remotes: Sequence[Thread]) -> None:
        for remote in remotes:
            remote.worker.leave()

    def heard(self, remotes: Sequence[Thread], seconds: float) -> Iterator[tuple[Thread, Any]]:
        for remote in remotes:
            yield remote, remote.heard()


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


def test_a_worker_keeps_to_its_run_and_then_helps_where_most_is_left(board: Any) -> None:
    chosen = board("no-retrieval", {"name": "bm25", "params": {"k": 1}}, "bm25")
    first, second, third = plan_runs(chosen, "cpu")
    queue, one = Handfuls(2), Resources()
    for plan, ids in ((first, "ab"), (second, "cdefgh"), (third, "ijkl")):
        index = ["index"] if plan is not first else []
        queue.add(plan, ids, index)
    ids = [plan.config.run_id for plan in (first, second, third)]
    assert queue.take(one, None) == (ids[0], ["a", "b"])
    assert queue.take(one, None) == (ids[1], ["c", "d"])
    assert queue.take(one, None) is None, "the second builds what the third needs"
    queue.there("index")
    assert queue.take(one, None) == (ids[2], ["i", "j"])
    queue.back(ids[1], ["d"])
    assert queue.take(one, ids[1]) == (ids[1], ["d", "e"])
    assert queue.take(one, ids[0]) == (ids[1], ["f", "g"])
    assert queue.take(Resources(cpus=2), None) is None
    queue.drop(ids[2])
    assert not queue.is_done(ids[2]) and queue.is_left


@pytest.mark.parametrize(
    ("questions", "workers", "size"), [(10, 4, 16), (1000, 4, 62), (10**6, 4, 256)]
)
def test_handfuls_are_some_a_worker(questions: int, workers: int, size: int) -> None:
    assert size_of(questions, workers) == size


def test_a_method_asks_for_its_own_resources(board: Any) -> None:
    own = {"name": "bm25", "resources": {"memory": "24GB"}}
    chosen = board("no-retrieval", own, resources={"cpus": 4, "gpus": 1, "memory": "4GB"})
    plain, other = plan_runs(chosen, "cpu")
    assert plain.resources == Resources(cpus=4, gpus=1, memory=4 * 10**9)
    assert other.resources == Resources(cpus=4, gpus=1, memory=24 * 10**9)
    assert other.resources.text == "4 CPUs, 1 GPU, 24.0GB"
    assert parse_board(json.loads(as_json(chosen, "--on")), "board").resources == plain.resources
    assert plain.config == next(plan_runs(board("no-retrieval"), "cpu")).config


@pytest.mark.parametrize(
    ("resources", "reason"),
    [
        ({"gpu": 1}, r"unknown key 'resources.gpu'; did you mean 'gpus'\?"),
        ({"cpus": 0}, r"'resources.cpus' = 0: .*greater than or equal to 1"),
        ({"gpus": 1.5}, r"'resources.gpus' = 1.5: .*more than one GPU is a whole number"),
        ({"memory": "much"}, r"'resources.memory' = 'much': could not parse"),
    ],
)
def test_resources_that_cannot_be_are_refused(board: Any, resources: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        board(resources=resources)


def test_models_of_one_board_open_on_one_kind_of_device(board: Any) -> None:
    with pytest.raises(ConfigError, match="give all a GPU .* or none"):
        board("no-retrieval", {"name": "bm25", "resources": {"gpus": 1}})
    assert board_on(board(resources={"gpus": 0.5}), None, "ray", quiet())[1] == "cuda"
    assert board_on(board(), None, "ray", quiet())[1] == "cpu"
    with pytest.raises(ConfigError, match=r"asks for no GPU; give it resources: \{gpus: 1\}"):
        board_on(board(), "cuda", "ray", quiet())


def test_nothing_is_timed_on_a_cluster_of_others(
    board: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert board_on(board(), None, "ray", quiet())[0].timings
    assert not board_on(board(), None, "ray://head:10001", quiet())[0].timings
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert not board_on(board(), None, "ray", quiet())[0].timings


@pytest.mark.parametrize("on", ["slurm", "ray://", "ray://head", "ray://h:1/x", "http://h:1"])
def test_a_cluster_is_ray(on: str) -> None:
    with pytest.raises(ConfigError, match=r"^--on .*: there are ray and ray://HOST:PORT$"):
        check_on(on)


def test_a_cluster_takes_no_part(board: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a cluster shares a board out by itself"):
        run_whole(board(), tmp_path, quiet(), part=Part(1, 2), on="ray")


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'lm-memory-harness\[ray\]'"):
        with ray_cluster("ray"):
            pass


def test_a_board_says_not_where_it_runs(board: Any) -> None:
    with pytest.raises(ConfigError, match="unknown key 'on'"):
        board(on="ray")


def test_a_memory_arrives_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "sent"
    (place / "memory" / "deep").mkdir(parents=True)
    (place / "memory" / "deep" / "big.bin").write_bytes(bytes(range(256)) * 8200)
    (place / "memory" / "empty").write_bytes(b"")
    (place / "write.json").write_text("{}")
    *most, last = pieces(place)
    assert len(most) > 2, "a large file comes in several pieces"
    arriving = Arriving(tmp_path / "got")
    assert not any(map(arriving.take, most))
    assert not (tmp_path / "got").exists()
    assert arriving.take(last)
    for path in place.rglob("*"):
        if path.is_file():
            assert (tmp_path / "got" / path.relative_to(place)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "name", ["../x", "memory/../../x", "/etc/x", "scratch/x", "memory\\..\\x/.."]
)
def test_a_memory_writes_nowhere_else(tmp_path: Path, name: str) -> None:
    arriving = Arriving(tmp_path / "place")
    with suppress(RunFailedError):
        arriving.take((name, b"x"))
        pytest.fail(f"{name} was taken")
    assert not list(tmp_path.rglob("x"))
