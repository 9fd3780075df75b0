from __future__ import annotations

import logging
import zipfile
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.format import write_array_header_1_0

from harness.data.corpus import Corpus
from harness.data.corpus_changes import CorpusChanges
from harness.errors import HarnessError, InputError
from harness.records import Passage
from harness.retrieval.dense import (
    DenseRetriever,
    build_dense,
    embedding_folder,
    load_flashrag_index,
)
from harness.retrieval.embeddings import EmbeddingStore, write_beside
from harness.retrieval.encoders import Vectors
from tests.harness.retrieval.helpers import HashEncoder, corpus_of

pytestmark = pytest.mark.numeric

TEXTS = [f"passage number{i} about subject{i % 7}" for i in range(300)]


def ids(retriever: DenseRetriever, query: str, k: int = 5) -> list[str]:
    return [passage.id for passage in retriever.search([query], k)[0]]


def test_ranking_is_the_inner_product() -> None:
    corpus, encoder = corpus_of(*TEXTS), HashEncoder()
    exact = encoder.encode_passages([p.contents for p in corpus])
    passages = exact.astype(np.float16).astype(float)
    queries = ["subject3 number10", "about number299", "passage"]
    found = build_dense(corpus, encoder).search(queries, 20)
    for query, result in zip(encoder.encode_queries(queries).astype(float), found, strict=True):
        scores = passages @ query
        expected = sorted(range(len(TEXTS)), key=lambda i: (-round(scores[i], 9), i))[:20]
        assert [p.id for p in result] == [f"p{i}" for i in expected]
        assert [p.score for p in result] == pytest.approx(scores[expected], abs=1e-9)


def test_equal_passages_rank_by_position_however_many_there_are() -> None:
    corpus = corpus_of("other words", *["the same text"] * 500, "the same text twice")
    assert ids(build_dense(corpus, HashEncoder()), "the same text", k=3) == ["p1", "p2", "p3"]


def test_k_is_cut_to_the_corpus() -> None:
    retriever = build_dense(corpus_of("one", "two"), HashEncoder())
    assert len(ids(retriever, "one", k=10)) == 2
    assert retriever.search([], 5) == []


def test_results_do_not_depend_on_the_other_queries() -> None:
    retriever = build_dense(corpus_of(*TEXTS), HashEncoder())
    queries = [f"number{i} subject{i % 7}" for i in range(100)]
    together = retriever.search(queries, 10)
    for query, result in zip(queries, together, strict=True):
        (alone,) = retriever.search([query], 10)
        assert [(p.id, p.score) for p in alone] == [(p.id, p.score) for p in result]


def test_a_changed_corpus_encodes_only_what_changed() -> None:
    encoder = HashEncoder()
    build_dense(corpus_of("one", "two", "two", "three"), encoder)
    assert sorted(encoder.encoded) == ["\none", "\nthree", "\ntwo"]
    encoder.encoded.clear()
    changed = corpus_of("three", "four", "one")
    assert ids(build_dense(changed, encoder), "four", k=1) == ["p1"]
    assert encoder.encoded == ["\nfour"]


def test_a_revised_index_finds_what_a_new_one_finds() -> None:
    encoder = HashEncoder()
    corpus = corpus_of(*TEXTS)
    index = build_dense(corpus, encoder)
    before = [ids(index, query) for query in ("subject3 number10", "number299")]
    encoder.encoded.clear()
    changes = CorpusChanges.of(
        corpus,
        added=[Passage("new", "", "a new passage about subject3")],
        updated=[Passage("p10", "", "passage ten about nothing")],
        deleted=["p3", "p299"],
    )
    revised = index.revised(changes)
    assert sorted(encoder.encoded) == [
        "\na new passage about subject3",
        "\npassage ten about nothing",
    ]
    fresh = build_dense(changes.corpus, HashEncoder())
    queries = [f"number{i} subject{i % 7}" for i in range(40)] + ["a new passage", "nothing ten"]
    assert revised.search(queries, 8) == fresh.search(queries, 8)
    assert revised.storage() == fresh.storage()
    assert revised.built is not None and revised.built.bytes == 2 * 64 * 2
    assert [ids(index, query) for query in ("subject3 number10", "number299")] == before


def test_another_encoder_shares_no_vectors() -> None:
    build_dense(corpus_of("one"), HashEncoder())
    other = HashEncoder(key="hash-2")
    build_dense(corpus_of("one"), other)
    assert other.encoded == ["\none"]


class Interrupted(HashEncoder):
    """Stops in the second shard, as a kill would."""

    def encode_passages(self, texts: list[str]) -> Vectors:  # type: ignore[override]
        if self.encoded:
            raise KeyboardInterrupt
        return super().encode_passages(texts)


