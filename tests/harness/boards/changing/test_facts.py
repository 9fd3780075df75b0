"""Facts that are changed on purpose: what makes one, and that a change is whole."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from harness.boards.changing.facts import changed_facts, kind_of, replaced
from harness.data.card import Task
from harness.data.corpus import Corpus
from harness.data.task import load_task
from harness.errors import InputError
from harness.metrics.answer import contains, normalise
from harness.records import Passage, Question
from harness.registry import task_folder
from tests.methods.parametric_qa.small_tasks import FOUNDERS, YEARS, write_task

WORDS = st.sampled_from(["Ann", "Bo", "Cy", "Ann Bo", "1821", "1934", "7", "77", "the", "in", "on"])
ANSWERS = st.sampled_from(["Ann", "Bo", "Cy", "Ann Bo", "Bo Cy", "1821", "1934", "7", "77", "x"])
TEXTS = st.lists(WORDS, min_size=1, max_size=8).map(" ".join)


@pytest.fixture
def task(tmp_path):
    return load_task(Task.from_folder(write_task(tmp_path)))


def facts_of(*rows: tuple[str, tuple[str, ...], str], count: int = 1):
    """Facts of (question, golden answers, passage), each question with a passage of its own."""
    corpus = Corpus.from_passages(Passage(f"p{n}", "", text) for n, (_, _, text) in enumerate(rows))
    asked = [Question(f"q{n}", ask, golds, (f"p{n}",)) for n, (ask, golds, _) in enumerate(rows)]
    return changed_facts(asked, corpus, count, 0, "toy")


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.lists(st.tuples(ANSWERS, TEXTS, TEXTS), min_size=2, max_size=6), st.integers(0, 3))
def test_a_changed_passage_holds_the_new_answer_and_no_golden_one(rows, seed):
    passages = [
        Passage(f"p{n}", title, f"{text} {answer} {title}")
        for n, (answer, title, text) in enumerate(rows)
    ]
    corpus = Corpus.from_passages(passages)
    asked = [Question(f"q{n}", "who?", (row[0],), (f"p{n}",)) for n, row in enumerate(rows)]
    try:
        facts = changed_facts(asked, corpus, 1, seed, "toy")
    except InputError:
        assume(False)
    for fact in facts:
        assert contains(fact.passage.contents, fact.question.golden_answers)
        assert not contains(fact.passage.contents, [fact.new])
        assert contains(fact.changed.contents, [fact.new])
        assert not contains(fact.changed.contents, fact.question.golden_answers)
        # Put back, the passage is the same in every other place.
        assert replaced(fact.changed, fact.new, fact.old) == fact.passage
        assert fact.changed.id == fact.passage.id
        assert kind_of(fact.new) == kind_of(fact.old) is not None
        assert fact.new in {row[0] for row in rows} and normalise(fact.new) != normalise(fact.old)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("1998", "year"), ("2017", "year"), ("998", "number"), ("11,900", "number"),
        ("3.99", "number"), ("Omar Khayyam", "name"), ("Élodie", "name"), ("blue", None),
        ("the President", None), ("December 1985", None), ("", None), ("A\nB", None),
    ],
)  # fmt: skip
def test_kinds_of_answers(answer, kind):
    assert kind_of(answer) == kind


def test_whole_words_with_the_same_case_are_replaced_everywhere():
    passage = Passage("p", "Ann (film)", "Ann met Anna; ann and Ann's brother saw Ann.")
    changed = replaced(passage, "Ann", r"Bo\1")
    assert changed.title == r"Bo\1 (film)"
    assert changed.text == r"Bo\1 met Anna; ann and Bo\1's brother saw Bo\1."


@pytest.mark.parametrize(
    ("golds", "text", "why"),
    [
        (("Ann",), "It was Bo.", "the passage does not hold the answer"),
        (("Ann",), "It was ann.", "nor with the same case"),
        (("Ann",), "It was Anna.", "nor as a word"),
        (("Ann",), "It was Ann, or ann.", "another spelling would stay"),
        (("Ann", "Bo"), "It was Ann and Bo.", "another golden answer would stay"),
        (("quick",), "It was quick.", "neither number nor name"),
    ],
)
def test_what_makes_no_fact(golds, text, why):
    with pytest.raises(InputError, match="make 2 facts"):
        facts_of(("who?", golds, text), ("who?", ("Cy",), "Cy."), ("who?", ("Di",), "Di."), count=9)
        pytest.fail(why)


def test_an_answer_that_the_question_gives_away_makes_no_fact():
    rows = [("who is Ann?", ("Ann",), "Ann."), ("who?", ("Cy",), "Cy."), ("who?", ("Di",), "Di.")]
    facts = facts_of(*rows, count=2)
    assert {fact.old for fact in facts} == {"Cy", "Di"}


def test_an_answer_in_two_gold_passages_makes_no_fact_and_a_mere_companion_does():
    corpus = Corpus.from_passages(
        [Passage("a", "", "Ann."), Passage("b", "", "Ann too."), Passage("c", "", "Bo."),
         Passage("d", "", "Silence."), Passage("e", "", "Cy.")]
    )  # fmt: skip
    asked = [
        Question("twice", "who?", ("Ann",), ("a", "b")),
        Question("once", "who?", ("Bo",), ("c", "d")),
        Question("other", "who?", ("Cy",), ("e",)),
    ]
    facts = changed_facts(asked, corpus, 2, 0, "toy")
    assert {fact.question.id: fact.passage.id for fact in facts} == {"once": "c", "other": "e"}


def test_no_two_facts_share_a_gold_passage():
    corpus = Corpus.from_passages([Passage("a", "", "Ann met Bo."), Passage("c", "", "Cy.")])
    asked = [
        Question("q1", "who?", ("Ann",), ("a",)),
        Question("q2", "whom?", ("Bo",), ("a",)),
        Question("q3", "who?", ("Cy",), ("c",)),
    ]
    with pytest.raises(InputError, match="make 2 facts that can be changed, not 3; ask for 2"):
        changed_facts(asked, corpus, 3, 0, "toy")


def test_seed_and_ids_decide_and_more_facts_contain_fewer(task):
    few, many = (changed_facts(task.questions, task.corpus, n, 3, "small") for n in (4, 12))
    assert many[:4] == few
    backwards = changed_facts(task.questions[::-1], task.corpus, 4, 3, "small")
    assert [f.question.id for f in backwards] == [f.question.id for f in few]
    others = changed_facts(task.questions, task.corpus, 4, 4, "small")
    assert [f.question.id for f in others] != [f.question.id for f in few]
    assert changed_facts(task.questions, task.corpus, 4, 3, "small") == few


def test_years_become_years_and_names_names(task):
    facts = changed_facts(task.questions, task.corpus, 12, 0, "small")
    for fact in facts:
        group = YEARS if re.fullmatch(r"\d+", fact.old) else FOUNDERS
        assert fact.new in group.values() and fact.old in group.values()


@pytest.mark.parametrize("name", ["nq", "triviaqa", "hotpotqa", "musique"])
def test_every_read_training_task_makes_fifty(name):
    data = load_task(Task.from_folder(task_folder(name)))
    facts = changed_facts(data.questions, data.corpus, 50, 0, name)
    gold = [id_ for fact in facts for id_ in fact.question.gold_doc_ids]
    assert len(gold) == len(set(gold))
    for fact in facts:
        versions = {fact.passage.id: fact.changed}
        for id_ in fact.question.gold_doc_ids:
            passage = versions.get(id_) or data.corpus.get(id_)
            assert not contains(passage.contents, fact.question.golden_answers)
