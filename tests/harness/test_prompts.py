from __future__ import annotations

from harness.prompts import Demonstration, Message, Prompt, QAPrompts
from harness.records import Passage, Query

SHOTS = (
    Demonstration("Question: Is Vell an island?", "yes"),
    Demonstration("Question: Who wrote The Tide?", "Jon Abel"),
)
PASSAGES = (
    Passage("d0", "Lighthouse", "Built in 1821."),
    Passage("d1", "", "A text without a title.\nAnd a second line."),
)
PROMPTS = QAPrompts(SHOTS)
QUERY = Query("q", "When was it built?")

READ = """\
Answer the question with a short phrase, a name, a date or yes/no. The passages may hold the answer.

Question: Is Vell an island?
Answer: yes

Question: Who wrote The Tide?
Answer: Jon Abel

Passage: A text without a title.
And a second line.
Passage: Lighthouse: Built in 1821.
Question: When was it built?
Answer:"""

CLOSED_BOOK = """\
Answer the question with a short phrase, a name, a date or yes/no.

Question: When was it built?
Answer:"""


def test_reading_as_completion_puts_the_best_passage_last():
    assert PROMPTS.read(QUERY, PASSAGES).render("completion") == READ


def test_closed_book_as_completion_without_demonstrations():
    assert QAPrompts().closed_book(QUERY).render("completion") == CLOSED_BOOK


def test_reading_as_chat():
    system = (
        "Answer the question with a short phrase, a name, a date or yes/no. "
        "The passages may hold the answer.\n\n"
        "Passage: Lighthouse: Built in 1821.\n"
        "Passage: A text without a title.\nAnd a second line."
    )
    assert PROMPTS.read(QUERY, list(PASSAGES)).render("chat") == (
        Message("system", system),
        Message("user", "Question: Is Vell an island?"),
        Message("assistant", "yes"),
        Message("user", "Question: Who wrote The Tide?"),
        Message("assistant", "Jon Abel"),
        Message("user", "Question: When was it built?"),
    )


def test_a_bare_prompt_is_one_message():
    assert Prompt("Why?").render("chat") == (Message("user", "Why?"),)
    assert Prompt("Why?", reply_start="Because").render("completion") == "Why?\nBecause"


def test_passages_can_be_exchanged():
    prompt = PROMPTS.read(QUERY, PASSAGES).with_passages(PASSAGES[:1])
    assert prompt.passages == PASSAGES[:1]
    assert prompt.ask == "Question: When was it built?"
