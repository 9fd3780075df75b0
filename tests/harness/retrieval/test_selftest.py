from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from harness.data.corpus import Corpus
from harness.errors import HarnessError
from harness.records import Question
from harness.retrieval.bm25 import BM25Retriever
from harness.retrieval.dense import DenseRetriever, build_dense
from harness.retrieval.selftest import check_index, check_words
from tests.harness.retrieval.helpers import HashEncoder, corpus_of

TITLES = [f"{a} {b}" for a in ("Running", "Studies", "Happiness") for b in ("cities", "armies")]

TASKS = ["nq", "triviaqa"]


@pytest.mark.usefixtures("indexes")
@pytest.mark.parametrize("task", TASKS)
def test_a_sound_index_passes(
    task: str, sample: Callable[[str], tuple[Corpus, list[Question]]]
) -> None:
    corpus, _ = sample(task)
    retriever = BM25Retriever(corpus)
    check_index(retriever, corpus, retriever.folder)
    check_index(retriever, corpus, retriever.folder, samples=200)


@pytest.mark.usefixtures("indexes")
@pytest.mark.parametrize("task", TASKS)
def test_shuffled_passages_are_caught(
    task: str, sample: Callable[[str], tuple[Corpus, list[Question]]]
) -> None:
    corpus, _ = sample(task)
    retriever = BM25Retriever(corpus)
    sound = retriever._postings
    shuffled = np.random.default_rng(0).permutation(len(corpus))[sound.positions]
    retriever._postings = replace(sound, positions=shuffled)
    with pytest.raises(HarnessError, match=f"bm25 index is broken.*delete {retriever.folder}"):
        check_index(retriever, corpus, retriever.folder)


@pytest.mark.usefixtures("indexes")
@pytest.mark.parametrize("task", TASKS)
def test_unstemmed_queries_on_a_stemmed_index_are_caught(
    task: str, sample: Callable[[str], tuple[Corpus, list[Question]]]
) -> None:
    corpus, _ = sample(task)
    retriever = BM25Retriever(corpus)
    check_words(retriever, corpus, retriever.folder)
    check_words(retriever, corpus, retriever.folder, samples=200)
    retriever._tokenize._stem = None
    with pytest.raises(HarnessError, match=f"words are known; delete {retriever.folder}"):
        check_words(retriever, corpus, retriever.folder)


def test_unstemmed_queries_on_common_words_are_caught() -> None:
    corpus = corpus_of(*["some text"] * len(TITLES), titles=TITLES)
    retriever = BM25Retriever(corpus)
    retriever._tokenize._stem = None
    with pytest.raises(HarnessError, match="broken"):
        check_index(retriever, corpus, retriever.folder)


def test_shuffled_vectors_are_caught() -> None:
    corpus = corpus_of(
        *[f"text number{i} word{i}" for i in range(100)], titles=[f"Title{i}" for i in range(100)]
    )
    sound = build_dense(corpus, HashEncoder())
    check_index(sound, corpus, "here", with_text=True)
    import faiss

    shuffled = faiss.IndexFlatIP(64)
    shuffled.add(sound._index.reconstruct_n(0, 100)[::-1].copy())
    with pytest.raises(HarnessError, match="delete here"):
        check_index(DenseRetriever(corpus, HashEncoder(), shuffled), corpus, "here", with_text=True)


def test_titles_shared_by_many_passages_pass() -> None:
    corpus = corpus_of(*[f"word{i} text" for i in range(60)], titles=["Same title"] * 60)
    retriever = BM25Retriever(corpus)
    check_index(retriever, corpus, retriever.folder)


def test_titles_that_cannot_tell_passages_apart_pass() -> None:
    titles = [f"Doc {i}" for i in range(9)] + ["Doc"] * 30
    corpus = corpus_of(*[f"word{i} text" for i in range(39)], titles=titles)
    retriever = BM25Retriever(corpus)
    check_index(retriever, corpus, retriever.folder)


@pytest.mark.parametrize("title", ["", "It", "!!!", "The The"])
def test_titles_that_cannot_be_searched_pass(title: str) -> None:
    corpus = corpus_of("!", "some important text", titles=[title, title])
    retriever = BM25Retriever(corpus)
    check_index(retriever, corpus, retriever.folder)
