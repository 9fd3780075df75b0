"""An index that is built batch by batch is bm25s' own, whatever stops the building on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import pytest

from harness.data.corpus import Corpus
from harness.errors import InputError
from harness.records import Question
from harness.retrieval import batches, inverting, postings
from harness.retrieval.bm25 import BM25InMemory, BM25Retriever
from harness.retrieval.ranking import top_positive
from harness.retrieval.terms import BM25Settings, Tokenizer
from tests.harness.retrieval.helpers import corpus_of

TEXTS = [f"word{n % 7} word{n % 3} word{n % 3} only{n} running home" for n in range(50)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path))


def of_bm25s(corpus: Corpus, used: BM25Settings) -> tuple[dict[str, int], dict[str, Any]]:
    """Vocabulary and arrays of bm25s' own building; ids in the order of first occurrence."""
    tokenize, vocabulary = Tokenizer(used), dict[str, int]()
    documents = [
        [vocabulary.setdefault(term, len(vocabulary)) for term in tokenize(passage.contents)]
        for passage in corpus
    ]
    index = bm25s.BM25(k1=used.k1, b=used.b, method=used.method)
    ids = list(vocabulary.values())
    return vocabulary, index.build_index_from_ids(ids, documents, show_progress=False)


def assert_same(found: postings.Postings, corpus: Corpus, used: BM25Settings) -> None:
    vocabulary, arrays = of_bm25s(corpus, used)
    assert list(found.vocabulary.items()) == list(vocabulary.items())
    for ours, theirs in (
        (found.weights, arrays["data"]),
        (found.positions, arrays["indices"]),
        (found.starts, arrays["indptr"]),
    ):
        assert ours.dtype == theirs.dtype
        assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("method", ["lucene", "robertson", "atire"])
