"""The shipped samples are the data they claim to be."""

from __future__ import annotations

import re
import string

import pytest

from harness.data.card import Task
from harness.data.task import load_task
from harness.fingerprint import file_sha256
from harness.registry import names, task_folder

COUNTS = {
    "nq": (1000, 500, 3462),
    "triviaqa": (404, 172, 2624),
    "hotpotqa": (667, 400, 10431),
    "musique": (450, 226, 8174),
}


def normalised(text: str) -> str:
    letters = text.lower().translate(str.maketrans("", "", string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", letters).split())


def test_every_task_folder_is_found():
    assert names("tasks") == sorted(COUNTS)
    assert all((task_folder(name) / "task.yaml").is_file() for name in COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_samples_load_with_gold_in_the_corpus_and_train_apart(name):
    data = load_task(Task.from_folder(task_folder(name)))
    assert (len(data.questions), len(data.train), len(data.corpus)) == COUNTS[name]
    assert data.name == name
    for question in (*data.questions, *data.train):
        assert question.gold_doc_ids
        assert all(gold in data.corpus for gold in question.gold_doc_ids)
    assert not {q.id for q in data.questions} & {q.id for q in data.train}
    asked = {normalised(q.text) for q in data.questions}
    assert not asked & {normalised(q.text) for q in data.train}
    hops = max(len(question.gold_doc_ids) for question in data.questions)
    assert (hops > 1) >= (name in {"hotpotqa", "musique"})


@pytest.mark.parametrize("name", COUNTS)
def test_cards_carry_attribution_and_checksums(name):
    folder = task_folder(name)
    card = Task.from_folder(folder).card
    assert card.name == folder.name
    assert card.licence
    assert card.citations
    assert card.sources
    assert card.caveats
    assert card.homepage.startswith("https://")
    files = [path for path in (folder / "sample").rglob("*") if path.is_file()]
    assert card.checksums == {str(p.relative_to(folder)): file_sha256(p) for p in files}
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert "**Licence**" in page
    assert "**Cite**" in page


def test_samples_have_the_fingerprints_that_results_were_filed_under():
    prints = {
        name: (data.questions_fingerprint[:12], data.corpus_fingerprint[:12])
        for name in COUNTS
        for data in [load_task(Task.from_folder(task_folder(name)))]
    }
    assert prints == {
        "nq": ("c95cc55250ea", "dec811aac097"),
        "triviaqa": ("cdbf4f51b93e", "d83a51944ce2"),
        "hotpotqa": ("6954fbb57698", "72270b6777b8"),
        "musique": ("189b042c8f7a", "1394eb60019f"),
    }


def test_a_limited_musique_keeps_its_mix_of_hops():
    task = Task.from_folder(task_folder("musique"))
    hops = [q.metadata["hops"] for q in load_task(task, limit=100).questions]
    assert 15 <= hops.count(3) <= 45


@pytest.mark.parametrize("name", COUNTS)
def test_cards_say_how_answers_are_scored(name):
    data = load_task(Task.from_folder(task_folder(name)))
    hops = {question.metadata["hops"] for question in data.questions}
    assert data.card.rules.gold == ("any" if hops == {1} else "all")
    assert data.card.rules.closed_answers == (name == "hotpotqa")
    assert ("f1_triviaqa" in data.card.metrics) == (name == "triviaqa")
    assert ("support_f1" in data.card.metrics) == (name in {"hotpotqa", "musique"})
