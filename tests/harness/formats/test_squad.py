"""SQuAD: articles or rows, gold the paragraph; impossible questions are left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.formats import published
from tests.harness.formats.published import (
    RIVERS,
    TOWNS,
    array,
    asked,
    lines,
    squad_article,
    text_of,
)
from tests.harness.formats.reading import read, refused


def test_articles_give_paragraphs_and_what_can_be_answered(tmp_path: Path) -> None:
    found = read("squad", published.squad(tmp_path))
    assert {(p.title, p.text) for p in found.passages} == {
        ("Towns of Umbra", text_of(town)) for town in (*TOWNS[:3], *TOWNS[4:6])
    }
    by_id = {p.id: p.text for p in found.passages}
    assert [
        (q.id, q.text, q.golden_answers, [by_id[g] for g in q.gold_doc_ids], q.metadata)
        for q in found.asked("questions")
    ] == [(f"56{t}", asked(t), (RIVERS[t],), [text_of(t)], {"hops": 1}) for t in TOWNS[:3]]
    assert [q.id for q in found.asked("train")] == [f"56{t}" for t in TOWNS[4:6]]
    assert found.dropped == {"questions that are marked as unanswerable": 5}


def test_version_one_and_the_hubs_rows_give_the_same(tmp_path: Path) -> None:
    expected = read("squad", published.squad(tmp_path)).asked("questions")
    one = tmp_path / "KorQuAD_v1.0_dev.json"
    one.write_bytes(array({"version": "1.1", "data": [squad_article(TOWNS[:3], two=False)]}))
    found = read("squad", one)
    assert (found.asked("questions"), found.dropped) == (expected, {})
    rows = [
        {"id": f"56{t}", "title": "Towns_of_Umbra", "context": text_of(t), "question": asked(t),
         "answers": {"text": [RIVERS[t]] * 2, "answer_start": [1, 1]}}
        for t in TOWNS[:3]
    ]  # fmt: skip
    none = {**rows[0], "id": "57", "answers": {"text": [], "answer_start": []}}
    hub = tmp_path / "validation.jsonl"
    hub.write_bytes(lines([*rows, none]))
    found = read("squad", hub)
    assert found.asked("questions") == expected
    assert found.dropped == {"questions without an answer": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (array({"version": "2"}), 'has no rows under "data"'),
        (array({"data": [{"title": "a"}]}), "[0]: has no 'paragraphs' (it has: title)"),
        (
            array(
                {"data": [{"paragraphs": [{"context": "a", "qas": [{"id": 1, "question": "?"}]}]}]}
            ),
            "[0], paragraphs[0], qas[0]: has no 'answers'",
        ),
        (
            array(
                {"data": [{"paragraphs": [{"context": "a", "qas": [{"answers": [{"text": 1}]}]}]}]}
            ),
            "[0], paragraphs[0], qas[0], answers[0]: 'text' holds a number",
        ),
        (b'{"data": [{"title"', "[0]: not valid JSON"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "dev.json"
    path.write_bytes(content)
    error = refused("squad", path)
    assert error.removeprefix(str(path)).removeprefix(": ").startswith(message), error
