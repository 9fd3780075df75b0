"""A chain of retrieval, the replies it is parsed from, and the passages it found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.llm.text import first_line
from harness.records import Passage

NO_INFORMATION = "No relevant information found"

_LABEL = re.compile(r"(intermediate|next|follow-up|sub-?)?\s*(query|question)\s*\d*\s*:", re.I)
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "`": "`"}


@dataclass(frozen=True, slots=True)
class Hop:
    """One sub-query, the answer to it and the passages, best first, that the answer rests on."""

    query: str
    answer: str
    passages: tuple[Passage, ...] = ()


Chain = tuple[Hop, ...]


def parse_sub_query(reply: str) -> str:
    """The first non-empty line without a label such as 'Intermediate query 2:' and quotes.

    Empty if nothing is left.
    """
    line = first_line(reply)
    while True:
        bare = _unquoted(line)
        label = _LABEL.match(bare)
        bare = bare[label.end() :].strip() if label else bare
        if bare == line:
            return line
        line = bare


def parse_sub_answer(reply: str) -> str:
    """The first non-empty line; an empty reply tells as little as the refusal."""
    return first_line(reply) or NO_INFORMATION


def rank_passages(passages: Sequence[Passage], chain: Chain) -> list[Passage]:
    """Everything retrieved, each once, by its best rank in any search.

    Of equal ranks the question's own search comes first, then the chain's in order of use, so
    that the first few hold the best of every search.
    """
    searches = [passages, *(hop.passages for hop in chain)]
    ranked = [(rank, n) for n, found in enumerate(searches) for rank in range(len(found))]
    return _unique(searches[n][rank] for rank, n in sorted(ranked))


def _unique(passages: Iterable[Passage]) -> list[Passage]:
    first: dict[str, Passage] = {}
    for passage in passages:
        first.setdefault(passage.id, passage)
    return list(first.values())


def _unquoted(line: str) -> str:
    if len(line) > 1 and _QUOTES.get(line[0]) == line[-1]:
        return line[1:-1].strip()
    return line
