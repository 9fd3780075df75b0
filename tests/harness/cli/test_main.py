"""The command line from end to end, with a model that needs no download."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from harness.runs.directory import find_runs
from harness.runs.manifest import read_manifest
from harness.runs.performance import read_performance
from harness.runs.predictions import read_predictions
from tests.harness.conftest import CommandLine
from tests.harness.lab import CountingModel
from tests.harness.llm.fake_server import fake_server

PLUGIN = """
import json
from pydantic import Field
from harness.method import Method, MethodCard, MethodParams
from harness.records import Passage, Prediction, StorageReport

class First(Method):
    card = MethodCard("First", "Reads the first k passages.")

    class Params(MethodParams):
        k: int = Field(2, ge=1)

    def write(self, corpus, train, folder):
        rows = [[p.id, p.title, p.text] for p in (corpus[i] for i in range(self.params.k))]
        (folder / "passages.json").write_text(json.dumps(rows))

    def load(self, folder):
        rows = json.loads((folder / "passages.json").read_text())
        self.passages = [Passage(*row) for row in rows]

    def storage(self):
        return StorageReport({"text": sum(len(p.text) for p in self.passages)}, 30)

    async def answer(self, query):
        reply = await self.llm.generate(self.prompts.read(query, self.passages), max_tokens=4)
        return Prediction(reply.first_line, self.passages)

METHODS = {"first": First}
"""


@pytest.fixture
def run(cli: CommandLine, files: Path, tmp_path: Path):
    """Runs a method on the small task, and gives the outcome and the run's folder."""

    def call(*arguments: object, method: str = "bm25", timed: int = 2):
        out = tmp_path / "runs"
        paths = [x for kind in ("questions", "corpus", "train")
                 for x in (f"--{kind}", files / f"{kind}.jsonl")]  # fmt: skip
        done = cli(
            "run", "--method", method, "--task", "toy", *paths, "--out", out,
            "--latency-queries", timed, *arguments,
        )  # fmt: skip
        return done, find_runs(out) if done.code == 0 else []

    return call


