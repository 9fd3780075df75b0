"""Self-RAG's reflection tokens, spelt as in the released checkpoints, and text without them."""

from __future__ import annotations

import re

from harness.sentences import split_lines

RETRIEVAL, NO_RETRIEVAL = "[Retrieval]", "[No Retrieval]"
RELEVANT, IRRELEVANT = "[Relevant]", "[Irrelevant]"
FULLY, PARTIALLY = "[Fully supported]", "[Partially supported]"
CONTRADICTORY = "[No support / Contradictory]"
PARAGRAPH, END_OF_PARAGRAPH = "<paragraph>", "</paragraph>"

RETRIEVE = (RETRIEVAL, NO_RETRIEVAL, "[Continue to Use Evidence]")
RELEVANCE = (RELEVANT, IRRELEVANT)
SUPPORT = (FULLY, PARTIALLY, CONTRADICTORY)
UTILITY = tuple(f"[Utility:{level}]" for level in range(1, 6))
REFLECTION = (*RETRIEVE, *RELEVANCE, *SUPPORT, *UTILITY)
TOKENS = (*REFLECTION, PARAGRAPH, END_OF_PARAGRAPH)

_CONTROL = re.compile("|".join(map(re.escape, TOKENS)))
_PARAGRAPH = re.compile(rf"{PARAGRAPH}.*?(?:{END_OF_PARAGRAPH}|\Z)", re.DOTALL)


def first_line(text: str) -> str:
    """The first line that holds more than control tokens and paragraphs, without them."""
    return next((line for raw in split_lines(_plain(text)) if (line := " ".join(raw.split()))), "")


def one_line(text: str) -> str:
    """All of the text without control tokens and paragraphs, as one line."""
    return " ".join(_plain(text).split())


def _plain(text: str) -> str:
    # What a model itself writes as a paragraph is invented evidence, no answer.
    return _CONTROL.sub(" ", _PARAGRAPH.sub(" ", text))
