"""Splits kept as Parquet read as the same rows in JSON Lines do."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub
import pytest

from harness.data.parquet import as_json_lines
from harness.data.task import Task, load_task
from harness.errors import InputError

CARD = """
name: toy
title: Toy
hub:
  repo: someone/datasets
  folder: toyqa
  splits: {{train: train.{kind}, dev: dev.{kind}}}
  corpus: corpus.{kind}
"""
QUESTIONS = [
    {"id": "q1", "question": "où?", "golden_answers": ["me"], "metadata": {"gold_doc_ids": ["d1"]}},
    {
        "id": "q2",
        "question": "who?",
        "golden_answers": ["a", "b"],
        "metadata": {"gold_doc_ids": []},
    },
]
FILES = {
    "toyqa/dev": QUESTIONS,
    "toyqa/train": [{**QUESTIONS[0], "id": "t1"}],
    "corpus": [{"id": "d1", "contents": "T\none"}, {"id": "d2", "contents": "T\ntwo"}],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same rows in both formats."""
    from datasets import Dataset

    root = tmp_path_factory.mktemp("data")
    (root / "toyqa").mkdir()
    for name, rows in FILES.items():
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        Dataset.from_list(rows).to_parquet(root / f"{name}.parquet")
    return root


def task_of(kind: str, folder: Path) -> Task:
    place = folder / kind
    place.mkdir()
    (place / "task.yaml").write_text(CARD.format(kind=kind))
    return Task.from_folder(place)


@pytest.mark.parametrize("where", ["hub", "folder"])
def test_parquet_splits_are_the_same_questions(folder, tmp_path, monkeypatch, where):
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda repo, name, **_: str(folder / name)
    )
    local = {"data_dir": folder} if where == "folder" else {}
    one, other = (
        load_task(task_of(kind, tmp_path), split="dev", **local) for kind in ("jsonl", "parquet")
    )
    assert one.questions == other.questions
    assert one.train == other.train != ()
    assert one.questions_fingerprint == other.questions_fingerprint
    assert one.corpus_fingerprint == other.corpus_fingerprint


def test_a_file_is_converted_once_and_again_when_it_changes(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path))
    lines = as_json_lines(folder / "corpus.parquet")
    written = lines.stat()
    assert as_json_lines(folder / "corpus.parquet") == lines
    assert lines.stat() == written
    assert as_json_lines(folder / "toyqa/dev.parquet") != lines


def test_what_is_not_parquet_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path / "cache"))
    broken = tmp_path / "dev.parquet"
    broken.write_bytes(b"rows")
    with pytest.raises(InputError) as caught:
        as_json_lines(broken)
    assert str(caught.value).startswith(f"{broken}: cannot read it as Parquet (")
    assert "\n" not in str(caught.value)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
