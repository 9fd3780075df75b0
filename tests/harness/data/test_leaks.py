"""Questions that are the same are found whatever their ids and spelling."""

from __future__ import annotations

import json
import logging

import pytest

from harness.data.card import custom_task
from harness.data.demonstrations import qa_prompts
from harness.data.leaks import normal_text, part_asked, question_hash, repeated
from harness.data.task import load_task
from harness.records import Question

SAME = [
    "Who wrote Beyonc\u00e9's \u201cHalo\u201d?",
    "who wrote Beyonce\u0301\u2019s  'Halo'",
    "\u00a0WHO\u200b WROTE BEYONC\u00c9\u2019S\nHALO ?!",
    "\uff37ho wrote Beyonc\u00e9s Halo",
]
OTHER = ["Who wrote Halo?", "Who wrote Beyonc\u00e9's Halo 2?", "What is C?", "What is C++?"]


OTHERS = [
    ("What is C?", "What is C#?"),
    ("Is it 1.5 or more?", "Is it 15 or more?"),
    ("What is -5 + 3?", "What is 5 + 3?"),
    ("What is 1/2 of it?", "What is 12 of it?"),
    ("What is 1 23?", "What is 12 3?"),
    ("What is 10% of it?", "What is 10 of it?"),
    ("What is 10\u00b2?", "What is 102?"),
    ("What was at 1:30?", "What was at 13:0?"),
    ("\u8c01\u662f\u5b54\u5b50\uff1f", "\u8c01\u662f\u8001\u5b50\uff1f"),
    ("\u0915\u093f?", "\u0915\u0940?"),
    ("Who is \ue001?", "Who is \ue002?"),
]
ALIKE = [
    ("Covid-19 in 1984\u20131990?", "covid 19 in 1984 - 1990"),
    ("What is 10\u00b2?", "what is 10^2"),
    ("Is it H\u2082O?", "is it H2O"),
    ("who is obama 's wife", "Who is Obama's wife?"),
    ("Is it 1.5?", "is it \uff11.\uff15\uff1f"),
    ("\u8c01\u662f\u5b54\u5b50\uff1f", "\u8c01 \u662f\u5b54\u5b50?"),
    ("Born in 1984 (Oslo)?", "born in 1984, Oslo"),
]


def question(id_: str, text: str) -> Question:
    return Question(id_, text, ("x",))


def test_one_normal_text_for_all_spellings():
    assert len({normal_text(text) for text in SAME}) == 1
    assert len({question_hash(text) for text in SAME}) == 1
    assert len({normal_text(text) for text in [SAME[0], *OTHER]}) == 1 + len(OTHER)


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_signs_that_say_something_tell_questions_apart(one: str, other: str):
    assert normal_text(one) != normal_text(other)


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_signs_that_say_nothing_do_not(one: str, other: str):
    assert normal_text(one) == normal_text(other)


def test_texts_of_punctuation_alone_are_not_all_the_same():
    assert normal_text("?") != normal_text("!")


def test_what_is_asked_is_parted_from_what_may_be_shown():
    shown = [question("t1", SAME[1]), question("t2", OTHER[0]), question("q1", OTHER[1])]
    kept, leaked = part_asked(shown, [question("q1", SAME[0])])
    assert [q.id for q in kept] == ["t2", "q1"]
    assert [q.id for q in leaked] == ["t1"]


def test_repeated_questions_are_those_after_the_first():
    asked = [question("a", SAME[0]), question("b", OTHER[0]), question("c", SAME[2])]
    assert [q.id for q in repeated(asked)] == ["c"]


def rows(*questions: tuple[str, str]) -> str:
    return "".join(
        json.dumps({"id": id_, "question": text, "golden_answers": ["x"]}) + "\n"
        for id_, text in questions
    )


@pytest.fixture
def files(tmp_path):
    (tmp_path / "q.jsonl").write_text(rows(("q1", SAME[0]), ("q2", OTHER[0])))
    (tmp_path / "t.jsonl").write_text(
        rows(("t1", OTHER[2]), ("t2", SAME[1]), ("t3", OTHER[3]), ("q2", OTHER[0]))
    )
    (tmp_path / "c.jsonl").write_text('{"id": "d", "contents": "T\\nx"}\n')
    return {n: tmp_path / f"{n[0]}.jsonl" for n in ("questions", "train", "corpus")}


def test_no_asked_question_is_a_demonstration(files, caplog):
    """Under another id or the same; also one that the limit leaves out."""
    data = load_task(custom_task("mine"), **files, limit=1)
    assert [q.id for q in data.train] == ["t1", "t3"]
    assert {e.question.id for e in qa_prompts(data, 2, seed=0).examples} == {"t1", "t3"}
    said = f"2, which are also asked, the first 't2' ({files['train']}:2)"
    assert data.provenance["train_left_out"] == said
    assert caplog.messages == [f"train questions left out: {said}"]


def test_without_a_leak_nothing_is_said_and_nothing_changes(files, caplog):
    clean = files["train"].parent / "clean.jsonl"
    clean.write_text(rows(("t1", OTHER[2]), ("t3", OTHER[3])))
    caplog.set_level(logging.WARNING)
    data = load_task(custom_task("mine"), **{**files, "train": clean})
    assert "train_left_out" not in data.provenance and not caplog.messages
    leaky = load_task(custom_task("mine"), **files)
    assert leaky.train_fingerprint == data.train_fingerprint, "as if it had not been there"


def test_a_question_that_stands_twice_is_said_and_kept(files, caplog):
    files["questions"].write_text(rows(("q1", SAME[0]), ("q2", OTHER[0]), ("q3", SAME[2])))
    data = load_task(custom_task("mine"), **files)
    assert len(data.questions) == 3
    said = f"1 ask what an earlier one asks, the first 'q3' ({files['questions']}:3)"
    assert data.provenance["repeated"] == said
    assert f"questions: {said}; each of them counts" in caplog.messages