def test_encoding_resumes_where_it_was_killed() -> None:
    corpus = corpus_of(*[f"passage number{i}" for i in range(1500)])
    with pytest.raises(KeyboardInterrupt):
        build_dense(corpus, Interrupted())
    encoder = HashEncoder()
    calls: list[tuple[int, int]] = []
    build_dense(corpus, encoder, lambda *call: calls.append(call))
    assert len(encoder.encoded) == 1500 - 1024
    assert calls == [(1024, 1500), (1500, 1500)]


def test_two_writers_may_store_the_same_passages() -> None:
    corpus, encoder = corpus_of("one", "two"), HashEncoder()
    store = EmbeddingStore(embedding_folder(encoder))
    build_dense(corpus, encoder)
    digests = np.frombuffer(sha256(b"\ntwo").digest(), np.uint8).reshape(1, 32)
    store.add(digests, encoder.encode_passages(["\ntwo"]))
    encoder.encoded.clear()
    assert ids(build_dense(corpus, encoder), "two", k=1) == ["p1"]
    assert encoder.encoded == []


def test_a_damaged_shard_is_encoded_again(caplog: pytest.LogCaptureFixture) -> None:
    corpus, encoder = corpus_of(*TEXTS), HashEncoder()
    before = build_dense(corpus, encoder).search(["number7"], 5)
    (shard,) = embedding_folder(encoder).glob("*.npz")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)
    encoder.encoded.clear()
    with caplog.at_level(logging.WARNING):
        assert build_dense(corpus, encoder).search(["number7"], 5) == before
    assert "damaged" in caplog.text
    assert len(encoder.encoded) == len(TEXTS)


