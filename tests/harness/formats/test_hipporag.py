"""HippoRAG: a corpus, and questions in every shape that its files have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.formats import published
from tests.harness.formats.published import (
    RIVERS,
    TOWNS,
    array,
    asked,
    hotpot_row,
    musique_row,
    plain,
    sentences,
    text_of,
    wiki_row,
)
from tests.harness.formats.reading import Read, read, refused


def gold_titles(found: Read) -> list[list[str]]:
    """Titles of the gold documents that the corpus holds, question by question."""
    titles = {p.id: p.title for p in found.passages}
    return [[titles[g] for g in q.gold_doc_ids] for q in found.asked("questions")]


def test_your_own_dataset_as_the_readme_has_it(tmp_path: Path) -> None:
    found = read("hipporag", published.hipporag(tmp_path))
    assert [(p.title, p.text) for p in found.passages] == [(t, text_of(t)) for t in TOWNS]
    assert [(q.id, q.text, q.golden_answers) for q in found.asked("questions")] == [
        (f"towns/{n}.json", asked(t), (RIVERS[t],)) for n, t in enumerate(TOWNS[:3])
    ]
    assert gold_titles(found) == [[t] for t in TOWNS[:3]]
    assert read("hipporag", tmp_path / "towns.json").items == found.items


def put(folder: Path, name: str, *rows: dict, separator: str = " ") -> Path:
    texts = {t: separator.join(sentences(t)) for t in TOWNS}
    plain(folder / f"{name}_corpus.json", array([{"title": t, "text": texts[t]} for t in TOWNS]))
    return plain(folder / f"{name}.json", array(rows))


CONTEXTS = [
    {"title": TOWNS[n], "text": text_of(TOWNS[n]), "is_supporting": n == 1} for n in range(3)
]
POPQA = {"obj": "Lemm", "o_wiki_title": "Lemm (river)", "o_aliases": "[]",
         "possible_answers": '["Lemm", "the Lemm"]'}  # fmt: skip
UNMARKED = [{"title": TOWNS[1], "text": text_of(TOWNS[1])}]


@pytest.mark.parametrize(
    ("name", "row", "gold", "answers"),
    [
        ("musique", musique_row(0), [TOWNS[0], TOWNS[2]], (RIVERS[TOWNS[0]], "the Osk")),
        ("hotpotqa", hotpot_row(0), [TOWNS[1], TOWNS[0]], ("Lemm",)),
        ("2wikimultihopqa", wiki_row(0), [TOWNS[1], TOWNS[0]], ("Lemm",)),
        ("nq_rear", {"reference": ["Lemm", "b"], "contexts": CONTEXTS}, [TOWNS[1]], ("Lemm", "b")),
        (
            "popqa",
            {**POPQA, "id": 7, "paragraphs": UNMARKED},
            [TOWNS[1]],
            ("Lemm", "Lemm (river)", "the Lemm"),
        ),
        ("narrativeqa", {"answer": ["a", "b"]}, [], ("a", "b")),
        ("case", {"gold_ans": "a", "paragraphs": CONTEXTS}, [TOWNS[1]], ("a",)),
    ],
)
def test_every_shape_of_its_questions(
    tmp_path: Path, name: str, row: dict, gold: list[str], answers: tuple[str, ...]
) -> None:
    found = read("hipporag", put(tmp_path, name, {"question": asked(TOWNS[1]), **row}))
    assert gold_titles(found) == [gold]
    question = found.asked("questions")[0]
    assert question.golden_answers == answers
    # How many gold documents there are does not say how many hops.
    hops = 2 if {"supporting_facts", "question_decomposition"} & row.keys() else None
    assert question.metadata.get("hops") == hops
    assert question.id == str(row.get("_id", row.get("id", f"{name}-0")))


def test_the_first_releases_corpus_of_sentences_by_title(tmp_path: Path) -> None:
    spaced = {t: [sentences(t)[0], " " + sentences(t)[1]] for t in TOWNS}
    path = put(tmp_path, "hotpotqa_train", hotpot_row(0))
    corpus = plain(tmp_path / "hotpotqa_train_corpus.json", array(spaced))
    found = read("hipporag", path)
    assert [(p.title, p.text) for p in found.passages] == [(t, text_of(t)) for t in TOWNS]
    assert gold_titles(found) == [[TOWNS[1], TOWNS[0]]]
    corpus.write_bytes(b'{"a": ["b"')
    assert refused("hipporag", path).startswith(f"{corpus}: not valid JSON")
    corpus.write_bytes(array({"a": ["b"], "c": [1]}))
    assert refused("hipporag", path).startswith(f"{corpus}[\"c\"]: 'sentences' holds a number")


def test_which_dataset_is_asked_when_it_cannot_be_known(tmp_path: Path) -> None:
    published.hipporag(tmp_path)
    put(tmp_path, "musique", musique_row(0))
    assert "found musique, towns; say which: -o name=NAME" in refused("hipporag", tmp_path)
    assert len(read("hipporag", tmp_path, name="towns").asked("questions")) == 3
    assert "holds no town.json" in refused("hipporag", tmp_path, name="town")
    other = (tmp_path / "towns_corpus.json").rename(tmp_path / "c.json")
    alone = tmp_path / "towns.json"
    assert refused("hipporag", alone).endswith(
        "towns_corpus.json beside it; give one: -o corpus=FILE"
    )
    assert len(read("hipporag", alone, corpus=other).passages) == len(TOWNS)


def test_a_wrong_row_is_named(tmp_path: Path) -> None:
    path = put(tmp_path, "own", {"question": "a", "answer": "b"}, {"question": "a", "answer": 1})
    assert refused("hipporag", path).startswith(f"{path}[1]: 'answer' holds a number")
    corpus = tmp_path / "own_corpus.json"
    corpus.write_bytes(array([{"title": "a", "body": "b"}]))
    assert refused("hipporag", path).startswith(f"{corpus}[0]: has no 'text' or 'paragraph_text'")
