"""DPR: its table of passages, tables of questions, and retriever pools with gold."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from tests.harness.formats import published
from tests.harness.formats.published import RIVERS, TOWNS, array, asked, dpr_pool, text_of, tsv
from tests.harness.formats.reading import read, refused


def test_a_folder_is_asked_for_its_test_questions_over_its_passages(tmp_path: Path) -> None:
    found = read("dpr", published.dpr(tmp_path))
    assert [(p.id, p.title, p.text) for p in found.passages] == [
        (str(n), town, text_of(town)) for n, town in enumerate(TOWNS, 1)
    ]
    assert [(q.id, q.text, q.golden_answers, q.gold_doc_ids) for q in found.asked("questions")] == [
        (f"nq-test-{n}", asked(town), (RIVERS[town], f'the "{RIVERS[town]}"'), ())
        for n, town in enumerate(TOWNS[:3])
    ]
    # Of train there are a table and pools: the pools, which mark gold.
    assert [(q.id, q.gold_doc_ids) for q in found.asked("train")] == [
        ("biencoder-nq-train-0", ("5",))
    ]
    assert found.dropped == {}


def test_pools_mark_gold_and_are_a_corpus_where_no_table_is(tmp_path: Path) -> None:
    found = read("dpr", published.dpr(tmp_path), split="dev")
    assert [q.gold_doc_ids for q in found.asked("questions")] == [("1",), ("2",)]
    assert len(found.passages) == len(TOWNS)
    (tmp_path / "psgs_w100.tsv").unlink()
    found = read("dpr", tmp_path / "biencoder-nq-dev.json")
    assert {p.id: p.text for p in found.passages} == {
        str(n): text_of(town) for n, town in enumerate(TOWNS[:4], 1)
    }
    pools = published.plain(tmp_path / "own" / "dev.json", array([dpr_pool(0, ids=False)]))
    found = read("dpr", pools)
    gold = [p for p in found.passages if p.id in found.asked("questions")[0].gold_doc_ids]
    assert [p.title for p in gold] == [TOWNS[0]]


def test_the_table_alone_wants_questions_and_they_want_it(tmp_path: Path) -> None:
    published.dpr(tmp_path / "a")
    table, questions = tmp_path / "a/psgs_w100.tsv", tmp_path / "q" / "nq-test.qa.csv"
    questions.parent.mkdir()
    (tmp_path / "a/nq-test.qa.csv").rename(questions)
    assert refused("dpr", table).endswith("-o questions=FILE, or the folder of both as SOURCE")
    assert refused("dpr", questions).endswith("or give it: -o corpus=FILE")
    one, other = read("dpr", table, questions=questions), read("dpr", questions, corpus=table)
    assert one.items == other.items
    (tmp_path / "a/more.tsv").write_bytes(b"id\ttext\ttitle\n")
    error = refused("dpr", tmp_path / "a", split="dev")
    assert "has several .tsv files (more.tsv, psgs_w100.tsv)" in error


def test_answers_are_read_as_a_literal_and_never_run(tmp_path: Path) -> None:
    published.dpr(tmp_path)
    path = tmp_path / "nq-test.qa.csv"
    ran = tmp_path / "ran"
    code = f"[open({str(ran)!r}, 'w').write('x')]"
    for bad in (code, "[" * 40_000, "['a'", "['a', 1]", "{}", "['" + "a" * 100_001 + "']"):
        path.write_bytes(tsv([[asked(TOWNS[0]), "['a']"], [asked(TOWNS[1]), bad]]))
        assert refused("dpr", tmp_path).startswith(f"{path}:2: "), bad[:40]
    assert not ran.exists()
    path.write_bytes(b"no tab\n")
    assert refused("dpr", tmp_path).startswith(f"{path}:1: has no tab; expected a question, a tab")
    path.write_bytes(b"\"open\t['a']\n")
    assert refused("dpr", tmp_path).startswith(f"{path}:1: not a row of a table")
    # CuratedTREC's answers are patterns.
    path.write_bytes(tsv([[asked(TOWNS[0]), r"['1\d{3}', 'o\'clock']"], [asked(TOWNS[1]), "[]"]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read("dpr", tmp_path)
    assert found.asked("questions")[0].golden_answers == (r"1\d{3}", "o'clock")
    assert found.dropped == {"questions without an answer": 1}


def test_a_wrong_passage_is_named(tmp_path: Path) -> None:
    published.dpr(tmp_path)
    path = tmp_path / "psgs_w100.tsv"
    path.write_bytes(b"id\ttext\n1\ta\n")
    assert refused("dpr", tmp_path).startswith(f"{path}:2: has no 'title' (it has: id, text)")
    path.write_bytes(b"id\ttext\ttitle\n1\ta\tb\n\tc\td\n")
    assert refused("dpr", tmp_path).startswith(f"{path}:3: 'id' is blank; expected an id")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": None}, "has no 'question'"),
        ({"answers": {}}, "'answers' holds an object; expected a string or a list"),
        ({"positive_ctxs": [{"title": "a"}]}, ", positive_ctxs[0]: has no 'text'"),
        ({"hard_negative_ctxs": "a"}, "'hard_negative_ctxs' is no list of objects"),
    ],
)
def test_a_wrong_pool_is_named(tmp_path: Path, change: dict, message: str) -> None:
    path = published.plain(tmp_path / "dev.json", array([dpr_pool(0), {**dpr_pool(1), **change}]))
    error = refused("dpr", path)
    assert error.removeprefix(f"{path}[1]").removeprefix(": ").startswith(message), error
