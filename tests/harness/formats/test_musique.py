"""MuSiQue: hops with their passages, aliases, and what Full adds left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.records import Question
from methods.decomposition import hops_of
from tests.harness.formats import published
from tests.harness.formats.published import RIVERS, TOWNS, array, asked, lines, musique_row, text_of
from tests.harness.formats.reading import read, refused


def test_full_gives_what_ans_does_and_counts_the_rest(tmp_path: Path) -> None:
    full = read("musique", published.musique(tmp_path / "full"))
    ans = tmp_path / "ans.jsonl"
    ans.write_bytes(lines([musique_row(0), musique_row(1)]))
    assert full.asked("questions") == read("musique", ans).asked("questions")
    assert [q.id for q in full.asked("train")] == ["2hop__4"]
    assert full.dropped == {"questions that are marked as unanswerable": 1}
    tests = read("musique", tmp_path / "full", split="test")
    assert tests.dropped == {"questions without an answer": 1}
    assert len(tests.passages) == 8


def test_a_question_has_aliases_hops_and_its_gold_by_hop(tmp_path: Path) -> None:
    found = read("musique", published.musique(tmp_path))
    ids = {p.title: p.id for p in found.passages}
    assert {p.title: p.text for p in found.passages} == {t: text_of(t) for t in TOWNS}
    first = found.asked("questions")[0]
    river = RIVERS[TOWNS[0]]
    assert first.golden_answers == (river, f"the {river}")
    assert first.gold_doc_ids == (ids[TOWNS[2]], ids[TOWNS[0]])
    assert first.metadata["hops"] == 2
    assert first.metadata["context_doc_ids"] == [ids[town] for town in TOWNS[:4]]
    assert list(hops_of(first)) == [
        {"question": asked(town), "answer": RIVERS[town], "support_doc_id": ids[town]}
        for town in (TOWNS[2], TOWNS[0])
    ]


def test_support_that_no_hop_names_is_gold_too(tmp_path: Path) -> None:
    row = {**musique_row(0), "question_decomposition": []}
    path = tmp_path / "dev.json"
    path.write_bytes(array([row]))
    question: Question = read("musique", path).asked("questions")[0]
    assert len(question.gold_doc_ids) == question.metadata["hops"] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"paragraphs": None}, "has no 'paragraphs'"),
        ({"paragraphs": ["a"]}, "'paragraphs' is no list of objects"),
        ({"paragraphs": [{"title": "a"}]}, ", paragraphs[0]: has no 'paragraph_text' (it has: ti"),
        ({"question": ["a"]}, "'question' is a list; expected a string"),
        ({"question_decomposition": [{"question": "?"}]}, ", question_decomposition[0]: has no 'a"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "dev.jsonl"
    path.write_bytes(lines([musique_row(0), {**musique_row(1), **change}]))
    error = refused("musique", path)
    assert error.removeprefix(f"{path}:2").removeprefix(": ").startswith(message), error
