"""Languages of a sparse index: how text becomes words, and what finds their stems.

Where words have spaces between them, Snowball's stemmers serve (PyStemmer); Chinese, Japanese and
Thai have no spaces and take a library that knows their words (the extra ``languages``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from harness.errors import ConfigError, did_you_mean

Segment = Callable[[str], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Language:
    """Snowball's stemmer of a language, or the library that separates its words."""

    stemmer: str | None = None
    library: str | None = None
    open: Callable[[Any], Segment] | None = None
    """The segmenter of the library's module."""
    letters: tuple[tuple[str, str], ...] = ()
    """First and last letters of its script's blocks, if its words have no spaces."""


def _chinese(rjieba: Any) -> Segment:
    segment: Segment = rjieba.cut_for_search
    return segment


def _japanese(janome: Any) -> Segment:
    tokenizer = janome.Tokenizer(wakati=True)
    segment: Segment = tokenizer.tokenize
    return segment


def _thai(pythainlp: Any) -> Segment:
    def segment(text: str) -> Iterable[str]:
        # NFKC takes the letter sara am apart, and the dictionary knows it whole.
        whole = text.replace("\u0e4d\u0e32", "\u0e33")
        words: list[str] = pythainlp.word_tokenize(whole, engine="newmm", keep_whitespace=False)
        return words

    return segment


_HAN = (("\u3400", "\u9fff"), ("\U00020000", "\U0003ffff"))
_KANA = ("\u3041", "\u30ff")
_STEMMED = {
    "ar": "arabic", "ca": "catalan", "da": "danish", "de": "german", "el": "greek",
    "en": "english", "es": "spanish", "eu": "basque", "fi": "finnish", "fr": "french",
    "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian",
    "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch", "no": "norwegian",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish",
    "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
LANGUAGES: dict[str, Language] = {
    **{code: Language(stemmer=name) for code, name in _STEMMED.items()},
    "ja": Language(library="janome", open=_japanese, letters=(_KANA, *_HAN)),
    "th": Language(library="pythainlp", open=_thai, letters=(("\u0e01", "\u0e5b"),)),
    "zh": Language(library="rjieba", open=_chinese, letters=_HAN),
    "other": Language(),
}
"""By ISO 639-1 code; ``other`` is any language with spaces, without a stemmer."""
_MODULES = {"janome": "janome.tokenizer"}


class TermParams(BaseModel):
    """Which terms a sparse index has; parameters of every method that may use one.

    Those that have their default are left out of what is written, since they came after the first
    runs, whose ids stay.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field("en", description="bm25: of corpus and questions, such as de or zh")
    fold_accents: bool = Field(False, description="bm25: 'Beyonce' finds 'Beyonc\u00e9'")
    short_terms: bool = Field(False, description="bm25: also terms of one letter or digit")

    @field_validator("language", mode="before")
    @classmethod
    def _norwegian(cls, code: Any) -> Any:
        # YAML reads no, Norwegian's code, as a truth value.
        return "no" if code is False else code

    @field_validator("language")
    @classmethod
    def _known(cls, code: str) -> str:
        if code not in LANGUAGES:
            raise ValueError(f"unknown language{did_you_mean(code, sorted(LANGUAGES))}")
        return code

    @model_serializer(mode="wrap")
    def _without_defaults(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = TermParams.model_fields
        return {k: v for k, v in write(self).items() if k not in fields or v != fields[k].default}

    def terms(self) -> dict[str, Any]:
        """Those that are not the default, as settings of the index."""
        given = {name: getattr(self, name) for name in TermParams.model_fields}
        return {k: v for k, v in given.items() if v != TermParams.model_fields[k].default}


def check_language(code: str) -> None:
    """Raise ConfigError if the library that separates the language's words is not installed."""
    library = LANGUAGES[code].library
    if library is not None and find_spec(library) is None:
        raise ConfigError(
            f"language={code} needs the library {library}, which separates its words; install it: "
            "pip install 'lm-memory-harness[languages]'"
        )


def open_segmenter(code: str) -> Segment | None:
    """What separates the words of a language that has no spaces; None where it has."""
    language = LANGUAGES[code]
    if language.library is None or language.open is None:
        return None
    check_language(code)
    return language.open(import_module(_MODULES.get(language.library, language.library)))


def library_versions(code: str) -> dict[str, str]:
    """Version of the library that separates the language's words, by name."""
    library = LANGUAGES[code].library
    return {} if library is None else {library: version(library)}


def spaceless(texts: Iterable[str]) -> str | None:
    """The language without spaces that most letters of the texts are of, None for any other."""
    letters = [letter for text in texts for letter in text if letter.isalpha()]
    counts = {code: sum(_is_of(letter, code) for letter in letters) for code in ("th", "ja")}
    kana = sum(_KANA[0] <= letter <= _KANA[1] for letter in letters)
    if 2 * counts["th"] > len(letters):
        return "th"
    if 2 * counts["ja"] > len(letters):
        # Japanese has kana between its Han letters.
        return "ja" if 10 * kana > len(letters) else "zh"
    return None


def _is_of(letter: str, code: str) -> bool:
    return any(first <= letter <= last for first, last in LANGUAGES[code].letters)
