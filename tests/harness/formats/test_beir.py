"""BEIR: judgements of a split, answers where the dataset or a file has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.formats import published
from tests.harness.formats.published import RIVERS, TOWNS, asked, lines, text_of, tsv
from tests.harness.formats.reading import read, refused

HEADER = ["query-id", "corpus-id", "score"]


def test_the_split_is_asked_and_train_is_shown(tmp_path: Path) -> None:
    found = read("beir", published.beir(tmp_path))
    assert [(p.id, p.title, p.text) for p in found.passages] == [
        (f"d{n}", town, text_of(town)) for n, town in enumerate(TOWNS)
    ]
    assert [(q.id, q.text, q.golden_answers, q.gold_doc_ids) for q in found.asked("questions")] == [
        ("0", asked(TOWNS[0]), (RIVERS[TOWNS[0]],), ("d0", "d4")),
        ("1", asked(TOWNS[1]), (RIVERS[TOWNS[1]],), ("d1",)),
    ]
    assert [q.id for q in found.asked("train")] == ["3"]
    assert found.dropped == {
        "passages without a text": 1,
        "judgements of queries that are not in queries.jsonl": 1,
    }
    train = read("beir", tmp_path, split="train")
    assert [q.id for q in train.asked("questions")] == ["3"]
    assert train.asked("train") == []


def without_answers(folder: Path) -> Path:
    published.beir(folder)
    rows = [{"_id": f"{n}", "text": asked(t), "metadata": {}} for n, t in enumerate(TOWNS)]
    (folder / "queries.jsonl").write_bytes(lines(rows))
    return folder


def test_a_set_without_answers_says_how_to_give_them(tmp_path: Path) -> None:
    source = without_answers(tmp_path / "nq")
    error = refused("beir", source)
    assert error.startswith(f"{source / 'queries.jsonl'}: none of 3 judged queries has an answer")
    assert error.endswith("-o answers=FILE")
    # NQ-open has no ids: by the question's text, whatever its case and punctuation.
    answers = tmp_path / "NQ-open.dev.jsonl"
    answers.write_bytes(
        lines([{"question": asked(TOWNS[0]).lower().rstrip("?"), "answer": ["Osk"]}])
    )
    found = read("beir", source, answers=answers)
    assert [q.golden_answers for q in found.asked("questions")] == [("Osk",)]
    assert found.dropped["questions without an answer"] == 2
    answers.write_bytes(
        lines([{"id": 1, "answers": "Lemm"}, {"_id": "3", "golden_answers": ["a"]}])
    )
    found = read("beir", source, answers=answers)
    assert [q.golden_answers for q in found.asked("questions")] == [("Lemm",)]
    assert [q.golden_answers for q in found.asked("train")] == [("a",)]


def test_what_is_not_there_is_named_with_what_is(tmp_path: Path) -> None:
    source = published.beir(tmp_path)
    error = refused("beir", source, split="dev")
    assert error.startswith(f"{source / 'qrels/dev.tsv'}: not there (test.tsv, train.tsv); ")
    (source / "corpus.jsonl").unlink()
    error = refused("beir", source)
    assert error.startswith(f"{source / 'corpus.jsonl'}: not there (qrels, queries.jsonl)")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("qrels/test.tsv", tsv([["0", "d0", "1"], ["1", "d1", "2"]]), ":2: has no 'query-id'"),
        (
            "qrels/test.tsv",
            tsv([HEADER, ["0", "d0", "good"]]),
            ":2: 'score' is 'good'; expected a n",
        ),
        ("qrels/test.tsv", tsv([HEADER, ["0", "d0"]]), ":2: has 2 fields and the first line 3"),
        ("corpus.jsonl", lines([{"id": "d0", "text": "a"}]), ":1: has no '_id' (it has: id, text)"),
        ("corpus.jsonl", lines([{"_id": "d0", "text": 3}]), ":1: 'text' is a number; expected a s"),
        (
            "queries.jsonl",
            lines([{"_id": "0", "query": "a"}]),
            ":1: has no 'text' (it has: _id, qu",
        ),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    source = published.beir(tmp_path)
    (source / name).write_bytes(content)
    assert refused("beir", source).startswith(f"{source / name}{message}")
