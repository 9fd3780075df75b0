"""`memory-harness lm-eval`: lm-eval's own arguments, and what it lacks put right."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pytest

from tests.harness.conftest import CommandLine
from tests.harness.lab import CountingModel
from tests.harness.lm_eval_plugin.lab import task_folder
from tests.readme import follow


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the seconds in which lm-eval describes the machine, and without its log."""
    import lm_eval.__main__ as program
    import lm_eval.evaluator as evaluator

    monkeypatch.setattr(program, "setup_logging", lambda: None)

    monkeypatch.setattr(evaluator, "add_env_info", lambda _: None)
    monkeypatch.delenv("LM_HARNESS_CACHE_PATH", raising=False)


def test_one_command_line_from_method_to_files(
    tmp_path: Path, llm: CountingModel, cli: CommandLine,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)  # no checkout: git has something to complain of
    task_folder(tmp_path / "toy")
    cli.model = llm
    command = [
        "lm-eval", "--model", "memory", "--model_args", "method=bm25,k=2,llm=smollm2-135m-instruct",
        "--tasks", "./toy",
        "--limit", 4, "--output_path", "out", "--log_samples", "--use_cache", "answers",
        "--seed", 5,
    ]  # fmt: skip
    done = cli(*command)
    assert done.code == 0, done.err
    assert "|memory_toy|" in done.out.replace(" ", "")
    assert "latency_p50" in done.out  # one question at a time is lm-eval's default
    assert "chat template" not in caplog.text
    (results,) = Path("out/bm25,k=2,smollm2-135m-instruct").glob("results_*.json")
    said = json.loads(results.read_text())
    assert said["config"]["memory_harness"]["seed"] == 5
    assert said["config"]["memory_harness"]["method"]["params"]["k"] == 2
    assert said["n-samples"]["memory_toy"] == {"original": 24, "effective": 4}
    (samples,) = results.parent.glob("samples_memory_toy_*.jsonl")
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    assert len(rows) == 4
    assert all({"em", "recall_at_5", "latency_p50"} < row.keys() for row in rows)
    assert all(len(row["doc"]["memory_prediction"]["retrieved_ids"]) == 2 for row in rows)
    assert Path(os.environ["LM_HARNESS_CACHE_PATH"]).is_relative_to(
        os.environ["MEMORY_HARNESS_CACHE"]
    )

    assert llm.calls == 4
    llm.calls = 0
    assert cli(*command).code == 0
    assert llm.calls == 0
    assert cli(*[str(part).replace("k=2", "k=3") for part in command]).code == 0
    assert llm.calls == 4
    assert Path("out/bm25,k=3,smollm2-135m-instruct").is_dir()


def test_shipped_tasks_have_names_and_their_own_files_serve_later_releases(
    llm: CountingModel, cli: CommandLine, tmp_path: Path
) -> None:
    done = cli(
        "lm-eval", "--model", "memory", "--model_args", "method=no-retrieval", "--tasks",
        "memory_n*,memory_triviaqa", "--limit", 2, "--batch_size", "auto",
    )  # fmt: skip
    assert done.code == 0, done.err
    for name in ("nq", "triviaqa"):
        assert f"|memory_{name}|" in done.out.replace(" ", "")
    assert "recall" not in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "memory_qn"], "unknown task 'memory_qn'; did you mean 'memory_nq'"),
        (["--tasks", "memory_nq", "--num_fewshot", "3"], "--num_fewshot: .* shots=N"),
        (["--tasks", "memory_nq", "--apply_chat_template"], "--apply_chat_template"),
        (["--tasks", "memory_nq", "--system_instruction", "x"], "--system_instruction"),
        (["--tasks", "memory_nq", "--gen_kwargs", "temperature=1"], "--gen_kwargs"),
        (["--tasks", "gone.yaml"], "--tasks: lm-eval has not .*gone.yaml; 'memory-harness lm-eval"),
        ([], "--tasks: name one or several"),
        (
            ["--tasks", "memory_nq", "--model", "memroy"],
            "'memroy'; did you mean 'memory'",
        ),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: list[str], message: str, llm: CountingModel, cli: CommandLine
) -> None:
    import re

    cli.model = llm
    line = cli.refuses("lm-eval", "--model", "memory", "--model_args", "method=bm25", *arguments)
    assert llm.calls == 0
    assert re.search(message, line), line


