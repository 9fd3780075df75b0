"""HotpotQA and 2WikiMultiHopQA: every published variant gives the same questions and passages."""

from __future__ import annotations

import json
from hashlib import sha1
from pathlib import Path

import pytest

from harness.formats.base import Asked
from tests.harness.formats import published
from tests.harness.formats.published import (
    RIVERS,
    TOWNS,
    array,
    hotpot_row,
    in_columns,
    lines,
    text_of,
    wiki_row,
)
from tests.harness.formats.reading import read, refused


def id_of(source: str, town: str) -> str:
    contents = f"{town}\n{text_of(town)}"
    return f"{source}-{sha1(contents.encode()).hexdigest()[:12]}"


def test_a_folder_is_asked_for_dev_and_shows_train(tmp_path: Path) -> None:
    found = read("hotpotqa", published.hotpotqa(tmp_path))
    assert [q.id for q in found.asked("questions")] == ["5a000", "5a001"]
    assert [q.id for q in found.asked("train")] == ["5a003"]
    first = found.asked("questions")[0]
    assert first.golden_answers == (RIVERS[TOWNS[1]],)
    assert first.gold_doc_ids == (id_of("hotpot", TOWNS[1]), id_of("hotpot", TOWNS[0]))
    assert first.metadata == {
        "type": "comparison",
        "level": "hard",
        "supporting_facts": {"title": [TOWNS[1], TOWNS[0], TOWNS[1]], "sent_id": [1, 0, 0]},
        "hops": 2,
        "context_doc_ids": [id_of("hotpot", town) for town in TOWNS[3::-1]],
    }
    assert {p.id: (p.title, p.text) for p in found.passages} == {
        id_of("hotpot", town): (town, text_of(town)) for town in TOWNS[:7]
    }
    assert found.dropped == {}


@pytest.mark.parametrize(
    ("name", "columns"),
    [("rows.jsonl", False), ("rows.json", True), ("rows.jsonl", True), ("rows.parquet", True)],
)
def test_every_variant_gives_the_same(tmp_path: Path, name: str, columns: bool) -> None:
    expected = read("hotpotqa", published.plain(tmp_path / "a.json", array([hotpot_row(0)])))
    row = in_columns(hotpot_row(0)) if columns else hotpot_row(0)
    path = tmp_path / name
    if name.endswith("parquet"):
        import pandas as pd

        pd.DataFrame([row]).to_parquet(path)
    else:
        path.write_bytes(array([row]) if name == "rows.json" else lines([row]))
    assert read("hotpotqa", path).items == expected.items


def test_equal_paragraphs_are_those_of_the_shipped_sample() -> None:
    """The ids of the sample were made by another program of the same published files."""
    from harness.formats.fields import paragraph

    for source, task in (("hotpot", "hotpotqa"), ("musique", "musique")):
        sample = Path(__file__).parents[3] / f"tasks/{task}/sample/corpus.jsonl"
        rows = [json.loads(line) for line in sample.open(encoding="utf-8").readlines()[:50]]
        for row in rows:
            assert paragraph(source, *row["contents"].split("\n", 1)).id == row["id"]


def test_paragraphs_that_differ_in_white_space_are_one(tmp_path: Path) -> None:
    wide = hotpot_row(0)
    wide["context"] = [[f" {title}", [*texts, " \n"]] for title, texts in wide["context"]]
    path = published.plain(tmp_path / "dev.json", array([hotpot_row(0), wide]))
    found = read("hotpotqa", path)
    assert found.passages[:4] == found.passages[4:]
    one, other = found.asked("questions")
    assert one == other


def test_gold_is_whole_or_none(tmp_path: Path) -> None:
    """A fullwiki context may lack a supporting paragraph: half the gold would be easier to find."""
    row = hotpot_row(0)
    row["context"] = [pair for pair in row["context"] if pair[0] != TOWNS[0]]
    found = read("hotpotqa", published.plain(tmp_path / "dev.json", array([row, hotpot_row(1)])))
    assert [len(q.gold_doc_ids) for q in found.asked("questions")] == [0, 2]
    assert found.asked("questions")[0].metadata["hops"] == 2
    assert list(found.dropped.values()) == [1]
    assert "not all in their context" in next(iter(found.dropped))


def test_what_has_no_answer_is_counted_and_its_paragraphs_stay(tmp_path: Path) -> None:
    published.hotpotqa(tmp_path)
    blank = {**hotpot_row(0), "question": " "}
    empty = {**hotpot_row(1), "context": [*hotpot_row(1)["context"], ["", []]]}
    found = read("hotpotqa", published.plain(tmp_path / "x.json", array([blank, empty])))
    assert found.dropped == {"questions without a text": 1, "passages without a text": 1}
    found = read("hotpotqa", tmp_path, split="test")
    assert [q.id for q in found.asked("questions")] == []
    assert found.dropped == {"questions without an answer": 1}
    assert len(found.passages) == 8


