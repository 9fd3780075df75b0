"""BM25 over title and text: bm25s weighs the terms, this module ranks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from harness.errors import ConfigError, InputError
from harness.files import cache_dir
from harness.fingerprint import fingerprint
from harness.records import Passage
from harness.retrieval.base import Built, Progress, Retriever
from harness.retrieval.building import Note
from harness.retrieval.catalogue import explain
from harness.retrieval.languages import LANGUAGES, check_language, library_versions
from harness.retrieval.ranking import top_positive, with_scores
from harness.retrieval.selftest import check_index, check_words
from harness.retrieval.terms import BM25Settings, Tokenizer
from harness.sealed import check_sealed, write_sealed

if TYPE_CHECKING:
    from harness.data.corpus import Corpus

_log = logging.getLogger(__name__)
_PROGRESS_EVERY = 1024


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
        loaded, note = _load(self.folder), self.folder.with_suffix(".json")
        start = perf_counter()
        if loaded is None:
            index = _build(corpus, self.settings, self._tokenize, progress)
            write_sealed(self.folder, lambda path: index.save(str(path)))
            took = perf_counter() - start
            Note(len(corpus), took).write(note)
            self.built = Built(cached=False, seconds=took, now=took)
            loaded = _load(self.folder)
        else:
            self.built = Built(cached=True, seconds=Note.read(note).seconds or None)
        if loaded is None:
            raise InputError(f"{self.folder}: cannot be read back; delete it and try again")
        index, self._bytes = loaded
        self._postings = Postings.of(index)

    def search(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        """The k best passages a query; fewer when fewer share a term with it, none for none."""
        return [self._postings.search(self._tokenize(query), self._corpus, k) for query in queries]

    def storage(self) -> dict[str, int]:
        """Bytes of the saved index files."""
        return {"sparse index": self._bytes}

    def provenance(self) -> dict[str, Any]:
        """Versions of the libraries that separate, stem and weigh the terms."""
        return _versions(self.settings)


class BM25InMemory:
    """The same search over an index that is built anew and lies in no file.

    For memories that hold their passages in a form of their own.
    """

    def __init__(self, corpus: Corpus, settings: Mapping[str, Any]) -> None:
        """Build the index. Raises InputError if no passage holds a word to index."""
        own = _settings(settings)
        self.corpus = corpus
        self._tokenize = Tokenizer(own)
        self._postings = Postings.of(_build(corpus, own, self._tokenize, None))

    def search(self, query: str, k: int) -> list[Passage]:
        """The k best passages; fewer when fewer share a term with the query, none for none."""
        return self._postings.search(self._tokenize(query), self.corpus, k)

    def scores(self, query: str) -> NDArray[Any]:
        """Scores float64 [passages] in the corpus's order; 0 where no term is shared."""
        return self._postings.scores(self._tokenize(query), len(self.corpus))


@dataclass(frozen=True, slots=True)
class Postings:
    """A bm25s index taken apart: for every term the passages that hold it, and its weights there.

    Those of the term numbered t lie from ``starts[t]`` to ``starts[t + 1]``.
    """

    vocabulary: Mapping[str, int]
    weights: NDArray[Any]
    positions: NDArray[Any]
    starts: Sequence[int]

    @classmethod
    def of(cls, index: Any) -> Postings:
        """The arrays of an open ``bm25s.BM25``, still memory-mapped."""
        scores = index.scores
        return cls(index.vocab_dict, scores["data"], scores["indices"], scores["indptr"].tolist())

    def of_term(self, term: int) -> slice:
        """Where the postings of a term lie."""
        return slice(self.starts[term], self.starts[term + 1])

    def search(self, terms: Sequence[str], corpus: Corpus, k: int) -> list[Passage]:
        """The k best passages for the terms of a query; unknown ones are left out."""
        scores = self.scores(terms, len(corpus))
        best = top_positive(scores, k)
        return with_scores(corpus, best, scores[best])

    def scores(self, terms: Sequence[str], passages: int) -> NDArray[Any]:
        """Scores float64 [passages] for the terms of a query; 0 where none is known."""
        known = [self.vocabulary[term] for term in terms if term in self.vocabulary]
        if not known:
            return np.zeros(passages)
        postings = [self.of_term(term) for term in known]
        scores: NDArray[Any] = np.bincount(
            np.concatenate([self.positions[part] for part in postings]),
            weights=np.concatenate([self.weights[part] for part in postings]),
            minlength=passages,
        )
        return scores


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
    }
    return fingerprint(what)[:32]


def _load(folder: Path) -> tuple[Any, int] | None:
    import bm25s

    try:
        size = check_sealed(folder)
        return bm25s.BM25.load(str(folder), mmap=True, load_corpus=False), size
    except FileNotFoundError:
        return None
    except (InputError, OSError, ValueError, KeyError) as error:
        _log.warning("BM25 index is damaged and will be built again: %s", error)
        return None


def _build(
    corpus: Corpus, settings: BM25Settings, tokenize: Tokenizer, progress: Progress | None
) -> Any:
    import bm25s

    vocabulary: dict[str, int] = {}
    documents: list[list[int]] = []
    for done, passage in enumerate(corpus, start=1):
        tokens = tokenize(passage.contents)
        documents.append([vocabulary.setdefault(token, len(vocabulary)) for token in tokens])
        if progress and (done % _PROGRESS_EVERY == 0 or done == len(corpus)):
            progress(done, len(corpus))
    if not vocabulary:
        raise InputError("no passage of the corpus holds a word that BM25 can index")
    index = bm25s.BM25(k1=settings.k1, b=settings.b, method=settings.method)
    # Ids in order of first occurrence: bm25s' own vocabulary follows Python's random set order.
    index.scores = index.build_index_from_ids(
        list(vocabulary.values()), documents, show_progress=False
    )
    index.vocab_dict = vocabulary
    return index
