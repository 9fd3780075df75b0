"""Approximate dense indexes: what they find beside flat, keep in the cache, refuse and survive."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import ConfigError
from harness.records import Passage
from harness.retrieval import approximate, index_kinds
from harness.retrieval.approximate import ApproximateRetriever
from harness.retrieval.approximate_building import Sample, build_faiss
from harness.retrieval.dense import build_dense
from harness.retrieval.index_kinds import HNSW, IVFPQ, SQ8, Kind, split
from harness.retrieval.open import check_retriever, retriever_config
from tests.harness.retrieval.helpers import RowEncoder, clustered, corpus_of

COUNT, DIMENSIONS = 2000, 48
KINDS = [
    pytest.param(SQ8(), 0.95, id="sq8"),
    pytest.param(SQ8(refine=60), 0.99, id="sq8 refined"),
    pytest.param(IVFPQ(nlist=20, nprobe=10, pq_m=12), 0.5, id="ivf-pq"),
    pytest.param(IVFPQ(nlist=20, nprobe=10, pq_m=12, refine=100), 0.95, id="ivf-pq refined"),
    pytest.param(HNSW(hnsw_m=16, ef_construction=60, ef_search=80), 0.98, id="hnsw"),
]
ROWS = clustered(COUNT, DIMENSIONS)
CORPUS = corpus_of(*map(str, range(COUNT)))
QUERIES = [str(row) for row in range(0, COUNT, 20)]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes are learnt of 1,024 passages: a tenth of what faiss asks for."""
    monkeypatch.setattr(index_kinds, "_EACH", 4)


def opened(kind: Kind) -> ApproximateRetriever:
    return ApproximateRetriever(CORPUS, RowEncoder(ROWS), kind)


def found(results: list[list[Passage]]) -> list[set[str]]:
    return [{passage.id for passage in each} for each in results]


@pytest.mark.parametrize(("kind", "least"), KINDS)
def test_each_finds_most_of_what_flat_finds_and_says_how_much(kind: Kind, least: float) -> None:
    index, flat = opened(kind), build_dense(CORPUS, RowEncoder(ROWS))
    ours, theirs = index.search(QUERIES, 10), flat.search(QUERIES, 10)
    pairs = zip(found(ours), found(theirs), strict=True)
    assert np.mean([len(one & other) / 10 for one, other in pairs]) >= least
    told = index.provenance()["recall"]
    assert least <= told["value"] <= 1
    assert told["asked"] == "200 vectors of the corpus"
    assert index.storage()["dense index"] > 0
    for query, result in zip(QUERIES[:20], ours, strict=False):
        assert index.search([query], 10) == [result], "a query among others"
        assert index.search([query], 3) == [result[:3]], "k cuts one ranking"
    if kind.exact_vectors:
        assert (index.vectors(["p3", "p1"]) == ROWS[[3, 1]]).all()
        exact = {p.id: p.score for p in flat.search(QUERIES[:1], COUNT)[0]}
        assert [p.score for p in ours[0]] == pytest.approx([exact[p.id] for p in ours[0]])
    else:
        with pytest.raises(ConfigError, match="keeps no vectors as they were"):
            index.vectors(["p3"])


