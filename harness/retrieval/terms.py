"""Terms of a sparse index: words of a text in one form, without stop words, stemmed."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal

from pydantic import Field, model_validator

from harness.metrics.letters import composed, folded
from harness.retrieval.languages import LANGUAGES, Language, TermParams, open_segmenter

_WORD = re.compile(r"\w+")


class BM25Settings(TermParams):
    """What decides a BM25 ranking; part of a run's config.

    The defaults are Lucene's k1 and b, the Snowball English stemmer and Lucene's 33 English stop
    words. ``method`` names the variant of Kamphuis et al. (ECIR 2020) that bm25s computes. Another
    ``language`` has its own stemmer, where Snowball has one, and no stop words.
    """

    k1: float = Field(1.2, ge=0, allow_inf_nan=False, description="term frequency saturation")
    b: float = Field(0.75, ge=0, le=1, description="length normalisation")
    method: Literal["lucene", "robertson", "atire"] = "lucene"
    stemmer: str | None = "english"
    stopwords: Literal["en"] | None = "en"

    @model_validator(mode="before")
    @classmethod
    def _of_language(cls, values: Any) -> Any:
        code = values.get("language", "en") if isinstance(values, Mapping) else "en"
        if code == "en" or not isinstance(code, str):
            return values
        language = LANGUAGES.get(code, Language())
        return {"stemmer": language.stemmer, "stopwords": None, **values}

    @model_validator(mode="after")
    def _with_own_stemmer(self) -> BM25Settings:
        if self.stemmer not in (None, LANGUAGES[self.language].stemmer):
            raise ValueError(f"stemmer '{self.stemmer}' is not that of language '{self.language}'")
        return self


class Tokenizer:
    """Lower-case words of two or more letters or digits, without stop words, stemmed.

    Letters are in Unicode's NFKC, so that an accent counts the same however it is encoded; marks
    (vowel signs of Indic scripts) belong to their word. One object serves passages and queries, so
    the two sides cannot disagree.
    """

    def __init__(self, settings: BM25Settings) -> None:
        self._form = folded if settings.fold_accents else composed
        self._segment = open_segmenter(settings.language)
        # In a language without spaces, a word may well be one letter.
        self._shortest = 1 if settings.short_terms or self._segment else 2
        self._stopwords: frozenset[str] = frozenset()
        self._stem: Callable[[list[str]], list[str]] | None = None
        if settings.stopwords:
            from bm25s.stopwords import STOPWORDS_EN

            self._stopwords = frozenset(STOPWORDS_EN)
        if settings.stemmer:
            from Stemmer import Stemmer

            # Its cache of words costs more than stemming where most words are new.
            self._stem = Stemmer(settings.stemmer, 0).stemWords

    def __call__(self, text: str) -> list[str]:
        """The index terms of a text, in order, repetitions kept."""
        return self.terms(self.words(text))

    def terms(self, words: list[str]) -> list[str]:
        """The term of each word."""
        return self._stem(words) if self._stem else words

    def words(self, text: str) -> list[str]:
        """The words of a text that become terms, each by itself."""
        text = self._form(text).lower()
        parts = [text] if self._segment is None else self._segment(text)
        return [
            found
            for part in parts
            for found in words_of(part)
            if len(found) >= self._shortest and found not in self._stopwords
        ]


def words_of(text: str) -> list[str]:
    """Its runs of letters and digits, each with the marks that follow them."""
    found: list[str] = (_WORD if text.isascii() else _word_with_marks()).findall(text)
    return found


@cache
def _word_with_marks() -> re.Pattern[str]:
    """Words whose letters may have marks that no other letter includes.

    Python's ``\\w`` takes marks for the end of a word. Variation selectors are none.
    """
    marks = (
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Mn", "Mc") and not 0xFE00 <= code <= 0xFE0F
    )
    return re.compile(rf"\w[\w{re.escape(''.join(marks))}]*")
