"""Splits kept as Parquet read as the same rows in JSON Lines do."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub
import pytest

from harness.data.card import custom_task
from harness.data.corpus import Corpus
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
    "toyqa/train": [{**QUESTIONS[0], "id": "t1", "question": "quand?"}],
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


@pytest.mark.parametrize("kind", ["questions", "train", "corpus"])
def test_a_file_of_ones_own_may_be_parquet_and_is_named_with_its_row(folder, tmp_path, kind):
    from datasets import Dataset

    names = {"questions": "toyqa/dev", "train": "toyqa/train", "corpus": "corpus"}
    files = {part: folder / f"{name}.parquet" for part, name in names.items()}
    data = load_task(custom_task("mine"), **files)
    assert (len(data.questions), len(data.train), len(data.corpus)) == (2, 1, 2)
    assert data.corpus[1].text == "two"
    assert data.provenance[kind] == str(files[kind])
    broken = [{**row, "id": "same"} for row in [*FILES[names[kind]], *FILES[names[kind]]]]
    files[kind] = tmp_path / "broken.parquet"
    Dataset.from_list(broken).to_parquet(files[kind])
    with pytest.raises(InputError) as caught:
        load_task(custom_task("mine"), **files)
    problem = f"{files[kind]}: row 2: 'id' 'same' was already used on row 1; give each "
    assert str(caught.value).startswith(problem)


def test_a_leak_in_parquet_is_named_with_its_row(folder, tmp_path):
    from datasets import Dataset

    train = tmp_path / "train.parquet"
    Dataset.from_list([*FILES["toyqa/train"], {**QUESTIONS[1], "id": "t9"}]).to_parquet(train)
    files = {"questions": folder / "toyqa/dev.jsonl", "corpus": folder / "corpus.jsonl"}
    data = load_task(custom_task("mine"), **files, train=train)
    assert data.provenance["train_left_out"].endswith(f"the first 't9' ({train}: row 2)")


def test_parquet_under_another_name_is_named_as_such(folder, tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_bytes((folder / "corpus.parquet").read_bytes())
    with pytest.raises(InputError, match="is a Parquet file; give it a name that ends in .parq"):
        load_task(custom_task("mine"), questions=folder / "toyqa/dev.jsonl", corpus=path)


def test_numbers_are_ids_and_other_numbers_are_told_of_the_column_and_not_of_quotes(tmp_path):
    from datasets import Dataset

    path = tmp_path / "c.parquet"
    Dataset.from_list([{"id": 1, "contents": "T"}]).to_parquet(path)
    assert list(Corpus.open(path).ids) == ["1"]
    Dataset.from_list([{"id": 1.5, "contents": "T"}]).to_parquet(path)
    with pytest.raises(InputError, match="row 1: 'id' is a number; store the column as strings$"):
        Corpus.open(path)


def test_missing_parquet_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.parquet: file not found; check the path"):
        load_task(custom_task("mine"), questions=tmp_path / "gone.parquet", corpus=tmp_path)


def test_what_is_not_parquet_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path / "cache"))
    broken = tmp_path / "dev.parquet"
    broken.write_bytes(b"rows")
    with pytest.raises(InputError) as caught:
        as_json_lines(broken)
    assert str(caught.value).startswith(f"{broken}: cannot read it as Parquet (")
    assert "\n" not in str(caught.value)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
