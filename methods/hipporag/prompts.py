"""Prompts that have a model name entities and triples, one demonstration each; our own words."""

from __future__ import annotations

import json
from collections.abc import Sequence

from harness.prompts import Demonstration, Prompt
from harness.records import Passage

SHOWN = Passage(
    "",
    "Marie Curie",
    "Marie Curie was born in Warsaw in 1867. She moved to Paris, where she discovered polonium "
    "with her husband Pierre Curie.",
)
NAMED = ["Marie Curie", "Warsaw", "1867", "Paris", "polonium", "Pierre Curie"]
TRIPLES = [
    ["Marie Curie", "born in", "Warsaw"],
    ["Marie Curie", "born in year", "1867"],
    ["Marie Curie", "moved to", "Paris"],
    ["Marie Curie", "discovered", "polonium"],
    ["Pierre Curie", "husband of", "Marie Curie"],
]
ASKED = "Which river flows through the town where the founder of Lego was born?"
ASKED_NAMES = ["Lego"]

ENTITIES = "Entities:"
FACTS = "Facts:"


def entities_of_passage(passage: Passage) -> Prompt:
    """Names, dates and numbers of a passage, as a JSON list."""
    return Prompt(
        _text(passage),
        "List the people, places, organisations, works, dates and other named things of the "
        "passage as a JSON list of strings.",
        (Demonstration(_text(SHOWN), json.dumps(NAMED)),),
        reply_start=ENTITIES,
    )


def triples_of_passage(passage: Passage, entities: Sequence[str]) -> Prompt:
    """What a passage says of them, as a JSON list of lists of subject, relation and object."""
    return Prompt(
        _with_names(passage, entities),
        "Write what the passage says as a JSON list of facts, each a list of three strings: "
        "subject, relation, object. A fact has one of the entities, better two; names stand in the "
        "place of pronouns.",
        (Demonstration(_with_names(SHOWN, NAMED), json.dumps(TRIPLES)),),
        reply_start=FACTS,
    )


def entities_of_question(question: str) -> Prompt:
    """Named things of a question, as a JSON list."""
    return Prompt(
        f"Question: {question}",
        "List the named people, places, organisations, works and dates that the question has, as a "
        "JSON list of strings.",
        (Demonstration(f"Question: {ASKED}", json.dumps(ASKED_NAMES)),),
        reply_start=ENTITIES,
    )


def _text(passage: Passage) -> str:
    return " ".join(filter(None, ["Passage:", passage.title and f"{passage.title}.", passage.text]))


def _with_names(passage: Passage, entities: Sequence[str]) -> str:
    return f"{_text(passage)}\nEntities: {json.dumps(list(entities), ensure_ascii=False)}"
