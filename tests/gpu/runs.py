"""One run of each method on the device, with models of random weights, as ``run`` does it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console

from harness.boards.config import parse_board
from harness.boards.method_entry import load_method
from harness.boards.run import plan_runs, run_plans
from harness.data.task import TaskData
from harness.errors import ConfigError, HarnessError
from harness.registry import load_plugin, names
from harness.runs.flashrag_package import require_flashrag
from harness.testing.models import small_task
from tests.gpu.models import SEED, Folders
from tests.gpu.report import Found

QUESTIONS = 2
LEFT_OUT = {"corag": "needs its authors' prompts, which a user gives"}
CHOOSE = ("self-rag-prompted", "adaptive-rag-llm-router")
SHORT = {
    "max_tokens": 8,
    "max_steps": 2,
    "max_path_length": 1,
    "tries": 1,
    "sub_query_tokens": 8,
    "sub_answer_tokens": 8,
    "silver_questions": 4,
    "epochs": 1,
    "questions": 2,
}
ENCODER = "gpu-check-encoder"
SETTINGS = {"query_prefix": "", "passage_prefix": "", "normalize": True}


def check_runs(device: str, folders: Folders) -> Found:
    """Every registered method answers every question without an error."""
    _register_encoder(folders)
    files = write_task(folders.work / "task", small_task())
    left_out = _left_out()
    asked = [name for name in names("methods") if name not in left_out]
    rows = {name: _row(name, device, folders, files) for name in asked}
    return Found(
        all(row.get("answered") == QUESTIONS for row in rows.values()),
        model="tiny models of random weights",
        n=QUESTIONS,
        seed=SEED,
        facts={**rows, **{name: f"left out: {why}" for name, why in left_out.items()}},
    )


def _left_out() -> dict[str, str]:
    """Methods that cannot run here, and why; a bare machine has no FlashRAG."""
    found = {name: why for name, why in LEFT_OUT.items() if name in names("methods")}
    try:
        require_flashrag()
    except ConfigError as error:
        found["flashrag"] = str(error)
    return found


def _row(name: str, device: str, folders: Folders, files: Mapping[str, str]) -> Mapping[str, Any]:
    start = perf_counter()
    try:
        (run,) = _run(name, device, folders, files)
    except HarnessError as error:
        return {"answered": 0, "error": str(error)}
    lines = (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    errors = [row["error"] for row in map(json.loads, lines) if row["error"]]
    measured = json.loads((run / "performance.json").read_text(encoding="utf-8"))
    row = {
        "answered": len(lines) - len(errors),
        "seconds": perf_counter() - start,
        **{f"memory_{key}": value for key, value in measured["memory"].items()},
    }
    return {**row, "error": errors[0]} if errors else row


def _run(name: str, device: str, folders: Folders, files: Mapping[str, str]) -> list[Path]:
    board = {
        "name": "gpu-check",
        "tasks": [{"name": "small", "files": files}],
        "methods": [{"name": name, "params": _params(name, folders)}],
        "models": [_model(name, folders)],
        "seeds": [SEED],
        "limit": QUESTIONS,
        "latency": {"queries": 1, "warmup": 0},
    }
    plans = plan_runs(parse_board(board, "gpu-check"), device)
    return run_plans(plans, folders.work / "runs", Console(file=StringIO()), device=device)


def _params(name: str, folders: Folders) -> dict[str, Any]:
    """What a method needs to run, and to run soon, on a machine with nothing but tiny models."""
    defaults = load_method(name).Params().model_dump()
    params = {key: value for key, value in SHORT.items() if key in defaults}
    if defaults.get("retriever", "bm25") != "bm25":
        params["retriever"] = ENCODER
    if "shared" in defaults:
        params["shared"] = None
    if "router" in defaults:
        params |= {"router": str(folders.encoder), "bias_tasks": [], "epochs": 1}
    return params


def _model(name: str, folders: Folders) -> dict[str, Any]:
    if name == "self-rag":
        return {"path": str(folders.self_rag), "trained_for": ["self-rag"]}
    if name == "corag-reworded":
        trained = {"prompt_style": "chat", "trained_for": ["corag"]}
        return {"path": str(folders.chat), **trained}
    if name in CHOOSE:
        # After a space, a tiny tokenizer cannot tell "Yes" from "No"; in a chat there is none.
        return {"path": str(folders.chooser), "prompt_style": "chat"}
    return {"path": str(folders.random), "prompt_style": "completion"}


def _register_encoder(folders: Folders) -> None:
    """A plug-in with the tiny encoder, as a user would add one."""
    entry = {"path": str(folders.encoder), "settings": SETTINGS}
    plugin = folders.work / "gpu_check_encoder.py"
    plugin.write_text(f"ENCODERS = {{{ENCODER!r}: {entry!r}}}\n", encoding="utf-8")
    load_plugin(str(plugin))


def write_task(folder: Path, data: TaskData) -> dict[str, str]:
    """A task as the files that a user would give: questions, train questions and a corpus."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {
        "questions": map(_question, data.questions),
        "train": map(_question, data.train),
        "corpus": ({"id": p.id, "contents": f"{p.title}\n{p.text}"} for p in data.corpus),
    }
    return {name: str(_lines(folder / f"{name}.jsonl", found)) for name, found in rows.items()}


def _question(question: Any) -> dict[str, Any]:
    return {
        "id": question.id,
        "question": question.text,
        "golden_answers": list(question.golden_answers),
        "metadata": {"gold_doc_ids": list(question.gold_doc_ids), "hops": 1},
    }


def _lines(path: Path, rows: Iterator[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path
