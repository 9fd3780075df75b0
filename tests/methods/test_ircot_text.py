"""Sentences, answers, queries and duplicates: the pure functions of IRCoT."""

from __future__ import annotations

import pytest

from harness.records import Passage
from methods.ircot.parse import (
    is_factual,
    next_query,
    next_sentence,
    parse_answer,
    without_question_words,
)
from methods.ircot.passages import collect, is_duplicate, shown
from methods.ircot.prompts import REPLY_START


@pytest.mark.parametrize(
    ("chain", "answer"),
    [
        ("So the answer is: Paris.", "Paris"),
        ("so the ANSWER IS Paris", "Paris"),
        ("A is b. Thus the answer is: Paris. It is old.", "Paris. It is old"),
        ("The answer is: Rome. So the answer is: Paris.", "Paris"),
        ("The answer is: Rome.\nSo the answer is: Paris.\nBye.", "Paris"),
        ('So the answer is: "Paris."', "Paris"),
        ('So the answer is: "Paris".', "Paris"),
        ("So the answer is: **Paris**.", "Paris"),
        ("So the answer is: J. K. Rowling.", "J. K. Rowling"),
        ("So the answer is: the U.S.", "the U.S"),
        ("So the answer is: 3.5", "3.5"),
        ("So the answer is: wait...", "wait.."),
        ("So the answer is:\nParis", "Paris"),
        ("Paris is a city.", None),
        ("The answer is", None),
        ("The answer is:", None),
        ("The answer is.", None),
        ("The answer is: .", None),
        ("The answer island: Crete", None),
        ("", None),
    ],
)
def test_the_answer_follows_the_last_marker(chain, answer):
    assert parse_answer(chain) == answer


@pytest.mark.parametrize(
    ("reply", "thoughts", "sentence"),
    [
        (" Ann is 5. Bob is 6.", [], "Ann is 5."),
        ("\n\n Ann is 5.\nBob is 6.", [], "Ann is 5."),
        ("Ann is 5. Bob is 6.", ["Ann is 5."], "Bob is 6."),
        ("Ann is 5.\nBob is 6.", ["Ann is 5."], "Bob is 6."),
        (f"{REPLY_START} Ann is 5. Bob is 6. Cy is 7.", ["Ann is 5.", "Bob is 6."], "Cy is 7."),
        ("Ann is 5.", ["Ann is 5."], ""),
        ("Bob is 6. Ann is 5.", ["Ann is 5."], "Bob is 6."),
        ("Bob is 6. Bob is 6.", ["Ann is 5.", "Bob is 6."], ""),
        ("", ["Ann is 5."], ""),
        (" \n ", [], ""),
    ],
)
def test_the_next_sentence_is_the_first_new_one(reply, thoughts, sentence):
    assert next_sentence(reply, thoughts) == sentence


@pytest.mark.parametrize(
    ("sentence", "factual"),
    [
        ("Ann was born in Rome.", True),
        ("Thus, Ann was born in Rome.", False),
        ("So the answer is: Rome.", False),
        ("That is why.", False),
        ("THEREFORE it is.", False),
        ("Hence Rome.", False),
        ("Sophia is a city.", True),
        ("Thuso is a name.", True),
        ("Adding up, 1,900 + 5 = 1,905.", False),
        ("He earned $3.5 * 2 = $7 in all.", False),
        ("He lived 1900-1950.", True),
        ("Here are the facts:", False),
        ("**Facts from the passages:**", False),
        ("Sure, I can help with that.", False),
        ("Let's look at the passages.", False),
        ("I'll start with Ann.", False),
        ("We need to find where Ann was born.", False),
        ("Here Comes the Sun is a song.", True),
        ("I Will Survive is a song.", True),
        ("Letsie III is a king.", True),
    ],
)
def test_conclusions_sums_and_announcements_are_not_facts(sentence, factual):
    assert is_factual(sentence) == factual


def test_the_query_is_the_last_fact_or_the_question():
    assert next_query("Q?", []) == "Q?"
    assert next_query("Q?", ["Ann is old.", "Bob is young."]) == "Bob is young."
    assert next_query("Q?", ["Ann is old.", "Thus it is so."]) == "Ann is old."
    assert next_query("Q?", ["So it is.", "Hence it is."]) == "Q?"
    assert next_query("Q?", ["Ann is old.", "Here are more facts:"]) == "Ann is old."


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Who is the wife of Ann?", "the wife of Ann?"),
        ("WHERE does Ann live", "Ann live"),
        ("Whose island does showers?", "Whose island showers?"),
        ("Who is who?", "?"),
        ("What is", "What is"),
    ],
)
def test_question_words_go_unless_nothing_else_is_there(text, query):
    assert without_question_words(text) == query


WORDS = " ".join(f"w{n}" for n in range(20))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Passage("a", "Elsewhere", "nothing alike"), True),
        (Passage("b", "Ann Smith", WORDS), True),
        (Passage("b", "Ann Smith", f"{WORDS} w20 w21"), True),  # 2 * 20 / 42 = .95
        (Passage("b", "Ann Smith", f"{WORDS} w20 w21 w22 w23 w24"), False),  # 40 / 45 = .89
        (Passage("b", "Ann Smyth", WORDS), False),  # 2 * 8 / 18 = .89
        (Passage("b", "Ann Smiths", WORDS), True),  # 2 * 9 / 19 = .95
        (Passage("b", "Bob", WORDS), False),
        (Passage("b", "Ann Smith", "something else"), False),
    ],
)
def test_near_duplicates_share_nine_tenths_of_title_and_text(other, same):
    assert is_duplicate(Passage("a", "Ann Smith", WORDS), other) == same


def test_empty_titles_are_alike():
    assert is_duplicate(Passage("a", "", WORDS), Passage("b", "", WORDS))


def test_paragraphs_over_600_words_are_not_collected():
    whole, long = Passage("a", "A", "w " * 600), Passage("b", "B", "w " * 601)
    collected: list[Passage] = []
    collect(collected, [long, whole], most=5)
    assert collected == [whole]


def test_a_prompt_shows_350_words_of_a_paragraph():
    short, long = Passage("a", "A", "one  two"), Passage("b", "B", "w " * 351)
    assert shown([short, long]) == (short, Passage("b", "B", " ".join(["w"] * 350)))
