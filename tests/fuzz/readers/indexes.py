"""Readers of what retrieval keeps or is given: vectors, prebuilt indexes, encoders' folders."""

from __future__ import annotations

import io
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.fuzz.mutations import Files
from tests.fuzz.rule import Reader, contents

if TYPE_CHECKING:
    from harness.data.corpus import Corpus

DIMENSIONS = 8
TEXTS = [f"Inventions and telephones of inventor{n}, machines{n % 3}" for n in range(8)]
MEMBERS = ("keys.npy", "vectors.npy")


@cache
def _corpus() -> Corpus:
    from tests.harness.retrieval.helpers import corpus_of

    return corpus_of(*TEXTS)


@cache
def _shards() -> list[Files]:
    """A shard as it is, and its members apart: zip's checksums refuse most damage of the whole."""
    from tests.harness.retrieval.helpers import digests_of

    out = io.BytesIO()
    np.savez(out, keys=digests_of(TEXTS[:2]), vectors=np.ones((2, DIMENSIONS), np.float16))
    with zipfile.ZipFile(out) as file:
        members = {name: file.read(name) for name in MEMBERS}
    return [{"shard.npz": out.getvalue()}, members]


def _vectors(folder: Path) -> None:
    from harness.retrieval.embeddings import EmbeddingStore
    from harness.retrieval.wanted import Wanted

    own = folder.parent / "store"
    own.mkdir(exist_ok=True)
    if (folder / "shard.npz").exists():
        (own / "shard.npz").write_bytes((folder / "shard.npz").read_bytes())
    else:
        with zipfile.ZipFile(own / "shard.npz", "w") as file:
            for name in MEMBERS:
                if (folder / name).exists():
                    file.writestr(name, (folder / name).read_bytes())
    wanted = Wanted(TEXTS, len(TEXTS))
    out = np.zeros((len(TEXTS), DIMENSIONS), np.float32)
    EmbeddingStore(own).take(wanted, out)
    assert np.isfinite(out).all() and wanted.open


@cache
def _bm25s() -> list[Files]:
    from tests.harness.retrieval.test_prebuilt import bm25s_index

    rows: list[object] = [{"id": p.id, "text": p.text} for p in _corpus()]
    found = []
    for stemmer, saved in ((None, None), ("english", rows)):
        with tempfile.TemporaryDirectory() as place:
            bm25s_index(Path(place), _corpus(), stemmer, saved)
            found.append(contents(Path(place)))
    return found


def _open_bm25s(folder: Path) -> None:
    from harness.retrieval.bm25s_index import Bm25sIndex

    settings = {"spec": f"bm25s:{folder}"}
    Bm25sIndex.config(settings)
    index = Bm25sIndex.open(_corpus(), settings)
    index.search(["telephones of inventor3", ""], 3)
    index.storage()


@cache
def _flat() -> list[Files]:
    import faiss

    vectors = np.random.default_rng(0).random((len(TEXTS), DIMENSIONS), dtype=np.float32)
    found = []
    for kind in ("Flat", "HNSW4", "SQ8"):
        index = faiss.index_factory(DIMENSIONS, kind, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors)
        index.add(vectors)
        found.append({"x.index": faiss.serialize_index(index).tobytes()})
    return [found[0], *found]


def _open_flat(folder: Path) -> None:
    from harness.retrieval.dense import DenseRetriever, read_flat_index
    from tests.harness.retrieval.helpers import HashEncoder

    encoder = HashEncoder(DIMENSIONS)
    index = read_flat_index(folder / "x.index", _corpus(), encoder)
    DenseRetriever(_corpus(), encoder, index).search(["telephones"], 3)


@cache
def _docids() -> list[Files]:
    ids = [passage.id for passage in _corpus()]
    return [{"docid": "".join(f"{id_}\n" for id_ in order).encode()} for order in (ids, ids[::-1])]


def _read_docids(folder: Path) -> None:
    from harness.retrieval.faiss_index import read_docids

    order = read_docids(folder / "docid", _corpus())
    assert order is None or sorted(order) == list(range(len(TEXTS)))


@cache
def _encoders() -> list[Files]:
    from sentence_transformers import SentenceTransformer, models

    from tests.tiny_encoder import build_tiny_encoder

    with tempfile.TemporaryDirectory() as place:
        plain = build_tiny_encoder(Path(place) / "plain", ["telephone"])
        word = models.Transformer(str(plain), max_seq_length=32)
        pooling = models.Pooling(word.get_embedding_dimension(), "mean")
        SentenceTransformer(modules=[word, pooling], device="cpu").save(f"{place}/whole")
        return [contents(Path(place, name)) for name in ("plain", "whole")]


def _open_encoder(folder: Path) -> None:
    from harness.retrieval.encoders import open_encoder

    settings = {"path": str(folder), "query_prefix": "", "passage_prefix": "", "normalize": True,
                "query_max_tokens": 16, "passage_max_tokens": 16}  # fmt: skip
    encoder = open_encoder("dense", settings, device="cpu")
    encoder.encode_passages(["telephone"])


READERS = (
    Reader("vectors", _shards, _vectors),
    Reader("bm25s", _bm25s, _open_bm25s),
    Reader("faiss", _flat, _open_flat),
    Reader("docid", _docids, _read_docids),
    Reader("encoder", _encoders, _open_encoder, share=0.1),
)