def spoiled(kind: str, keys: np.ndarray, vectors: np.ndarray) -> bytes:
    """A file that is no shard, of a kind."""
    content = BytesIO()
    if kind == "empty":
        return b""
    if kind == "bare array":
        np.save(content, vectors)
    elif kind == "other members":
        np.savez(content, ids=keys, vectors=vectors)
    elif kind == "compressed":
        np.savez_compressed(content, keys=keys, vectors=vectors)
    elif kind == "NaN":
        np.savez(content, keys=keys, vectors=np.full_like(vectors, np.nan))
    elif kind == "float64":
        np.savez(content, keys=keys, vectors=vectors.astype(np.float64))
    elif kind == "29 TiB":
        header = BytesIO()
        shape = (2**43 // vectors.shape[1], vectors.shape[1])
        claimed = {"descr": "<f2", "fortran_order": False, "shape": shape}
        write_array_header_1_0(header, claimed)
        with zipfile.ZipFile(content, "w") as file:
            with file.open("keys.npy", "w") as member:
                np.save(member, keys)
            file.writestr("vectors.npy", header.getvalue() + vectors.tobytes())
    return content.getvalue()


@pytest.mark.parametrize(
    "kind", ["empty", "bare array", "other members", "compressed", "NaN", "float64", "29 TiB"]
)
def test_what_is_no_shard_is_encoded_again(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    corpus, encoder = corpus_of(*TEXTS), HashEncoder()
    before = build_dense(corpus, encoder).search(["number7"], 5)
    (shard,) = embedding_folder(encoder).glob("*.npz")
    with np.load(shard) as found:
        shard.write_bytes(spoiled(kind, found["keys"], found["vectors"]))
    encoder.encoded.clear()
    with caplog.at_level(logging.WARNING):
        assert build_dense(corpus, encoder).search(["number7"], 5) == before
    assert f"{shard} is damaged, its passages are encoded again" in caplog.text
    assert len(encoder.encoded) == len(TEXTS)


def test_stored_vectors_are_never_unpickled(tmp_path: Path) -> None:
    corpus, encoder = corpus_of("one"), HashEncoder()
    trap = np.array([{"not": "a vector"}], dtype=object)
    np.savez(embedding_folder(encoder) / "0.npz", keys=trap, vectors=trap)
    assert ids(build_dense(corpus, encoder), "one") == ["p0"]


def test_vectors_beside_a_corpus_are_used_and_checked(tmp_path: Path) -> None:
    file = tmp_path / "corpus.jsonl"
    file.write_text("".join(f'{{"id": "p{n}", "contents": "T{n}\\n{n}"}}\n' for n in range(30)))
    corpus, encoder = Corpus.open(file), HashEncoder()
    path = write_beside(corpus, encoder, EmbeddingStore(embedding_folder(encoder)))
    assert path == tmp_path / "vectors" / "hash-1" / "vectors.npz"
    for shard in embedding_folder(encoder).glob("*.npz"):
        shard.unlink()
    encoder.encoded.clear()
    before = build_dense(corpus, encoder).search(["T3 3"], 5)
    assert encoder.encoded == []
    other = HashEncoder(key="hash-2")
    assert build_dense(corpus, other).search(["T3 3"], 5) == before
    assert len(other.encoded) == 30, "vectors of another encoder are never used"


def test_vectors_that_are_not_finite_stop_the_build() -> None:
    class Broken(HashEncoder):
        def encode_passages(self, texts: list[str]) -> Vectors:  # type: ignore[override]
            return super().encode_passages(texts) * np.float32("nan")

    with pytest.raises(HarnessError, match="cannot hold"):
        build_dense(corpus_of("one"), Broken())


def test_storage_counts_two_bytes_a_dimension() -> None:
    retriever = build_dense(corpus_of("one", "two", "three"), HashEncoder())
    assert retriever.storage() == {"dense index": 3 * 64 * 2}
    (shard,) = embedding_folder(HashEncoder()).glob("*.npz")
    assert np.load(shard)["vectors"].nbytes == 3 * 64 * 2
    assert set(retriever.provenance()) >= {"encoder", "faiss"}


@pytest.fixture
def titled() -> Corpus:
    return corpus_of(*TEXTS, titles=[f"Title{i}" for i in range(len(TEXTS))])


def write_index(path: Path, vectors: Vectors, kind: str = "Flat", metric: int = 0) -> Path:
    import faiss

    index = faiss.index_factory(vectors.shape[1], kind, metric)
    index.train(vectors)
    index.add(vectors)
    faiss.write_index(index, str(path))
    return path


def vectors_of(corpus: Corpus, encoder: HashEncoder) -> Vectors:
    return encoder.encode_passages([passage.contents for passage in corpus])


def test_a_flashrag_index_gives_the_same_results(tmp_path: Path, titled: Corpus) -> None:
    encoder = HashEncoder()
    path = write_index(tmp_path / "e5_Flat.index", vectors_of(titled, encoder))
    opened, built = load_flashrag_index(path, titled, encoder), build_dense(titled, encoder)
    for query in ["subject3 number10", "about number299"]:
        assert ids(opened, query) == ids(built, query)
    assert opened.storage() == {"dense index": 300 * 64 * 4}


def test_a_flashrag_index_of_another_encoder_is_refused(tmp_path: Path, titled: Corpus) -> None:
    path = write_index(tmp_path / "e5_Flat.index", vectors_of(titled, HashEncoder(32)))
    with pytest.raises(InputError, match="32 dimensions, but encoder hash gives 64"):
        load_flashrag_index(path, titled, HashEncoder())


def test_a_flashrag_index_of_another_corpus_is_refused(tmp_path: Path, titled: Corpus) -> None:
    path = write_index(tmp_path / "e5_Flat.index", vectors_of(titled, HashEncoder())[:-1])
    with pytest.raises(InputError, match="holds 299 vectors, but the corpus has 300"):
        load_flashrag_index(path, titled, HashEncoder())


def test_a_flashrag_index_in_another_order_is_refused(tmp_path: Path, titled: Corpus) -> None:
    vectors = vectors_of(titled, HashEncoder())[::-1].copy()
    with pytest.raises(HarnessError, match="broken"):
        load_flashrag_index(write_index(tmp_path / "x.index", vectors), titled, HashEncoder())


def test_an_index_whose_passages_changed_places_within_articles_is_refused(
    tmp_path: Path,
) -> None:
    titles = [f"Subject{i // 6}" for i in range(len(TEXTS))]
    corpus = corpus_of(*TEXTS, titles=titles)
    vectors, last = vectors_of(corpus, HashEncoder()), len(TEXTS)
    turned = [
        i for start in range(0, last, 6) for i in range(min(start + 6, last) - 1, start - 1, -1)
    ]
    path = write_index(tmp_path / "x.index", vectors[turned])
    with pytest.raises(HarnessError, match="are found first by their own text; .* another order"):
        load_flashrag_index(path, corpus, HashEncoder())


@pytest.mark.parametrize(("kind", "metric"), [("Flat", 1), ("SQ8", 0), ("HNSW8", 0)])
def test_only_flat_inner_product_indexes_are_read(
    tmp_path: Path, titled: Corpus, kind: str, metric: int
) -> None:
    path = write_index(tmp_path / "x.index", vectors_of(titled, HashEncoder()), kind, metric)
    with pytest.raises(InputError, match="only flat inner-product"):
        load_flashrag_index(path, titled, HashEncoder())


def test_a_file_that_is_no_index_is_named(tmp_path: Path, titled: Corpus) -> None:
    path = tmp_path / "e5_Flat.index"
    with pytest.raises(InputError, match="no such file"):
        load_flashrag_index(path, titled, HashEncoder())
    path.write_text("hello, this is not an index")
    with pytest.raises(InputError, match="not a faiss index"):
        load_flashrag_index(path, titled, HashEncoder())