def test_an_interruption_says_what_goes_on(
    tmp_path: Path, llm: CountingModel, cli: CommandLine
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    cli.model, llm.interfere = llm, interrupt
    folder = task_folder(tmp_path / "toy")
    done = cli("lm-eval", "--model", "memory", "--model_args", "method=bm25", "--tasks", folder)
    assert done.code == 130
    assert done.err.splitlines()[-1].startswith("stopped; with --use_cache")


def test_tasks_of_a_configuration_file_are_found(
    tmp_path: Path, llm: CountingModel, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lm_eval.tasks

    # Without its own thousands, which take it ten seconds.
    quick = partial(lm_eval.tasks.TaskManager, include_defaults=False)
    monkeypatch.setattr(lm_eval.tasks, "TaskManager", quick)
    config = tmp_path / "config.yaml"
    given = {"model": "memory", "model_args": {"method": "no-retrieval"}, "tasks": ["memory_nq"]}
    config.write_text(json.dumps({**given, "limit": 1}))
    done = cli("lm-eval", "run", "--config", config)
    assert done.code == 0, done.err
    assert "|memory_nq|" in done.out.replace(" ", "")


@pytest.mark.parametrize(("more", "seed"), [((), 3), (("--seed", 7, "--model", "memory"), 7)])
def test_a_configuration_file_says_what_the_command_line_does_not(
    more: tuple[object, ...], seed: int, tmp_path: Path, llm: CountingModel, cli: CommandLine
) -> None:
    folder, config = task_folder(tmp_path / "toy"), tmp_path / "config.yaml"
    given = {
        "model": "memory", "model_args": "method=bm25,k=2", "tasks": f"{folder}/", "limit": 1,
        "seed": [3, 1, 1, 1], "output_path": str(tmp_path / "out"),
    }  # fmt: skip
    config.write_text(json.dumps(given))
    done = cli("lm-eval", "run", "--config", config, *more)
    assert done.code == 0, done.err
    (results,) = (tmp_path / "out").rglob("results_*.json")
    said = json.loads(results.read_text())["config"]["memory_harness"]
    assert (said["seed"], said["method"]["params"]["k"]) == (seed, 2)

    config.write_text(json.dumps({**given, "num_fewshot": 3}))
    assert "--num_fewshot" in cli.refuses("lm-eval", "run", "--config", config, *more)
    config.write_text(json.dumps({**given, "limt": 3}))
    refused = cli.refuses("lm-eval", "run", "--config", config, *more)
    assert "unknown key 'limt'; did you mean 'limit'" in refused


def test_two_tasks_of_one_name_are_not_one(
    tmp_path: Path, llm: CountingModel, cli: CommandLine
) -> None:
    tasks = [f"{task_folder(tmp_path / part / 'toy')}/" for part in "ab"]
    line = cli.refuses(
        "lm-eval", "--model", "memory", "--model_args", "method=bm25", "--tasks", *tasks
    )
    assert "two of them are named 'memory_toy'" in line


def test_its_help_is_lm_eval_s(cli: CommandLine) -> None:
    assert "--model_args" in cli("lm-eval", "run", "--help").out
    assert "lm-evaluation-harness" in cli("--help").out


@pytest.mark.model
def test_the_section_of_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    follow("Use from lm-eval", tmp_path, monkeypatch)
    assert "|memory_nq|" in capsys.readouterr().out.replace(" ", "")
    (samples,) = Path("results").glob("*/samples_memory_nq_*.jsonl")
    asked = [json.loads(line) for line in samples.read_text().splitlines()]
    (folder,) = [file.parent for file in Path("runs/same").rglob("scores.jsonl")]
    rows = map(json.loads, (folder / "predictions.jsonl").read_text().splitlines())
    scores = map(json.loads, (folder / "scores.jsonl").read_text().splitlines())
    answers = {each["doc"]["id"]: each["resps"][0][0] for each in asked}
    assert answers == {row["question_id"]: row["answer"] for row in rows}
    f1 = {row["question_id"]: row["f1"] for row in scores}
    assert {each["doc"]["id"]: each["f1"] for each in asked} == f1