@pytest.mark.parametrize(("size", "bucket"), [(8192, 2**22), (150, 800), (1, 1)])
def test_the_index_is_bm25s_own_to_the_bit(
    method: str,
    size: int,
    bucket: int,
    sample: Callable[[str], tuple[Corpus, list[Question]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "SIZE", size)
    monkeypatch.setattr(inverting, "_BUCKET", bucket)
    # One passage a batch and one posting a bucket take a file each.
    shipped = Corpus.from_passages(islice(sample("nq")[0], 1_000))
    corpus = shipped if size > 1 else corpus_of(*TEXTS)
    used = BM25Settings.model_validate({"method": method, "k1": 0.9, "b": 0.4})
    assert_same(BM25Retriever(corpus, used)._postings, corpus, used)


def test_several_processes_make_the_same_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "SIZE", 20)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    corpus = corpus_of(*TEXTS)
    assert_same(BM25Retriever(corpus)._postings, corpus, BM25Settings())


def test_an_index_in_memory_is_the_same_and_leaves_no_file(tmp_path: Path) -> None:
    corpus = corpus_of(*TEXTS)
    found = BM25InMemory(corpus, {})._postings
    assert_same(found, corpus, BM25Settings())
    assert not isinstance(found.weights, np.memmap)
    assert not list(tmp_path.rglob("*.npy"))


def test_frequencies_beyond_two_bytes_are_counted() -> None:
    corpus = corpus_of("again " * 70_000, "again once")
    assert_same(BM25Retriever(corpus)._postings, corpus, BM25Settings())


class Stopped(Exception):
    pass


def stop_after(batches_done: int) -> Callable[[int, int], None]:
    calls = []

    def progress(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == 1 + batches_done:
            raise Stopped

    return progress


def test_a_stopped_building_goes_on_with_what_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "SIZE", 10)
    corpus, calls = corpus_of(*TEXTS), list[int]()
    with pytest.raises(Stopped):
        BM25Retriever(corpus, progress=stop_after(3))
    (work,) = (tmp_path / "bm25").iterdir()
    first, second, _ = sorted(work.glob("*.npz"))
    first.write_bytes(first.read_bytes()[:-9])
    flipped = bytearray(second.read_bytes())
    flipped[flipped.index(b"home")] ^= 1
    second.write_bytes(flipped)
    for half in (work / f"{inverting.SCRATCH}x", work.with_name(f".{work.stem}.tmp")):
        half.mkdir()
        (half / "gigabytes").write_text("x")
    retriever = BM25Retriever(corpus, progress=lambda done, _: calls.append(done))
    assert calls == [10, 20, 30, 40, 50]
    assert {file.suffix for file in (tmp_path / "bm25").iterdir()} == {"", ".json"}
    assert len(list((tmp_path / "bm25").iterdir())) == 2
    assert retriever.built is not None and retriever.built.seconds is not None
    assert retriever.built.seconds > retriever.built.now
    assert_same(retriever._postings, corpus, BM25Settings())


_KILLED = """
import sys
from harness.data.corpus import Corpus
from harness.retrieval import batches
from harness.retrieval.bm25 import BM25Retriever
batches.SIZE = 200
BM25Retriever(Corpus.open(sys.argv[1]), progress=lambda done, total: print(done, flush=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_building_with_processes_goes_on(
    how: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "corpus.jsonl"
    rows = ({"id": f"{n}", "contents": f"T{n}\nword{n % 97} " * 30} for n in range(4000))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    child = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert child.stdout is not None
    assert [next(child.stdout) for _ in range(3)] == ["0\n", "200\n", "400\n"]
    os.killpg(child.pid, how) if how == signal.SIGINT else os.kill(child.pid, how)
    assert child.wait(60) != 0
    deadline = time.monotonic() + 30
    while _lives(child.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _lives(child.pid), "processes that tokenise outlive the one that started them"
    monkeypatch.setattr(batches, "SIZE", 200)
    corpus, calls = Corpus.open(path), list[int]()
    found = BM25Retriever(corpus, progress=lambda done, _: calls.append(done))
    assert calls[0] >= 400
    assert_same(found._postings, corpus, BM25Settings())


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_compiled_search_is_the_other_one(
    sample: Callable[[str], tuple[Corpus, list[Question]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba")
    from harness.retrieval import compiled

    corpus, questions = sample("nq")
    queries = [question.text for question in questions[:40]]
    retriever = BM25Retriever(corpus)
    wanted = {k: retriever.search(queries, k) for k in (1, 10, 500)}
    monkeypatch.setattr(postings, "_COMPILED_FROM", 1)
    for k, found in wanted.items():
        assert retriever.search(queries, k) == found
    assert retriever.search(["of the", ""], 3) == [[], []]
    # Blocks of passages, ties, words that occur twice, and passages that cancel out.
    chance = np.random.default_rng(0)
    for block in (1, 3, 64):
        best = compiled.best.py_func
        monkeypatch.setitem(best.__globals__, "_BLOCK", block)
        for k in (1, 4, 100):
            parts = [np.sort(chance.choice(70, 30, replace=False)) for _ in range(3)]
            positions = np.concatenate([*parts, parts[0]]).astype(np.int32)
            weights = chance.integers(-1, 3, 120).astype(np.float32)
            starts = np.arange(0, 120, 30, dtype=np.uint64)
            got = sorted(best(positions, weights, starts, starts + 30, 70, k), reverse=True)
            scores = np.bincount(positions, weights, 70)
            places = top_positive(scores, k)
            assert [(score, -place) for score, place in got] == [
                (scores[place], place) for place in places
            ]


def test_a_damaged_position_reaches_no_other_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    monkeypatch.setattr(postings, "_COMPILED_FROM", 1)
    corpus = corpus_of("red apple", "red pear", "red plum")
    sound = BM25Retriever(corpus)._postings
    for wrong in (-5, 2**31 - 1):
        damaged = sound.positions.copy()
        damaged[1] = wrong
        found = postings.Postings(sound.vocabulary, sound.weights, damaged, sound.starts)
        assert [hit.id for hit in found.search(["red"], corpus, 3)] == ["p0"]


def test_parts_that_do_not_fit_are_no_index(tmp_path: Path) -> None:
    retriever = BM25Retriever(corpus_of(*TEXTS))
    np.save(retriever.folder / inverting.STARTS, retriever._postings.starts[::-1])
    with pytest.raises(InputError, match="do not fit each other"):
        postings.Postings.open(retriever.folder)
