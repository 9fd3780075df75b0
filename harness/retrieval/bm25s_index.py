"""A bm25s index that somebody built before, FlashRAG's for example, as a retriever."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data.npy import mapped_npy
from harness.errors import ConfigError, InputError
from harness.files import expanded, read_json
from harness.records import Passage
from harness.retrieval.base import Built, Progress, Retriever
from harness.retrieval.postings import Postings
from harness.retrieval.prebuilt import BM25S, index_sha256

if TYPE_CHECKING:
    from harness.data.corpus import Corpus

_ARRAYS = ("data.csc.index.npy", "indices.csc.index.npy", "indptr.csc.index.npy")
_PARAMS, _VOCABULARY = "params.index.json", "vocab.index.json"
_NEEDED = (*_ARRAYS, _PARAMS, _VOCABULARY)
_STOPWORDS, _TOKENIZER = "stopwords.tokenizer.json", "vocab.tokenizer.json"
_CORPUS = "corpus.jsonl"
# Variants whose weights add up to the score; others add a constant for absent terms.
_METHODS = ("lucene", "robertson", "atire")
# bm25s's own pattern, in both of its tokenizers.
_WORDS = re.compile(r"(?u)\b\w\w+\b")
_SAMPLES = 100
# Of the words of the sampled passages: a few may have been counted in another form.
_KNOWN, _PLACED = 0.95, 0.9
# The same of each passage alone, if it has so many words: the end of a corpus may have moved.
_PLACED_OF_ONE, _MANY_WORDS = 0.6, 10

Stem = Callable[[list[str]], list[str]]


class Bm25sIndex(Retriever):
    """Searches a folder of bm25s; queries become terms as the indexed passages did.

    bm25s does not note how it tokenised. FlashRAG's indexes are stemmed, its queries are not, so
    that "telephone" finds nothing; here the stemmer is the one that leads from the corpus's words
    to the vocabulary. Scores are summed as those of ``BM25Retriever``. ``settings`` hold ``spec``.
    """

    kind = "bm25s"
    built = Built(cached=True)

    @classmethod
    def open(
        cls, corpus: Corpus, settings: Mapping[str, Any], progress: Progress | None = None
    ) -> Bm25sIndex:
        """Open the folder. Raises InputError for what ``check`` finds."""
        del progress  # nothing is built
        return cls(corpus, _folder(settings))

    @classmethod
    def config(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What the index holds."""
        folder = _folder(settings)
        _check_files(folder)
        return {"index_sha256": index_sha256(_files(folder))}

    @classmethod
    def check(cls, corpus: Corpus, settings: Mapping[str, Any]) -> None:
        """The number of passages, their order and a tokenizer that fits the vocabulary."""
        cls.open(corpus, settings)

    def __init__(self, corpus: Corpus, folder: Path) -> None:
        """Open the index of a corpus. Raises InputError if it is of another or cannot be read."""
        self.name = folder.name
        self._folder, self._corpus = folder, corpus
        self._postings = _read(folder, len(corpus))
        self._stopwords = _stopwords(folder, self._postings.vocabulary)
        if (folder / _CORPUS).is_file():
            _check_saved_corpus(folder / _CORPUS, corpus)
        self._stemmer = self._find_stemmer()
        self._stem = _stem_of(self._stemmer)

    def search(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        """The k best passages a query; fewer when fewer share a term with it, none for none."""
        return [
            self._postings.search(self._stem(self._words(query)), self._corpus, k)
            for query in queries
        ]

    def storage(self) -> dict[str, int]:
        """Bytes of the index's files, a saved corpus left out."""
        return {"sparse index": sum(file.stat().st_size for file in _files(self._folder))}

    def provenance(self) -> dict[str, Any]:
        """Where the index lay, the stemmer that was found, and PyStemmer's version."""
        return {
            "index": str(self._folder),
            "stemmer": self._stemmer or "none",
            "PyStemmer": version("PyStemmer"),
        }

    def _words(self, text: str) -> list[str]:
        return [word for word in _WORDS.findall(text.lower()) if word not in self._stopwords]

    def _find_stemmer(self) -> str | None:
        """Snowball's stemmer that makes the corpus's words the vocabulary's terms; None for none.

        Raises InputError if none does, or if the passages stand in another order.
        """
        from Stemmer import algorithms

        positions = _spread(len(self._corpus))
        passages = {p: sorted(set(self._words(self._corpus[p].contents))) for p in positions}
        words = sorted({word for each in passages.values() for word in each})
        shares = {
            name: self._known(_stem_of(name)(words))
            for name in (None, "english", *sorted(set(algorithms()) - {"english"}))
        }
        best = max(shares.values())
        if best < _KNOWN:
            raise InputError(
                f"{self._folder}: knows only {100 * best:.0f} % of the words of the corpus, "
                "whichever stemmer they are given; it was built from another corpus or by an "
                "unknown tokenizer; build it again, with FlashRAG's Index_Builder for example"
            )
        names = [name for name, share in shares.items() if share == best]
        stemmer = names[0] if len(names) == 1 else self._told(names)
        if not self._is_in_place(passages, _stem_of(stemmer)):
            raise InputError(
                f"{self._folder}: its passages are others than those of the corpus, or in another "
                "order; open the corpus file that the index was built from"
            )
        return stemmer

    def _known(self, terms: Sequence[str]) -> float:
        return sum(term in self._postings.vocabulary for term in terms) / max(1, len(terms))

    def _told(self, names: list[str | None]) -> str | None:
        """Of stemmers that fit alike, the one that fits what the tokenizer noted, if it did."""
        if not (self._folder / _TOKENIZER).is_file():
            return names[0]
        noted = read_json(self._folder / _TOKENIZER)
        stems = noted.get("word_to_stem") if isinstance(noted, dict) else None
        if not isinstance(stems, dict) or not stems:
            return names[0]
        words, wanted = list(stems), list(stems.values())
        fitting = [name for name in names if name and _stem_of(name)(words) == wanted]
        return fitting[0] if fitting else names[0]

    def _is_in_place(self, passages: Mapping[int, list[str]], stem: Stem) -> bool:
        """Whether the postings of the passages' known words name them: of each, and of all."""
        each = [list(self._placed(p, stem(words))) for p, words in passages.items()]
        everything = [placed for known in each for placed in known]
        # Another passage has some words, too, the more of them in few.
        long = [known for known in each if len(known) >= _MANY_WORDS]
        return sum(everything) >= _PLACED * len(everything) and all(
            sum(known) >= _PLACED_OF_ONE * len(known) for known in long
        )

    def _placed(self, position: int, terms: Iterable[str]) -> Iterator[bool]:
        for term in terms:
            if (number := self._postings.vocabulary.get(term)) is not None:
                there = self._postings.positions[self._postings.of_term(number)]
                yield bool((there == position).any())


def _folder(settings: Mapping[str, Any]) -> Path:
    place = settings["spec"].removeprefix(BM25S)
    if not place:
        raise ConfigError("retriever 'bm25s:': write it as bm25s:FOLDER (bm25s:indexes/bm25)")
    return expanded(place)


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected an index saved by bm25s")
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing == [_VOCABULARY]:
        raise InputError(
            f"{folder}: holds no vocabulary ({_VOCABULARY}), so no query can be searched; build "
            "the index again with a bm25s that saves it"
        )
    if missing:
        raise InputError(
            f"{folder}: no bm25s index, {', '.join(missing)} missing; give the folder that "
            "bm25s saved (FlashRAG's save_dir/bm25)"
        )


def _files(folder: Path) -> list[Path]:
    """The files that decide results."""
    names = (*_NEEDED, _STOPWORDS, _TOKENIZER)
    return [folder / name for name in names if (folder / name).is_file()]


def _read(folder: Path, passages: int) -> Postings:
    """The arrays, memory-mapped, once they are known to fit each other and the corpus."""
    _check_files(folder)
    params, vocabulary = read_json(folder / _PARAMS), read_json(folder / _VOCABULARY)
    if not isinstance(params, dict) or params.get("method") not in _METHODS:
        found = params.get("method") if isinstance(params, dict) else None
        raise InputError(
            f"{folder / _PARAMS}: method {found!r}; only {', '.join(_METHODS)} are read"
        )
    if params.get("num_docs") != passages:
        raise InputError(
            f"{folder}: holds {params.get('num_docs')} passages, but the corpus has {passages}; "
            "open the corpus file that the index was built from"
        )
    try:
        weights, positions, starts = (mapped_npy(folder / name) for name in _ARRAYS)
    except (ValueError, OSError) as error:
        raise InputError(f"{folder}: damaged ({error}); build the index again") from error
    # bm25s gives the empty text a number, also one without any posting.
    terms = {k: v for k, v in vocabulary.items() if k} if isinstance(vocabulary, dict) else {}
    postings = Postings(terms, weights, positions, np.asarray(starts))
    if not _is_sound(postings, passages):
        raise InputError(f"{folder}: its files do not fit each other; build the index again")
    falls = np.flatnonzero(positions[1:] < positions[:-1]) + 1
    return replace(postings, in_order=bool(np.isin(falls, starts).all()))


def _is_sound(postings: Postings, passages: int) -> bool:
    numbers, starts, positions = (postings.vocabulary.values(), postings.starts, postings.positions)
    return bool(
        numbers
        and starts.ndim == positions.ndim == postings.weights.ndim == 1
        and starts.dtype.kind in "iu"
        and positions.dtype.kind in "iu"
        and len(starts)
        and all(type(number) is int and 0 <= number < len(starts) - 1 for number in numbers)
        and postings.weights.dtype.kind == "f"
        and starts.dtype.kind in "iu"
        and postings.is_sound
        and (not len(positions) or (positions.min() >= 0 and positions.max() < passages))
        and bool(np.isfinite(postings.weights).all())
    )


def _stopwords(folder: Path, vocabulary: Mapping[str, int]) -> frozenset[str]:
    """Words that the index left out: as saved, else those of bm25s's lists that it lacks."""
    if (folder / _STOPWORDS).is_file():
        saved = read_json(folder / _STOPWORDS)
        if isinstance(saved, list) and all(isinstance(word, str) for word in saved):
            return frozenset(saved)
        if saved is not None:
            raise InputError(f"{folder / _STOPWORDS}: expected a list of words; build it again")
    from bm25s import stopwords

    lists = [getattr(stopwords, name) for name in dir(stopwords) if name.startswith("STOPWORDS_")]
    return frozenset(word for each in lists for word in each if word not in vocabulary)


def _stem_of(name: str | None) -> Stem:
    if name is None:
        return lambda words: words
    from Stemmer import Stemmer

    stem: Stem = Stemmer(name).stemWords
    return stem


def _spread(passages: int) -> range:
    return range(0, passages, max(1, passages // _SAMPLES))


def _check_saved_corpus(path: Path, corpus: Corpus) -> None:
    """The passages saved with the index are those of the run's corpus, in its order."""
    wanted, count = set(_spread(len(corpus))), 0
    with path.open("rb") as file:
        for count, line in enumerate(file, start=1):
            if count - 1 in wanted and not _is_same(line, corpus[count - 1]):
                raise InputError(
                    f"{path}:{count}: is not passage {corpus[count - 1].id!r}, which stands there "
                    "in the corpus; open the corpus file that the index was built from"
                )
    if count != len(corpus):
        raise InputError(
            f"{path}: holds {count} passages, but the corpus has {len(corpus)}; open the corpus "
            "file that the index was built from"
        )


def _is_same(line: bytes, passage: Passage) -> bool:
    try:
        row = json.loads(line)
    except ValueError:
        return False
    if not isinstance(row, dict):
        return False
    texts: Iterable[Any] = (row.get("contents"), row.get("text"))
    return str(row.get("id")) == passage.id or any(
        isinstance(text, str) and passage.text in text for text in texts
    )