@pytest.mark.parametrize(("kind", "least"), KINDS)
def test_the_same_vectors_give_the_same_bytes_by_any_number_of_threads(
    kind: Kind, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    import faiss

    made = []
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        made.append(faiss.serialize_index(build_faiss(ROWS.astype(np.float16), kind)).tobytes())
    assert made[0] == made[1]


def test_all_are_asked_for_and_all_come() -> None:
    """More than the lists looked into hold, more candidates than a query keeps."""
    for kind in (SQ8(), IVFPQ(nlist=20, nprobe=1, pq_m=12), HNSW(ef_search=1)):
        (result,) = opened(kind).search(["7"], COUNT)
        assert len({passage.id for passage in result}) == COUNT, kind.index
        scores = [passage.score or 0 for passage in result]
        assert scores == sorted(scores, reverse=True)


def test_the_sample_has_what_numpy_finds_nearest() -> None:
    sample = Sample.of(ROWS.astype(np.float16))
    assert len(sample.rows) == 200
    for row, nearest in zip(sample.rows.tolist(), sample.nearest, strict=True):
        scores = ROWS.astype(float) @ ROWS[row].astype(float)
        scores[row] = -np.inf
        assert scores[nearest] == pytest.approx(np.sort(scores)[::-1][:10], abs=1e-6)
    assert sample.recall(lambda vector, k: np.argsort(-(ROWS @ vector))[:k]) > 0.999
    assert sample.recall(lambda vector, k: np.zeros(0, np.int64)) == 0
    few = Sample.of(ROWS[:3])
    assert few.nearest.shape == (3, 2)
    assert Sample.of(ROWS[:1]).recall(lambda vector, k: np.zeros(1, np.int64)) == 1


def test_an_index_is_built_once_and_searched_in_several_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = opened(IVFPQ(nlist=200, nprobe=1, pq_m=12))
    assert first.built is not None and not first.built.cached and first.built.now > 0
    assert first.built.seconds is not None and first.built.seconds >= first.built.now
    monkeypatch.setattr(approximate, "build_faiss", None)
    again = opened(IVFPQ(nlist=200, nprobe=200, pq_m=12))
    assert again.built is not None and again.built.cached and again.built.seconds
    assert again.folder == first.folder
    note = json.loads(first.folder.with_suffix(".recall.json").read_text())
    assert sorted(note) == ["nprobe=1,refine=0", "nprobe=200,refine=0"]
    assert note["nprobe=200,refine=0"] > note["nprobe=1,refine=0"]
    monkeypatch.setattr(Sample, "recall", None)
    assert opened(IVFPQ(nlist=200, nprobe=1, pq_m=12)).provenance() == first.provenance()


@pytest.mark.parametrize("name", ["index.faiss", "vectors.npy", "sample.npz", "seal.json"])
def test_what_was_damaged_is_built_again(name: str, caplog: pytest.LogCaptureFixture) -> None:
    index = opened(SQ8(refine=50))
    before = index.search(QUERIES, 5)
    place = index.folder / name
    place.write_bytes(place.read_bytes()[:-9])
    with caplog.at_level(logging.WARNING):
        again = opened(SQ8(refine=50))
    assert "dense index is damaged and will be built again" in caplog.text
    assert again.built is not None and not again.built.cached
    assert again.search(QUERIES, 5) == before
    again.folder.with_suffix(".recall.json").write_text("[]")
    assert opened(SQ8(refine=50)).provenance() == again.provenance()


@pytest.mark.parametrize("stop", range(6))
def test_a_kill_at_any_change_of_a_file_leaves_nothing_that_stays(
    stop: int, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    """Stopped before a file is put in its place, the next building ends as one undisturbed."""
    replace, done = os.replace, []

    def stopping(source: Any, target: Any) -> None:
        if len(done) == stop:
            raise KeyboardInterrupt
        done.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", stopping)
    with pytest.raises(KeyboardInterrupt):
        opened(SQ8(refine=50))
    monkeypatch.setattr(os, "replace", replace)
    index = opened(SQ8(refine=50))
    assert len(index.search(["7"], 3)[0]) == 3
    left = {path.name for path in cache.joinpath("dense").iterdir()}
    key = index.folder.name
    assert left == {key, f"{key}.json", f"{key}.recall.json"}
    assert {path.name for path in index.folder.iterdir()} == {
        "index.faiss", "vectors.npy", "sample.npz", "seal.json"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"index": "sq9"}, "index=sq9: no such kind; take flat, sq8, ivf-pq, hnsw"),
        ({"index": 8}, "no such kind"),
        ({"nprobe": 3}, "nprobe: of an approximate index alone; say index="),
        ({"index": "sq8", "nprobe": 3}, "index=sq8: takes no nprobe; it has refine"),
        ({"index": "ivf-pq", "nprobe": 0}, "index=ivf-pq: nprobe: .* greater than or equal to 1"),
        ({"index": "hnsw", "hnsw_m": 500}, "index=hnsw: hnsw_m: .* less than or equal to 128"),
        ({"index": "hnsw", "ef_construction": 8}, "ef_construction is below hnsw_m; raise it"),
        ({"index": "hnsw", "refine": 8}, "leave refine out"),
        ({"index": "hnsw", "normalise": 1}, "normalise"),
    ],
)
def test_senseless_settings_are_refused_in_one_line(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        retriever_config("dense", settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("nlist=501", "nlist=501 is too many for 2,000 passages, 4 a list; take nlist=500"),
        ("nlist=8,nprobe=9", "nprobe=9 of only 8 lists"),
        ("pq_m=50", "pq_m=50 does not divide 384 dimensions; take one of 1, 2, 3, 4"),
    ],
)
def test_settings_that_do_not_fit_the_corpus_are_refused_before_a_model_is_loaded(
    settings: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        check_retriever(f"dense,index=ivf-pq,{settings}", CORPUS)


def test_a_corpus_too_small_for_codes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="needs 9,984 passages, 39 for each of 256 codes"):
        check_retriever("dense,index=ivf-pq", CORPUS)


def test_the_index_is_part_of_a_runs_config_and_flat_is_not() -> None:
    flat = retriever_config("dense")
    assert retriever_config("dense,index=flat") == flat and "index" not in flat
    named = retriever_config("dense,index=hnsw,ef_search=64")
    assert named == retriever_config("all-minilm-l6-v2", {"index": "hnsw", "ef_search": 64})
    assert named.pop("index") == {
        "kind": "hnsw", "refine": 0, "hnsw_m": 32, "ef_construction": 100, "ef_search": 64
    }  # fmt: skip
    assert named == flat
    with pytest.raises(ConfigError, match="takes no pooling beside its name, only index, "):
        retriever_config("dense,pooling=cls")


def test_lists_grow_with_the_root_of_the_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert IVFPQ().factory(10_000, 384) == "IVF256,PQ48np"
    assert IVFPQ().factory(1_000_000, 768) == "IVF4000,PQ96np"
    assert IVFPQ().factory(21_015_324, 768) == "IVF18336,PQ96np"
    assert IVFPQ().sample(21_015_324, 768) == index_kinds.MOST_TRAINED
    assert split({"index": "sq8", "encoder": "dense"}) == (SQ8(), {"encoder": "dense"})
