"""Words of a passage that are kept where there is room for so many, those that tell the most."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from harness.records import Passage

By = Literal["names", "rarity"]
WORD = re.compile(r"\S+")
_EDGES = re.compile(r"^\W+|\W+$")
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*$")


def document_frequencies(passages: Iterable[Passage]) -> Counter[str]:
    """In how many passages each word stands, whatever its case."""
    found: Counter[str] = Counter()
    for passage in passages:
        found.update({plain(word) for word in WORD.findall(passage.contents)})
    return found


def pruned(
    passage: Passage,
    most: int,
    by: By,
    frequencies: Mapping[str, int],
    first: Collection[str] = (),
) -> Passage:
    """The passage with at most so many words, in their order, each once; the title's count, too.

    The title's words are kept before others, then those in ``first`` (in plain form), then names
    and numbers (``by`` names), then the rest; of each kind the rarest.
    """
    title = WORD.findall(passage.title)[:most]
    known = {plain(word) for word in title}
    text = WORD.findall(passage.text)
    words = [(place, word) for place, word in _each_once(text) if plain(word) not in known]
    names = _names(text) if by == "names" else frozenset()

    def rank(entry: tuple[int, str]) -> tuple[bool, bool, int, int]:
        place, word = entry
        form = plain(word)
        return form not in first, place not in names, frequencies.get(form, 1), place

    kept = sorted(sorted(words, key=rank)[: most - len(title)])
    return Passage(passage.id, " ".join(title), " ".join(word for _, word in kept))


def plain(word: str) -> str:
    """A word without case and the signs around it."""
    return _EDGES.sub("", word).casefold()


def _each_once(words: Sequence[str]) -> list[tuple[int, str]]:
    """Where each word stands first, and the word without the signs around it."""
    found: dict[str, tuple[int, str]] = {}
    for place, word in enumerate(words):
        if core := _EDGES.sub("", word):
            found.setdefault(core.casefold(), (place, core))
    return list(found.values())


def _names(words: Sequence[str]) -> frozenset[int]:
    """Places of words with a digit, or with a capital where no sentence begins."""
    found = set()
    begins = True
    for place, word in enumerate(words):
        core = _EDGES.sub("", word)
        if any(c.isdigit() for c in core) or (core[:1].isupper() and not begins):
            found.add(place)
        begins = bool(_SENTENCE_END.search(word))
    return frozenset(found)
