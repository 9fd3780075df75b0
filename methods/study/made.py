"""Texts that the model itself makes of a passage, to be studied beside it.

Three ways of others, by fixed prompts: pairs of entities (EntiGraph: Yang et al., Synthetic
Continued Pretraining, ICLR 2025), Active Reading (Lin et al., Learning Facts at Scale with Active
Reading, 2025) and self-edits (SEAL: Zweiger et al., Self-Adapting Language Models, 2025).
"""

from __future__ import annotations

from itertools import combinations
from typing import Literal

from harness.llm.requests import Reply
from harness.prompts import Prompt
from harness.records import Passage
from harness.sentences import split_sentences
from methods.study.questions import spans_of

Way = Literal["entity-pairs", "active-reading", "self-edits"]

LONGEST = 128
"""Tokens of a text that is made."""
_USE = "Use what the passage says and nothing else."
STRATEGIES = (
    ("Say what the passage says in other words.", "In other words:"),
    ("List the facts of the passage, one in a line, each a whole sentence.", "Facts:"),
    ("Ask questions that the passage answers, and answer each.", "Questions and answers:"),
    ("Explain to a child what the passage tells.", "Explanation:"),
    ("Say who or what the passage is about, and what is to be remembered.", "To remember:"),
    ("Put the passage's names, dates and numbers in order and say what each is.", "Notes:"),
)
IMPLICATIONS = (
    ("List what follows from the passage, one in a line.", "It follows:"),
    ("Write what somebody who has read the passage now knows.", "They know:"),
    ("Rewrite the passage as statements that need no context.", "Statements:"),
)
ASKS = (
    "Ask who somebody in the passage is, or who did something.",
    "Ask what something that the passage names is.",
    "Ask when something in the passage was or happened.",
    "Ask where something in the passage is or happened.",
    "Ask which of several things the passage speaks of.",
    "Ask how something in the passage came about.",
    "Ask for a number that the passage tells.",
    "Ask for what the passage says of its subject.",
)
"""What a question about a passage may be for."""
LONGEST_QUESTION = 40
"""Tokens of a question that is made."""


def questions_about(passage: Passage, most: int) -> list[Prompt]:
    """At most so many prompts for questions about a passage, each another kind of question."""
    wants = "Write one question that names what it is about and that the passage answers."
    return [Prompt(ask, wants, passages=(passage,), reply_start="Question:") for ask in ASKS[:most]]


def prompts_for(way: Way, passage: Passage, most: int) -> list[Prompt]:
    """At most so many prompts for texts to be made of a passage."""
    if way == "entity-pairs":
        asks = [
            (f"Explain how {one} and {other} are related.", f"{one} and {other}:")
            for one, other in combinations(entities(passage), 2)
        ]
    else:
        asks = list(STRATEGIES if way == "active-reading" else IMPLICATIONS)
    return [Prompt(ask, _USE, passages=(passage,), reply_start=start) for ask, start in asks[:most]]


def entities(passage: Passage) -> list[str]:
    """Its title and the names in it by rule, each once, in order."""
    named = [
        sentence[span.start : span.end]
        for sentence in split_sentences(passage.text)
        for span in spans_of(sentence)
        if span.kind == "name"
    ]
    return list(dict.fromkeys([*filter(None, [passage.title]), *named]))


def as_text(passage: Passage, prompt: Prompt, reply: Reply) -> Passage | None:
    """What is studied of a reply: the text under the passage's title; None if nothing was said."""
    text = " ".join(reply.text.split())
    if not text:
        return None
    return Passage(passage.id, passage.title, f"{prompt.reply_start} {text}")
