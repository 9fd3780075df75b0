"""A new index must find passages by their own titles; a broken one is stopped before it is used."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.records import Passage
from harness.retrieval.base import Retriever
from harness.retrieval.terms import words_of

if TYPE_CHECKING:
    from harness.data.corpus import Corpus

_DEPTH = 10
_SHARE = 0.9
_FIRST_WORDS = 12
_LARGE = 100_000
# Longer than any stop word, so every tokenizer keeps it.
_LONG = 6
_LONG_WORD = re.compile(rf"[^\W_]{{{_LONG},}}")


def check_index(
    retriever: Retriever,
    corpus: Corpus,
    cache: Path | str,
    *,
    samples: int = 20,
    with_text: bool = False,
    fix: str = "",
) -> None:
    """Ask for passages evenly spread over the corpus and require that 90 % come back.

    The query is the title. The first words of the text follow when the title has no long word or
    names several passages, when the corpus is too large to look for that, or when ``with_text``
    is set (dense encoders are not made for bare titles). A passage counts as found when it, or
    one with its title, is among the best ten. Passages without a title or without any long word
    are left out, and a title too common to tell passages apart (all ten results hold all its
    words) is not counted against the index. Raises HarnessError naming the cache folder to delete,
    or telling the ``fix`` for an index that somebody else built.
    """
    with_text = with_text or len(corpus) > _LARGE
    titles: Counter[str] = Counter() if with_text else Counter(p.title for p in corpus)
    asked = [
        (passage, query)
        for passage in _spread(corpus, samples)
        if passage.title.strip()
        and _LONG_WORD.search(query := _query(passage, with_text or titles[passage.title] > 1))
    ]
    results = retriever.search([query for _, query in asked], _DEPTH)
    found = sum(_is_found(p, result) for (p, _), result in zip(asked, results, strict=True))
    fix = fix or _again(cache)
    _require(found, len(asked), "passages are found by their own title", retriever, fix)


def check_words(
    retriever: Retriever, corpus: Corpus, cache: Path | str, *, samples: int = 20
) -> None:
    """Require that the longest word of 90 % of the sampled passages finds any passage at all.

    For sparse indexes. Long words are mostly inflected, so this catches what titles, mostly proper
    names, survive: passages stemmed and queries not, or the reverse. Raises HarnessError.
    """
    longest = [max(words_of(p.text), key=len, default="") for p in _spread(corpus, samples)]
    results = retriever.search([word for word in longest if len(word) >= _LONG], 1)
    _require(
        sum(map(bool, results)), len(results), "long words are known", retriever, _again(cache)
    )


def _spread(corpus: Corpus, samples: int) -> list[Passage]:
    step = max(1, len(corpus) // samples)
    return [corpus[position] for position in range(0, len(corpus), step)][:samples]


def _again(cache: Path | str) -> str:
    return f"delete {cache} and run again"


def _require(found: int, asked: int, what: str, retriever: Retriever, fix: str) -> None:
    if found < _SHARE * asked:
        raise HarnessError(
            f"the {retriever.name} index is broken: only {found} of {asked} {what}; {fix}"
        )


def _query(passage: Passage, with_text: bool) -> str:
    with_text = with_text or not _LONG_WORD.search(passage.title)
    words = passage.text.split()[:_FIRST_WORDS] if with_text else []
    return " ".join([passage.title, *words])


def _is_found(passage: Passage, results: list[Passage]) -> bool:
    if any(result.id == passage.id or result.title == passage.title for result in results):
        return True
    words = set(passage.title.lower().split())
    return len(results) == _DEPTH and all(
        words <= set(result.contents.lower().split()) for result in results
    )