def test_which_file_is_which_is_asked_when_it_cannot_be_known(tmp_path: Path) -> None:
    published.hotpotqa(tmp_path)
    (tmp_path / "hotpot_dev_fullwiki_v1.json").write_bytes(array([hotpot_row(4)]))
    error = refused("hotpotqa", tmp_path)
    assert "several files are of split 'dev' (hotpot_dev_distractor_v1.json, hotpot_dev_f" in error
    assert "-o only=TEXT" in error
    found = read("hotpotqa", tmp_path, only="fullwiki")
    assert [q.id for q in found.asked("questions")] == ["5a004"]
    assert found.asked("train") == []
    train = tmp_path / "hotpot_train_v1.1.json"
    found = read("hotpotqa", tmp_path / "hotpot_dev_fullwiki_v1.json", train=train)
    assert [i.part for i in found.items if isinstance(i, Asked)] == ["questions", "train"]
    assert "is no folder and asked whole; leave out -o only" in refused(
        "hotpotqa", train, only="train"
    )
    assert "no .json/.jsonl/.parquet file with 'lab' in its name" in refused(
        "hotpotqa", tmp_path, split="lab"
    )


def test_a_split_in_numbered_files_is_all_of_them(tmp_path: Path) -> None:
    for n in range(3):
        name = f"validation-{n:05}-of-00003.jsonl"
        (tmp_path / name).write_bytes(lines([in_columns(hotpot_row(n))]))
    published.gz(tmp_path / "validation-00001-of-00003.jsonl", b"a copy that is not read")
    found = read("hotpotqa", tmp_path)
    assert [q.id for q in found.asked("questions")] == ["5a000", "5a001", "5a002"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": None}, "has no 'question' (it has: _id, answer, context"),
        ({"_id": None}, "has no '_id' or 'id'"),
        ({"_id": " "}, "'_id' is blank; expected an id"),
        ({"answer": 4}, "'answer' holds a number; expected a string or a list of strings"),
        ({"context": None}, "has no 'context'"),
        ({"context": [["a"]]}, "'context' is not a list of pairs"),
        ({"context": [["a", [1]]]}, "'context'[0] is not [title, [sentences]]"),
        ({"context": "[1"}, "'context' is not valid JSON"),
        ({"context": {"title": ["a"], "sentences": []}}, "'context' does not have two columns"),
        ({"supporting_facts": [[3, 1]]}, "'supporting_facts' is not [[title, sentence]]"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "dev.json"
    path.write_bytes(array([hotpot_row(0), {**hotpot_row(1), **change}]))
    assert refused("hotpotqa", path).startswith(f"{path}[1]: {message}")


def test_2wiki_has_other_names_of_answers_and_evidences(tmp_path: Path) -> None:
    found = read("2wikimultihopqa", published.two_wiki(tmp_path))
    first, second = found.asked("questions")
    # As 2wikimultihop_evaluate_v1.1.py accepts them.
    assert first.golden_answers == ("Lemm", "River Lemm", "Lemmish")
    assert second.golden_answers == (RIVERS[TOWNS[2]],)
    assert first.gold_doc_ids == (id_of("2wiki", TOWNS[1]), id_of("2wiki", TOWNS[0]))
    assert first.metadata["evidences"] == wiki_row(0)["evidences"]
    assert first.metadata["entity_ids"] == "Q0_Q1"
    assert first.metadata["hops"] == 2
    assert {p.text for p in found.passages} == {text_of(town) for town in TOWNS[:7]}
    (tmp_path / "id_aliases.json").rename(tmp_path / "names.json")
    assert read("2wikimultihopqa", tmp_path).asked("questions")[0].golden_answers == ("Lemm",)
    named = read("2wikimultihopqa", tmp_path, aliases=tmp_path / "names.json")
    assert named.items == found.items


def test_2wiki_in_the_hubs_columns_gives_the_same(tmp_path: Path) -> None:
    expected = read("2wikimultihopqa", published.plain(tmp_path / "d.json", array([wiki_row(0)])))
    texts = {
        name: json.dumps(value) if isinstance(value, list) else value
        for name, value in wiki_row(0).items()
    }
    path = tmp_path / "dev.parquet"
    import pandas as pd

    pd.DataFrame([texts]).to_parquet(path)
    assert read("2wikimultihopqa", path).items == expected.items
    row = in_columns({**wiki_row(0), "level": None}, "content")
    row |= {
        name: wiki_row(0)[name] for name in ("entity_ids", "answer_id", "evidences", "evidences_id")
    }
    path = published.plain(tmp_path / "dev.jsonl", lines([row]))
    assert read("2wikimultihopqa", path).items == expected.items
