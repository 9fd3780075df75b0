"""The vectors shipped beside the sample corpora are those of the default encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from harness.data.corpus import Corpus
from harness.records import Question
from harness.retrieval.dense import embedding_folder
from harness.retrieval.embeddings import EmbeddingStore, embed_corpus
from harness.retrieval.encoders import SentenceEncoder, Vectors, open_encoder

pytestmark = pytest.mark.model

Sample = Callable[[str], tuple[Corpus, list[Question]]]


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return open_encoder()


@pytest.mark.parametrize("task", ["nq", "triviaqa", "hotpotqa", "musique"])
def test_every_passage_has_its_vector_and_samples_agree(
    task: str, sample: Sample, encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, _ = sample(task)
    asked: list[str] = []

    def refuse(texts: Sequence[str]) -> Vectors:
        asked.extend(texts)
        return np.zeros((len(texts), encoder.dimensions), np.float32)

    with monkeypatch.context() as patch:
        patch.setattr(encoder, "encode_passages", refuse)
        vectors = embed_corpus(corpus, encoder, EmbeddingStore(embedding_folder(encoder)))
    assert asked == []
    positions = np.random.default_rng(0).choice(len(corpus), 8, replace=False)
    again = encoder.encode_passages([corpus[int(i)].contents for i in positions])
    assert np.abs(vectors[positions] - again).max() < 2e-4
