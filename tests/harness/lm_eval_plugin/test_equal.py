"""Answers and scores through lm-eval are those of a run, to the last digit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from harness.registry import task_folder as shipped_folder
from tests.harness.conftest import CommandLine
from tests.harness.lab import CountingModel
from tests.harness.lm_eval_plugin.lab import Results, own

Evaluate = Callable[..., Results]


def of_run(root: Path) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Answers by id, and the scores, of the only run below a folder."""
    (folder,) = [file.parent for file in root.rglob("manifest.json")]
    rows = map(json.loads, (folder / "predictions.jsonl").read_text().splitlines())
    scores = (folder / "scores.jsonl").read_text().splitlines()
    return {row["question_id"]: row["answer"] for row in rows}, [*map(json.loads, scores)]


def check_equal(results: Results, root: Path) -> None:
    answers, scores = of_run(root)
    assert results.answers == answers
    reported = {k: v for k, v in results.values.items() if k != "latency_p50"}
    known = {name.replace("@", "_at_"): name for name in scores[0]}
    assert reported == {
        name: pytest.approx(mean(row[known[name]] for row in scores), abs=1e-12)
        for name in reported
    }
    left_out = {
        name
        for name, spelt in known.items()
        if scores[0][spelt] is None and not name.startswith(("hit", "precision", "support"))
    }
    assert left_out.isdisjoint(reported)


@pytest.mark.parametrize(
    ("method", "params"),
    [("no-retrieval", {"shots": 2}), ("bm25", {"k": 3}), ("ircot", {"max_steps": 2})],
)
def test_a_method_gives_the_answers_and_scores_of_a_run(
    method: str, params: dict[str, Any], toy: Path, tmp_path: Path,
    evaluate: Evaluate, cli: CommandLine,
) -> None:  # fmt: skip
    results = evaluate(own(toy), method, args=params, limit=7)

    given = [text for key, value in params.items() for text in ("-p", f"{key}={value}")]
    done = cli(
        "run", "--method", method, "--task", f"{toy}/", *given, "--limit", 7, "--out",
        tmp_path / "runs", "--latency-queries", 0,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert len(results.answers) == 7
    check_equal(results, tmp_path / "runs")


def test_a_transformers_model_gives_them_too_on_shipped_questions(
    tiny_model_dir: Path, tmp_path: Path, evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.cli.main import main

    llm = f"path:{tiny_model_dir}"
    task = own_shipped("musique")
    results = evaluate(task, "bm25", args={"llm": llm, "seed": 3}, limit=3)
    line = f"run --method bm25 --task musique --model {llm} --seed 3 --limit 3 --latency-queries 0"
    monkeypatch.setattr("sys.argv", ["mh", *line.split(), "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    check_equal(results, tmp_path)
    assert {"all_gold_at_5", "recall_at_5"} < results.values.keys()


def own_shipped(name: str) -> dict[str, Any]:
    from harness.lm_eval_plugin.tasks import MemoryTask

    assert (shipped_folder(name) / "task.yaml").is_file()
    return {"task": f"memory_{name}", "class": MemoryTask}


def test_any_gold_document_counts_where_the_card_says_so(
    tmp_path: Path, evaluate: Evaluate, llm: CountingModel
) -> None:
    from tests.harness.lm_eval_plugin.lab import task_folder

    results = evaluate(own(task_folder(tmp_path / "any", gold="any")), "bm25", limit=2)
    assert "recall_at_5" in results.values
    assert not any(name.startswith("all_gold") for name in results.values)
