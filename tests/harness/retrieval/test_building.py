"""Building of an index: what it took is told by whoever opens it later, apart from opening it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.retrieval import building, embeddings
from harness.retrieval.bm25 import BM25Retriever
from harness.retrieval.dense import build_dense
from harness.retrieval.encoders import Vectors
from tests.harness.retrieval.helpers import HashEncoder, corpus_of

TEXTS = [f"passage number{n} about subject{n % 7}" for n in range(30)]


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path))


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that stands still but for two seconds a text that is encoded."""
    monkeypatch.setattr(building, "perf_counter", lambda: SlowEncoder.time)
    monkeypatch.setattr(SlowEncoder, "time", 0.0)
    monkeypatch.setattr(embeddings, "_SHARD", 10)


class SlowEncoder(HashEncoder):
    time = 0.0
    most = 1000

    def encode_passages(self, texts) -> Vectors:
        if len(self.encoded) + len(texts) > self.most:
            raise KeyboardInterrupt
        SlowEncoder.time += 2.0 * len(texts)
        return super().encode_passages(texts)


def test_a_sparse_index_of_the_cache_tells_what_building_took() -> None:
    corpus = corpus_of(*TEXTS)
    first = BM25Retriever(corpus).built
    assert first is not None and not first.cached
    assert first.now == first.seconds > 0
    again = BM25Retriever(corpus)
    assert again.built is not None and again.built.cached
    assert again.built.seconds == pytest.approx(first.seconds, abs=1e-3)
    assert again.built.now == 0
    assert again.storage() == BM25Retriever(corpus).storage()
    again.folder.with_suffix(".json").write_text("{")
    lost = BM25Retriever(corpus).built
    assert lost is not None and (lost.cached, lost.seconds) == (True, None)


def test_a_dense_index_adds_up_over_sessions(ticks: None) -> None:
    corpus = corpus_of(*TEXTS)
    stopped = SlowEncoder()
    stopped.most = 20
    with pytest.raises(KeyboardInterrupt):
        build_dense(corpus, stopped)
    built = build_dense(corpus, SlowEncoder()).built
    assert built is not None
    assert (built.cached, built.seconds, built.now) == (False, 60.0, 20.0)
    later = build_dense(corpus, SlowEncoder()).built
    assert later is not None
    assert (later.cached, later.seconds, later.now) == (True, 60.0, 0.0)


def test_of_a_shard_that_was_never_saved_the_seconds_count_and_nothing_is_left(
    ticks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped where it is renamed, the shard made again has its name."""
    corpus, replaced, replace = corpus_of(*TEXTS), [], os.replace

    def stopping(source: Path, target: Path) -> None:
        replaced.append(target)
        if [path.suffix for path in replaced].count(".npz") == 2:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", stopping)
    with pytest.raises(KeyboardInterrupt):
        build_dense(corpus, SlowEncoder())
    monkeypatch.setattr(os, "replace", replace)
    built = build_dense(corpus, SlowEncoder()).built
    assert built is not None
    assert (built.cached, built.seconds, built.now) == (False, 80.0, 40.0)
    assert replaced[-1].exists()


def test_passages_that_another_corpus_brought_make_the_seconds_unknown(ticks: None) -> None:
    build_dense(corpus_of(*TEXTS[:10]), SlowEncoder())
    built = build_dense(corpus_of(*TEXTS), SlowEncoder()).built
    assert built is not None
    assert (built.cached, built.seconds, built.now) == (False, None, 40.0)
