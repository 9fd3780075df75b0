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
# Encoders take a query otherwise than a passage, and parts of an article are alike.
_SHARE_FIRST = 0.5
_FIRST_WORDS = 12
_LARGE = 20_000
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


def check_order(retriever: Retriever, corpus: Corpus, *, samples: int = 20, fix: str = "") -> None:
    """Require that the whole text of half of the sampled passages finds the passage itself first.

    For an index that somebody else built. ``check_index`` takes a passage of the same title, so it
    does not see passages that changed places with others of their article. Raises HarnessError.
    """
    asked = _spread(corpus, samples)
    results = retriever.search([passage.contents for passage in asked], 1)
    # Of passages with the same words it does not matter which is found.
    found = sum(
        any(best.contents == passage.contents for best in each)
        for passage, each in zip(asked, results, strict=True)
    )
    what = "passages are found first by their own text"
    _require(found, len(asked), what, retriever, fix, share=_SHARE_FIRST)


def _spread(corpus: Corpus, samples: int) -> list[Passage]:
    step = max(1, len(corpus) // samples)
    return [corpus[position] for position in range(0, len(corpus), step)][:samples]


def _again(cache: Path | str) -> str:
    return f"delete {cache} and run again"


def _require(
    found: int, asked: int, what: str, retriever: Retriever, fix: str, share: float = _SHARE
) -> None:
    if found < share * asked:
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
