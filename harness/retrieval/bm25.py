"""BM25 over title and text: bm25s weighs the terms, this module ranks."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from pydantic import ValidationError

from harness.errors import ConfigError, InputError
from harness.files import cache_dir
from harness.fingerprint import fingerprint
from harness.records import Passage
from harness.retrieval.base import Built, Progress, Retriever
from harness.retrieval.bm25_building import build, build_sealed
from harness.retrieval.building import Note, work_of
from harness.retrieval.catalogue import explain
from harness.retrieval.languages import LANGUAGES, check_language, library_versions
from harness.retrieval.postings import Postings
from harness.retrieval.selftest import check_index, check_words
from harness.retrieval.terms import BM25Settings, Tokenizer
from harness.sealed import check_sealed

if TYPE_CHECKING:
    from harness.data.corpus import Corpus

_log = logging.getLogger(__name__)
# Raised when an index is saved in another form.
_FILES = 2


class BM25Retriever(Retriever):
    """Exact BM25 search of one corpus.

    Term weights are stored in float32 and summed in float64, where such sums are exact for any
    realistic query: a score does not depend on the order of the query's words, and equal scores
    are true ties. A word that occurs twice in the query counts twice. The index is cached by
    corpus, settings and library version and memory-mapped; a damaged one is built again.
    """

    name = "bm25"
    kind = "bm25"

    @classmethod
    def open(
        cls, corpus: Corpus, settings: Mapping[str, Any], progress: Progress | None = None
    ) -> BM25Retriever:
        """Build or load the index, and test that it finds its own passages and words."""
        opened = cls(corpus, _settings(settings), progress=progress)
        check_index(opened, corpus, opened.folder)
        if LANGUAGES[opened.settings.language].library is None:
            check_words(opened, corpus, opened.folder)
        return opened

    @classmethod
    def config(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of BM25Settings, later ones where they are not the default.

        Raises ConfigError for settings that do not fit and for a library that is not installed.
        """
        return _settings(settings).model_dump()

    @classmethod
    def revision(cls, *, ascii_only: bool) -> int:
        """2 since letters are brought into one form, which changes nothing where all are ASCII."""
        return 1 if ascii_only else 2

    def __init__(
        self,
        corpus: Corpus,
        settings: BM25Settings | None = None,
        *,
        progress: Progress | None = None,
    ) -> None:
        """Build or load the index. Raises InputError if no passage holds a word to index."""
        self.settings = settings or BM25Settings()
        self.folder = cache_dir("bm25") / _key(corpus, self.settings)
        self._corpus = corpus
        self._tokenize = Tokenizer(self.settings)
        note = self.folder.with_suffix(".json")
        loaded = _load(self.folder)
        self.built = Built(cached=True, seconds=Note.read(note).seconds or None)
        if loaded is None or os.access(work_of(self.folder), os.W_OK):
            self.built = build_sealed(self.folder, corpus, self.settings, progress) or self.built
            loaded = _load(self.folder)
        if loaded is None:
            raise InputError(f"{self.folder}: cannot be read back; delete it and try again")
        self._postings, self._bytes = loaded

    def search(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        """The k best passages a query; fewer when fewer share a term with it, none for none."""
        return [self._postings.search(self._tokenize(query), self._corpus, k) for query in queries]

    def storage(self) -> dict[str, int]:
        """Bytes of the saved index files."""
        return {"sparse index": self._bytes}

    def provenance(self) -> dict[str, Any]:
        """Versions of the libraries that separate, stem and weigh the terms; a compiler's."""
        is_compiled = self._postings.is_compiled(len(self._corpus))
        return _versions(self.settings) | ({"numba": version("numba")} if is_compiled else {})


class BM25InMemory:
    """The same search over an index that is built anew and kept in no file.

    For memories that hold their passages in a form of their own.
    """

    def __init__(self, corpus: Corpus, settings: Mapping[str, Any]) -> None:
        """Build the index. Raises InputError if no passage holds a word to index."""
        own = _settings(settings)
        self.corpus = corpus
        self._tokenize = Tokenizer(own)
        # The usual name: a method may write there and nowhere else but in its own folders.
        with TemporaryDirectory() as scratch:
            build(corpus, own, Path(scratch), Path(scratch), cores=1)
            self._postings = Postings.open(Path(scratch), mapped=False)

    def search(self, query: str, k: int) -> list[Passage]:
        """The k best passages; fewer when fewer share a term with the query, none for none."""
        return self._postings.search(self._tokenize(query), self.corpus, k)

    def terms(self, text: str) -> list[str]:
        """What is searched for of a text, in its order: stems, without stop words."""
        return self._tokenize(text)

    def scores(self, query: str, without: str = "") -> NDArray[Any]:
        """Scores float64 [passages] in the corpus's order; 0 where no term is shared.

        The terms of the text ``without`` are left out of the query.
        """
        told = set(self._tokenize(without))
        terms = [term for term in self._tokenize(query) if term not in told]
        return self._postings.scores(terms, len(self.corpus))


def _settings(values: Mapping[str, Any]) -> BM25Settings:
    try:
        settings = BM25Settings(**values)
    except ValidationError as error:
        raise ConfigError(f"settings of bm25: {explain(error)}") from error
    check_language(settings.language)
    return settings


def _versions(settings: BM25Settings) -> dict[str, str]:
    own = {"bm25s": version("bm25s"), "PyStemmer": version("PyStemmer")}
    return own | library_versions(settings.language)


def _key(corpus: Corpus, settings: BM25Settings) -> str:
    what = {
        "corpus": corpus.fingerprint,
        "settings": settings.model_dump(),
        **_versions(settings),
        "index": BM25Retriever.revision(ascii_only=corpus.is_ascii),
        "files": _FILES,
    }
    return fingerprint(what)[:32]


def _load(folder: Path) -> tuple[Postings, int] | None:
    try:
        size = check_sealed(folder)
        return Postings.open(folder), size
    except FileNotFoundError:
        return None
    except (InputError, OSError, ValueError) as error:
        _log.warning("BM25 index is damaged and will be built again: %s", error)
        return None
