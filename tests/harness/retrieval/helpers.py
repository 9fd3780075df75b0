"""Small corpora and an encoder that needs no model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.data.corpus import Corpus
from harness.records import Passage, Question
from harness.retrieval.encoders import Encoder, Vectors

SAMPLES = Path(__file__).parents[3] / "tasks"


def read_questions(task: str) -> list[Question]:
    path = SAMPLES / task / "sample" / "questions.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        Question(
            row["id"],
            row["question"],
            tuple(row["golden_answers"]),
            tuple(row["metadata"]["gold_doc_ids"]),
        )
        for row in rows
    ]


def corpus_of(*texts: str, titles: Sequence[str] | None = None) -> Corpus:
    titles = titles or [""] * len(texts)
    pairs = zip(titles, texts, strict=True)
    return Corpus.from_passages(Passage(f"p{i}", t, x) for i, (t, x) in enumerate(pairs))


class HashEncoder(Encoder):
    """The mean of a fixed random vector a word: exact, instant, and close for shared words."""

    name = "hash"

    def __init__(self, dimensions: int = 64, key: str = "hash-1") -> None:
        self.dimensions = dimensions
        self.key = key
        self.encoded: list[str] = []

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self._encode(texts)

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        self.encoded += texts
        return self._encode(texts)

    def _encode(self, texts: Sequence[str]) -> Vectors:
        rows = [
            np.sum([self._word(word) for word in text.lower().split() or ["?"]], axis=0)
            for text in texts
        ]
        return np.array([row / np.linalg.norm(row) for row in rows], np.float32)

    def _word(self, word: str) -> np.ndarray:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
        return np.random.default_rng(seed).standard_normal(self.dimensions)