def test_a_method_on_a_shipped_task(cli: CommandLine, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    command = (
        "run", "--method", "bm25", "--task", "nq", "--limit", 5, "-p", "k=10", "-p", "k1=0.9",
        "--seed", 3, "--latency-queries", 1, "--out", out,
    )  # fmt: skip
    done = cli(*command)
    assert done.code == 0, done.err
    assert "nq / bm25: 5/5 in" in done.err
    assert "\x1b" not in done.err
    (folder,) = find_runs(out)
    config = read_manifest(folder).config.written()
    assert config["task"] | {"name": "nq", "limit": 5, "questions": 5} == config["task"]
    assert config["method"]["params"] | {"k": 10, "k1": 0.9} == config["method"]["params"]
    assert config["seed"] == 3
    rows = [row for _, row in read_predictions(folder / "predictions.jsonl")]
    assert [len(row["retrieved_ids"]) for row in rows] == [10] * 5
    again = cli(*command)
    assert again.code == 0
    assert again.err.splitlines() == [
        "nq / bm25: finished before",
        f"next: memory-harness leaderboard {out}",
    ]


def test_own_files_give_the_three_formats(cli, run, tmp_path: Path) -> None:
    run()
    done, folders = run(method="no-retrieval")
    assert (done.code, len(folders)) == (0, 2)
    out = tmp_path / "runs"
    table = tmp_path / "new" / "board.md"
    markdown = cli("leaderboard", out, "--output", table)
    assert markdown.out.strip() == table.read_text(encoding="utf-8").strip()
    assert "no-retrieval" in markdown.out
    rows = list(csv.DictReader(io.StringIO(cli("leaderboard", out, "--format", "csv").out)))
    assert {row["method"] for row in rows} == {"bm25", "no-retrieval"}
    content = json.loads(cli("leaderboard", out, "--format", "json").out)
    assert len(content["tables"]) == 1


def test_other_questions_never_share_a_table(cli, run, files: Path, tmp_path: Path) -> None:
    run()
    lines = (files / "questions.jsonl").read_text().splitlines(keepends=True)
    (files / "questions.jsonl").write_text("".join(lines[:20]))
    run(method="no-retrieval")
    run("--model", "llama-3.2-1b-instruct", method="no-retrieval")
    (files / "corpus.jsonl").write_text((files / "corpus.jsonl").read_text().replace("is", "was"))
    run(method="no-retrieval")
    content = json.loads(cli("leaderboard", tmp_path / "runs", "--format", "json").out)
    assert [len(table["rows"]) for table in content["tables"]] == [1, 1, 1, 1]


def test_one_failing_question_is_on_the_board(cli, run, tmp_path: Path) -> None:
    def fail(request) -> None:
        if "number 7 called" in str(request.prompt).rpartition("Question:")[2]:
            raise ConnectionError("the server is gone")

    cli.model = CountingModel(fail)
    cli.model.concurrency = 4  # as a server: one call fails, not its whole batch
    done, _ = run()
    assert done.code == 0
    content = json.loads(cli("leaderboard", tmp_path / "runs", "--format", "json").out)
    assert content["tables"][0]["rows"][0]["errors"] == 1
    table = [line for line in cli("leaderboard", tmp_path / "runs").out.splitlines() if "|" in line]
    cells = [[cell.strip() for cell in line.split("|")] for line in (table[0], table[-1])]
    assert dict(zip(*cells, strict=True))["Errors"] == "1"


def test_a_failure_everywhere_exits_with_2_and_is_mended(cli, run, tmp_path: Path) -> None:
    def fail(_: object) -> None:
        raise ConnectionError("the server is gone")

    cli.model = CountingModel(fail)
    done, _ = run()
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("error: ")
    assert "ConnectionError: the server is gone; mend the cause" in done.err
    (folder,) = find_runs(tmp_path / "runs")
    assert not (folder / "predictions.jsonl").exists()
    assert "1 unfinished" in cli.refuses("leaderboard", tmp_path / "runs")
    cli.model = CountingModel()
    done, _ = run()
    assert done.code == 0
    rows = [row for _, row in read_predictions(folder / "predictions.jsonl")]
    assert len(rows) == 24
    assert not any(row["error"] for row in rows)


def test_score_again(cli, run, tmp_path: Path) -> None:
    _, (folder,) = run()
    before = (folder / "scores.jsonl").read_bytes()
    table = cli("leaderboard", tmp_path / "runs").out
    (folder / "scores.jsonl").unlink()
    assert "not scored; run `memory-harness score" in cli.refuses("leaderboard", tmp_path / "runs")
    assert cli("score", tmp_path / "runs").out == f"{folder}: scored\n"
    assert (folder / "scores.jsonl").read_bytes() == before
    assert cli("leaderboard", tmp_path / "runs").out == table
    assert cli("score", tmp_path / "runs", "--check").out == f"{folder}: as scored\n"
    with (folder / "predictions.jsonl").open("r+") as file:
        changed = file.read().replace('"error":null', '"error":"E: x"', 1)
        file.seek(0)
        file.write(changed)
    assert "older than the run's predictions" in cli.refuses("leaderboard", tmp_path / "runs")


def test_more_latency_queries_keep_a_boards_warm_up(cli, files: Path, tmp_path: Path) -> None:
    paths = "".join(f"      {kind}: {files / kind}.jsonl\n" for kind in ("questions", "corpus"))
    board = tmp_path / "board.yaml"
    board.write_text(
        f"name: mine\nmethods: [{{name: no-retrieval, params: {{shots: 0}}}}]\n"
        f"latency: {{queries: 1, warmup: 2}}\ntasks:\n  - name: toy\n    files:\n{paths}"
    )
    out = tmp_path / "runs"
    done = cli("run", board, "--out", out, "--latency-queries", 3)
    assert done.code == 0, done.err
    latency = read_performance(find_runs(out)[0]).latency
    assert latency is not None
    assert (len(latency.seconds), latency.warmup) == (3, 2)


def test_a_users_own_method_on_a_real_model(
    cli, run, monkeypatch, tmp_path: Path, tiny_model_dir: Path
) -> None:
    from harness.llm.local import LocalModel

    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    monkeypatch.setattr(
        "harness.llm.open.open_model",
        lambda config, **options: LocalModel(config, str(tiny_model_dir), **options),
    )
    done, folders = run(
        "--plugin", path, "-p", "k=3", "-p", "shots=1", "--model", f"path:{tiny_model_dir}",
        "--limit", 6, method="first",
    )  # fmt: skip
    assert done.code == 0, done.err
    rows = [row for _, row in read_predictions(folders[0] / "predictions.jsonl")]
    assert [row["retrieved_ids"] for row in rows] == [["d0", "d1", "d2"]] * 6
    (memory,) = (folders[0].parents[1] / ".memory").iterdir()
    assert len(json.loads((memory / "memory" / "passages.json").read_text())) == 3
    assert "first (k=3" in cli("leaderboard", tmp_path / "runs").out
    assert "Reads the first k passages." in cli("list", "methods", "--plugin", path).out
    assert "k: '2'" in cli("describe", "first", "--plugin", path).out


def test_keys_reach_no_file(cli, run, monkeypatch, tmp_path: Path) -> None:
    from harness.llm.server.model import ServerModel

    key, seen = "sk-very-secret-key", []

    def answer(path: str, body: dict, headers) -> tuple[int, dict]:
        seen.append(headers["Authorization"])
        if "number 7 " in str(body):
            return 400, {"error": {"message": f"bad request with {headers['Authorization']}"}}
        choice = {"index": 0, "message": {"role": "assistant", "content": "name1"}}
        usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
        return 200, {"id": "1", "object": "chat.completion", "created": 0, "model": "m",
                     "choices": [{**choice, "finish_reason": "stop"}], "usage": usage}  # fmt: skip

    monkeypatch.setenv("OPENAI_API_KEY", key)
    monkeypatch.setattr("harness.llm.open.open_model", lambda config, **_: ServerModel(config))
    with fake_server(answer) as url:
        done, (folder,) = run("--model", f"openai:m@{url}", "-p", "shots=0", "-p", "k=1")
    assert done.code == 0, done.err
    assert seen
    assert set(seen) == {f"Bearer {key}"}
    rows = [row for _, row in read_predictions(folder / "predictions.jsonl")]
    assert any("bad request" in (row["error"] or "") for row in rows)
    assert key not in done.out + done.err
    for path in (tmp_path / "runs").rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes(), path


def test_doctor_and_lists(cli: CommandLine) -> None:
    assert "not reachable" in cli("doctor").out
    for kind in ("methods", "tasks", "models", "encoders", "boards"):
        done = cli("list", kind)
        assert done.code == 0
        assert len(done.out.splitlines()) >= 1
    assert "bm25" in cli("describe", "bm25").out
    assert cli("--help").code == 0
    assert cli().code == 2
