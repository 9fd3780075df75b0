from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from errno import ENOSPC
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.data.corpus import Corpus
from harness.errors import InputError
from harness.records import Question
from harness.retrieval.bm25 import BM25Retriever
from harness.retrieval.ranking import top_positive
from harness.retrieval.terms import BM25Settings, Tokenizer
from harness.sealed import write_sealed
from tests.harness.retrieval.helpers import corpus_of

FLOORS = {"nq": 0.89, "triviaqa": 0.94, "hotpotqa": 0.74, "musique": 0.46}


def ids(retriever: BM25Retriever, query: str, k: int = 10) -> list[str]:
    return [passage.id for passage in retriever.search([query], k)[0]]


def naive(corpus: Corpus, used: BM25Settings, query: str, k: int) -> list[tuple[str, float]]:
    """The Lucene formula over every passage, term weights rounded to float32."""
    tokenize = Tokenizer(used)
    documents = [tokenize(passage.contents) for passage in corpus]
    mean = sum(map(len, documents)) / len(documents)
    scores = []
    for document in documents:
        weights = []
        for term in tokenize(query):
            frequency, holders = document.count(term), sum(term in d for d in documents)
            idf = math.log(1 + (len(documents) - holders + 0.5) / (holders + 0.5))
            norm = used.k1 * (1 - used.b + used.b * len(document) / mean)
            if frequency:
                weights.append(float(np.float32(idf) * np.float32(frequency / (norm + frequency))))
        scores.append(math.fsum(weights))
    ranked = sorted(range(len(scores)), key=lambda i: (-round(scores[i], 5), i))
    return [(corpus[i].id, scores[i]) for i in ranked if scores[i] > 0][:k]


def test_word_forms_meet_in_one_stem() -> None:
    retriever = BM25Retriever(corpus_of("a man run home", "two cats sleeping"))
    assert ids(retriever, "running") == ["p0"]
    assert ids(retriever, "cat sleeps") == ["p1"]


def test_without_stemmer_word_forms_stay_apart() -> None:
    retriever = BM25Retriever(corpus_of("a man run home"), BM25Settings(stemmer=None))
    assert ids(retriever, "running") == []
    assert ids(retriever, "RUN") == ["p0"]


def test_titles_are_searched() -> None:
    retriever = BM25Retriever(corpus_of("first text", "second text", titles=["Ada", "Grace"]))
    assert ids(retriever, "grace") == ["p1"]


@pytest.mark.parametrize("query", ["", "   ", "the of and", "?!", "x", "zebra"])
def test_a_query_without_a_known_word_finds_nothing(query: str) -> None:
    assert BM25Retriever(corpus_of("some text here", "more text")).search([query], 5) == [[]]


def test_stop_words_count_when_asked_for() -> None:
    corpus = corpus_of("to be or not to be", "another sentence")
    assert ids(BM25Retriever(corpus, BM25Settings(stopwords=None)), "to be") == ["p0"]


def test_passages_that_share_no_word_are_not_returned() -> None:
    retriever = BM25Retriever(corpus_of("red apple", "green pear", "red wine"))
    assert ids(retriever, "red", k=3) == ["p0", "p2"]


def test_equal_scores_rank_by_corpus_position() -> None:
    retriever = BM25Retriever(corpus_of(*["same words here"] * 2000, "same words here longer"))
    assert ids(retriever, "same words", k=5) == ["p0", "p1", "p2", "p3", "p4"]
    scores = {passage.score for passage in retriever.search(["same"], 5)[0]}
    assert len(scores) == 1


def test_word_order_does_not_change_scores() -> None:
    corpus = corpus_of("alpha beta gamma delta", "beta gamma delta epsilon epsilon", "alpha alpha")
    retriever = BM25Retriever(corpus)
    forward, backward = retriever.search(
        ["alpha beta gamma epsilon", "epsilon gamma beta alpha"], 3
    )
    assert [(p.id, p.score) for p in forward] == [(p.id, p.score) for p in backward]


words = st.sampled_from(["apple", "pear", "plum", "runs", "running", "the", "x", "blue"])
texts = st.lists(words, max_size=8).map(" ".join)
passages = st.lists(words, min_size=1, max_size=8).map(" ".join)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    documents=st.lists(passages, min_size=1, max_size=9),
    queries=st.lists(texts, min_size=1, max_size=4),
    k=st.integers(1, 10),
    k1=st.sampled_from([0.9, 1.2, 2.0]),
    b=st.sampled_from([0.0, 0.4, 0.75, 1.0]),
)
def test_ranking_is_the_bm25_formula(
    documents: list[str], queries: list[str], k: int, k1: float, b: float
) -> None:
    used = BM25Settings(k1=k1, b=b)
    corpus = corpus_of("apple anchor", *documents)
    for query, found in zip(queries, BM25Retriever(corpus, used).search(queries, k), strict=True):
        expected = naive(corpus, used, query, k)
        assert [p.id for p in found] == [passage_id for passage_id, _ in expected]
        assert [p.score for p in found] == pytest.approx([s for _, s in expected], rel=1e-5)


@pytest.mark.parametrize("method", ["lucene", "robertson", "atire"])
def test_all_variants_put_the_best_match_first(method: str) -> None:
    corpus = corpus_of("red apple pie", "green pear", "blue plum", "grey stone")
    used = BM25Settings.model_validate({"method": method})
    assert ids(BM25Retriever(corpus, used), "apple pie")[0] == "p0"


