"""Run directories as the harness writes them, made of invented scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.fingerprint import canonical_json, file_sha256, fingerprint_lines
from harness.runs.manifest import RunConfig
from tests.harness.conftest import cli as cli

WriteRun = Callable[..., Path]
WriteGold = Callable[..., Path]
HARDWARE = {
    "fingerprint": "abc123",
    "summary": "2 x Intel Xeon, 24 GB, no GPU",
    "threads": 2,
    "device": "cpu",
}


def performance(seconds: float, questions: int) -> dict[str, Any]:
    """Costs in proportion to ``seconds``, the median latency."""
    return {
        "throughput": {"questions": questions, "seconds": questions * seconds / 4},
        "latency": {"seconds": [seconds * (0.5 + i / 10) for i in range(11)], "warmup": 10},
        "memory": {"kind": "rss", "peak_bytes": 1_234_000_000},
        "storage": {
            "parts": {"text": 2_000_000, "sparse index": 1_500_000, "shared parameters": 9_000_000},
            "documents": 5000,
        },
        "usage": {
            "llm_calls": 1.0, "retrievals": 1.0, "prompt_tokens": 612.5, "completion_tokens": 8.25,
            "passages_dropped": 0.25, "passages_cut": 0.05, "empty": 0.02, "cut_off": 0.0,
        },
    }  # fmt: skip


def score_lines(questions: int, skill: float, seed: int, gold: int) -> list[dict[str, Any]]:
    """Scores of questions whose difficulty all methods share."""
    hard = np.random.default_rng(0).random(questions)
    luck = np.random.default_rng([seed, round((skill + 1) * 100)]).normal(0, 0.15, questions)
    f1 = np.clip(np.round(0.5 + skill - hard + luck, 2), 0, 1)
    lines = []
    for i, value in enumerate(f1.tolist()):
        found = sum(value > 0.2 + 0.4 * j for j in range(gold))
        lines.append({
            "question_id": f"q{i:04d}", "em": float(value > 0.6), "f1": value,
            "contains": float(value > 0.5),
            "recall@5": found / gold if gold else None,
            "all_gold@5": float(found == gold) if gold else None,
            "hit@5": float(found > 0) if gold else None,
            "precision@5": found / 5 if gold else None,
            "recall_read": min(found, 1) / gold if gold else None,
            "recall_retrieved": found / gold if gold else None,
            "retrieved": float(value > 0.1), "em_folded": float(value > 0.55),
            "error": value == 0 and i % 40 == 0,
        })  # fmt: skip
    return lines


def stamp_scores(folder: Path) -> None:
    """Let scores that a test changed be as scoring left them."""
    path = folder / "scores.json"
    sha = file_sha256(folder / "scores.jsonl")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"scores_sha256": sha}))


@pytest.fixture
def asked() -> dict[str, str]:
    """The fingerprint of the questions of each task that has gold."""
    return {}


@pytest.fixture
def write_run(tmp_path: Path, asked: dict[str, str]) -> WriteRun:
    """Return a function that writes one run below ``runs`` and gives its folder."""

    def write(
        method: str = "bm25",
        task: str = "nq",
        *,
        skill: float = 0.0,
        seed: int = 0,
        params: dict[str, Any] | None = None,
        questions: int = 40,
        gold: int = 1,
        status: str = "finished",
        scored: bool = True,
        costs: dict[str, Any] | None = None,
        oracle: bool = False,
        hardware: dict[str, Any] | None = None,
        metrics_version: int = 1,
        answered: int | None = None,
        unanswered: Sequence[str] = (),
        lines: list[dict[str, Any]] | None = None,
        predictions: list[dict[str, Any]] | None = None,
        task_config: dict[str, Any] | None = None,
        model_config: dict[str, Any] | None = None,
        manifest: dict[str, Any] | None = None,
    ) -> Path:
        status = "incomplete" if unanswered else status
        config = {
            "task": {
                "name": task, "split": "sample", "limit": None,
                "questions_fingerprint": asked.get(task, f"{task}q" * 20),
                "corpus_fingerprint": f"{task}c" * 20,
                "questions": questions, "passages": 5000,
            } | (task_config or {}),
            "method": {"name": method, "params": {"k": 5} | (params or {})},
            "model": {"name": "smollm2-135m", "dtype": "fp32"} | (model_config or {}),
            "seed": seed,
        }  # fmt: skip
        content = {
            "schema_version": 1, "run_id": "", "status": status, "config": config,
            "method_card": {"title": method.upper(), "oracle": oracle},
            "non_default_params": params or {}, "hardware": HARDWARE | (hardware or {}),
            "harness": {"version": "0.1.0", "git_commit": "0123456789abcdef"},
            "model_provenance": {"revision": "12fd25f7"}, "created": "2026-11-22",
            "task_provenance": {"source": "shipped"},
        } | (manifest or {})  # fmt: skip
        versions = [config, content["schema_version"], metrics_version]
        run_id = hashlib.sha256(json.dumps(versions, sort_keys=True).encode()).hexdigest()[:12]
        id_ = RunConfig.model_validate(config).run_id
        folder = tmp_path / "runs" / task / "method" / id_
        folder = folder.with_name(run_id) if folder.exists() else folder
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps(content | {"run_id": id_}))
        answers = b"{}\n" * (questions if answered is None else answered)
        if predictions is not None:
            answers = "".join(json.dumps(row) + "\n" for row in predictions).encode()
        (folder / "predictions.jsonl").write_bytes(answers)
        if unanswered:
            rows = [{"question_id": id_, "reason": "503"} for id_ in unanswered]
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / "unanswered.jsonl").write_text(text)
        if status in ("finished", "incomplete") and scored:
            lines = score_lines(questions, skill, seed, gold) if lines is None else lines
            lines = [line for line in lines if line["question_id"] not in unanswered]
            (folder / "scores.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
            sha = hashlib.sha256(answers).hexdigest()
            stamp = {"metrics_version": metrics_version, "predictions_sha256": sha}
            (folder / "scores.json").write_text(json.dumps(stamp))
            stamp_scores(folder)
        if costs is not None:
            (folder / "performance.json").write_text(json.dumps(costs))
        return folder

    return write


def score_line(question_id: str, em: float = 0.0, f1: float = 0.0, **more: Any) -> dict[str, Any]:
    """The scores of one question."""
    return {"question_id": question_id, "em": em, "f1": f1, "contains": em, "error": False, **more}


def prediction(
    question_id: str,
    ranked: Sequence[str] = (),
    read: Sequence[str] | None = None,
    error: str | None = None,
) -> dict[str, Any]:
    """One answer: what was retrieved and, if a step selected memories, which were read."""
    steps = [] if read is None else [{"kind": "select", "memories_read": list(read)}]
    return {
        "question_id": question_id, "answer": "", "raw": "", "retrieved_ids": list(ranked),
        "steps": [*steps, {"kind": "generate", "reply": ""}], "usage": {}, "error": error,
    }  # fmt: skip


@pytest.fixture
def write_gold(tmp_path: Path, asked: dict[str, str]) -> WriteGold:
    """Return a function that writes the gold of runs that follow on a task: ids by question."""

    def write(gold: Mapping[str, Sequence[str]], task: str = "nq") -> Path:
        rows = [
            {"id": id_, "question": "?", "golden_answers": ["x"], "gold_doc_ids": list(ids)}
            for id_, ids in gold.items()
        ]
        asked[task] = fingerprint_lines(rows)
        path = tmp_path / "runs" / task / f"questions-{asked[task][:12]}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(canonical_json(row) + "\n" for row in rows))
        return path

    return write


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The folder that ``write_run`` fills."""
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def example(runs: Path, write_run: WriteRun) -> Path:
    """Two tasks, several methods: seeds, an oracle, other hardware, gaps and a run under way."""
    for task, gold, n in (("nq", 1, 60), ("hotpotqa", 2, 40)):
        common: dict[str, Any] = {"task": task, "gold": gold, "questions": n}
        write_run("none", skill=-0.3, **common, costs={})
        write_run("bm25", **common, costs=performance(0.08, n))
        write_run("bm25", skill=0.05, params={"k": 10}, **common, costs=performance(0.13, n))
        for seed in range(3):
            costs = performance(1.4, n)
            write_run("parametric-qa", skill=-0.15, seed=seed, **common, costs=costs)
        write_run("gold-passages", skill=0.3, oracle=True, **common, costs=performance(0.04, n))
    other = {"fingerprint": "ffff00", "summary": "8 x AMD EPYC, 1 x A100", "device": "cuda:0"}
    write_run("dense", "nq", questions=60, skill=0.04, hardware=other, costs=performance(0.01, 60))
    write_run("ircot", "nq", questions=60, status="running", answered=17)
    return runs
