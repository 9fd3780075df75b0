"""The prompt of the router that is the language model itself, and what is read out of its reply."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from harness.prompts import Demonstration, Example, Prompt
from harness.records import Query
from methods.adaptive_rag.labels import LABELS, hop_label

INSTRUCTION = (
    "Choose how the question is to be answered. Reply with one letter.\n"
    "A: from memory, since nearly everybody knows the answer.\n"
    "B: after one search, since a single page holds the answer.\n"
    "C: after several searches, since facts of different pages must be combined."
)
REPLY_START = "Route:"
FALLBACK = "B"

OWN_EXAMPLES = (
    ("How many days are there in a week?", "A"),
    ("In which year did the architect of the Sagrada Familia die?", "C"),
    ("Who designed the flag of Alaska?", "B"),
)
"""One question a route, so that every letter is shown whatever the train questions are."""

_LABEL = r"([ABC])(?![\w'])(?!\.\s?[A-Z]\.)"
"""A letter that is neither part of a word nor the first of several initials."""
_MARKED = re.compile(
    rf"\b(?i:route|answer|choice|option|letter)\b(?i:\s+is)?\s*[:=]?[\s\"'(\[*]*{_LABEL}"
)
_AT_START = re.compile(
    rf"[\s\"'(\[*]*{_LABEL}[\"')\]*]*(?=[.:;\n]|\s*$|\s+[-\u2013\u2014]|,(?!\s*(?:or\s+)?[ABC]\b))"
)
_LETTER = re.compile(rf"(?<![\w'.])(?<![A-Z]\.\s){_LABEL}")


def route_prompt(query: Query, examples: Sequence[Example]) -> Prompt:
    """Ask for a letter, after an example of each route and train questions with their hop type."""
    own = [Demonstration(_ask(text), label) for text, label in OWN_EXAMPLES]
    train = [Demonstration(_ask(e.question.text), hop_label([e.question])) for e in examples]
    return Prompt(
        ask=_ask(query.text),
        instruction=INSTRUCTION,
        demonstrations=(*train, *own),
        reply_start=REPLY_START,
    )


def likeliest(probabilities: Mapping[str, float]) -> str:
    """The most probable route; B if it is one of several equal ones, else the simplest of them."""
    most = max(probabilities.values())
    best = [label for label in LABELS if probabilities[label] == most]
    return FALLBACK if FALLBACK in best else best[0]


def parse_route(reply: str) -> str | None:
    """The route that a reply names by a letter of its own; None if it names none or several.

    A letter at the very start counts first ("B. One search"), then one after a word such as
    "Route:", then the only one in the reply. The article "A" before a word is not at the start.
    """
    if reply.strip() in ("a", "b", "c"):
        return reply.strip().upper()
    if first := _AT_START.match(reply):
        return first.group(1)
    for pattern in (_MARKED, _LETTER):
        named = set(pattern.findall(reply))
        if len(named) == 1:
            return str(named.pop())
    return None


def _ask(question: str) -> str:
    return f"Question: {question}"