@given(
    values=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    repeats=st.integers(1, 200),
    k=st.integers(1, 60),
)
def test_the_best_k_are_a_full_sort_cut_off(values: list[int], repeats: int, k: int) -> None:
    scores = np.array(values * repeats, np.float64)
    expected = [i for i in np.lexsort((np.arange(len(scores)), -scores)) if scores[i] > 0][:k]
    assert top_positive(scores, k).tolist() == expected


@pytest.mark.usefixtures("indexes")
def test_results_do_not_depend_on_the_other_queries(
    sample: Callable[[str], tuple[Corpus, list[Question]]],
) -> None:
    corpus, questions = sample("nq")
    queries = [question.text for question in questions[:20]]
    retriever = BM25Retriever(corpus)
    together = retriever.search(queries, 10)
    alone = [retriever.search([query], 10)[0] for query in queries]
    assert [[(p.id, p.score) for p in r] for r in together] == [
        [(p.id, p.score) for p in r] for r in alone
    ]


@pytest.mark.usefixtures("indexes")
@pytest.mark.parametrize("task", FLOORS)
def test_recall_on_the_shipped_questions(
    task: str, sample: Callable[[str], tuple[Corpus, list[Question]]]
) -> None:
    corpus, questions = sample(task)
    results = BM25Retriever(corpus).search([question.text for question in questions], 5)
    recalls = [
        len({p.id for p in found} & set(question.gold_doc_ids)) / len(question.gold_doc_ids)
        for question, found in zip(questions, results, strict=True)
    ]
    assert np.mean(recalls) >= FLOORS[task]


@pytest.mark.usefixtures("indexes")
def test_thousands_of_queries_take_seconds(
    sample: Callable[[str], tuple[Corpus, list[Question]]],
) -> None:
    corpus, questions = sample("nq")
    retriever = BM25Retriever(corpus)
    start = time.process_time()
    retriever.search([question.text for question in questions] * 3, 5)
    assert time.process_time() - start < 10


def test_settings_refuse_typos_and_changes() -> None:
    with pytest.raises(ValidationError):
        BM25Settings.model_validate({"k": 1})
    with pytest.raises(ValidationError):
        BM25Settings(k1=float("nan"))
    with pytest.raises(ValidationError):
        BM25Settings().k1 = 2.0  # type: ignore[misc]


def test_a_corpus_without_words_is_refused() -> None:
    with pytest.raises(InputError, match="no passage"):
        BM25Retriever(corpus_of("the", "!"))


def test_the_index_is_built_once_and_memory_mapped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = corpus_of("red apple", "green pear")
    first = BM25Retriever(corpus)
    monkeypatch.setattr("harness.retrieval.bm25.build_sealed", None)
    second = BM25Retriever(corpus)
    assert isinstance(second._postings.weights, np.memmap)
    assert ids(second, "apple") == ids(first, "apple") == ["p0"]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_another_corpus_or_setting_gets_its_own_index() -> None:
    corpus = corpus_of("red apple")
    folders = {
        BM25Retriever(corpus).folder,
        BM25Retriever(corpus, BM25Settings(k1=0.9)).folder,
        BM25Retriever(corpus_of("red apples")).folder,
    }
    assert len(folders) == 3


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 0xFF
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink])
@pytest.mark.parametrize(
    "part",
    ["weights", "passages", "starts", "terms.text", "terms.ends", "terms.hashes", "terms.order",
     "seal"],
)  # fmt: skip
def test_a_damaged_index_is_built_again(
    part: str, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    corpus = corpus_of("red apple", "green pear")
    folder = BM25Retriever(corpus).folder
    (file,) = [file for file in folder.iterdir() if file.name.startswith(part)]
    damage(file)
    with caplog.at_level(logging.WARNING):
        assert ids(BM25Retriever(corpus), "pear") == ["p1"]
    assert "built again" in caplog.text
    caplog.clear()
    assert ids(BM25Retriever(corpus), "pear") == ["p1"]
    assert "built again" not in caplog.text


def test_a_crash_while_saving_leaves_no_index_and_no_half_of_one(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("harness.retrieval.inverting.Strings.save", crash)
        with pytest.raises(InputError, match="cannot write there .No space left on device."):
            BM25Retriever(corpus_of("red apple"))
    (left,) = (cache / "bm25").iterdir()
    assert left.suffix == ".building"
    assert ids(BM25Retriever(corpus_of("red apple")), "apple") == ["p0"]
    assert not left.exists()


def test_a_sound_index_from_another_process_is_kept(tmp_path: Path) -> None:
    write_sealed(tmp_path / "index", lambda path: (path / "file").write_text("first"))
    write_sealed(tmp_path / "index", lambda path: (path / "file").write_text("second"))
    assert (tmp_path / "index" / "file").read_text() == "first"
    assert [file.name for file in tmp_path.glob(".index*")] == []


def test_storage_is_the_size_of_the_index_files() -> None:
    retriever = BM25Retriever(corpus_of("red apple", "green pear"))
    files = [file for file in retriever.folder.iterdir() if file.name != "seal.json"]
    assert retriever.storage() == {"sparse index": sum(file.stat().st_size for file in files)}


def test_progress_ends_at_the_total() -> None:
    calls: list[tuple[int, int]] = []
    BM25Retriever(corpus_of(*["red apple"] * 1500), progress=lambda *c: calls.append(c))
    assert calls == [(0, 1500), (1500, 1500)]
