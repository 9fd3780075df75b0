"""Files that the acts read: a small task, a tiny model and encoder, recipes, a board, a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from harness.registry import register
from tests.harness.lab import write_lines, write_task
from tests.methods.adaptive_lab import build_tiny_encoder
from tests.tiny import build_tiny_model

QUESTIONS = 2
"""Beside six train questions; each has a passage."""
RECIPE: dict[str, Any] = {
    "model": "smollm2-135m-instruct",  # acts name the tiny one
    "tasks": ["nq"],
    "dtype": "float32",
    "checkpoint_every": 1,
    "validate_every": 2,
    "validation_questions": 2,
}
SHARED = {
    **RECIPE, "slots": 2, "z_dim": 64, "steps": 2, "batch": 2, "memories": [1],
    "selection": {"steps": 2, "batch": 2, "random": 2},
}  # fmt: skip
RECIPES = {
    "shared": {**SHARED, "tuning": {"rank": 2}},
    "tokens": {**SHARED, "slots": 24, "picks": True, "tuning": {"rank": 2, "parts": False}},
    "bridge": {
        **RECIPE,
        "encoder": "tiny",
        "pretraining": {"steps": 2, "batch": 2, "learning_rate": 1e-3, "longest": 4},
        "tuning": {"steps": 2, "batch": 2, "learning_rate": 1e-3, "taught": 2, "shots": 1},
        "measured": 2,
    },
}


def write_files(folder: Path) -> Path:
    """Write everything that the acts read, and have the tiny encoder known by name."""
    for place in (folder, folder / "task" / "sample"):
        _add_hops(write_task(place, QUESTIONS) / "train.jsonl")
    (folder / "task" / "task.yaml").write_text("name: toy\ntitle: Toy\n")
    model = build_tiny_model(folder / "model")
    (model / "chat_template.jinja").unlink()
    encoder = build_tiny_encoder(folder / "encoder")
    settings = {"query_prefix": "", "passage_prefix": "", "normalize": True}
    register("encoders", "tiny", {"path": str(encoder), "settings": settings})
    for name, recipe in RECIPES.items():
        _write_yaml(folder / f"{name}.yaml", {"name": name, **recipe})
    _write_yaml(folder / "board.yaml", _board(folder))
    _write_table(folder / "table")
    return folder


def _add_hops(path: Path) -> None:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_lines(path, [{**row, "metadata": {**row["metadata"], "hops": 1}} for row in rows])


def _board(folder: Path) -> dict[str, Any]:
    paths = {kind: str(folder / f"{kind}.jsonl") for kind in ("questions", "corpus", "train")}
    return {
        "name": "small",
        "tasks": [{"name": "toy", "files": paths}],
        "methods": ["no-retrieval", "packed-text"],
        "models": [f"path:{folder / 'model'}"],
        "timings": False,
    }


def _write_table(folder: Path) -> None:
    folder.mkdir()
    (folder / "corpus.csv").write_text("id,title,text\n1,Moon,The Eagle landed in 1969.\n")
    (folder / "questions.csv").write_text("id,question,answers,gold\n7,When did it land?,1969,1\n")


def _write_yaml(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(json.loads(json.dumps(content))), encoding="utf-8")
