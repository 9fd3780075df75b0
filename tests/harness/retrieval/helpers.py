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
from harness.retrieval.wanted import Digests, digest

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


def digests_of(texts: Sequence[str]) -> Digests:
    """As a store keeps them, [texts, 32]."""
    return np.frombuffer(b"".join(map(digest, texts)), np.uint8).reshape(-1, 32)


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


def clustered(count: int, dimensions: int, seed: int = 0) -> Vectors:
    """Unit vectors [count, dimensions] around a centre for every 50, in numbers float16 holds.

    Those of a cluster differ in a tenth of the dimensions' number of directions, as texts do, which
    fill no space of hundreds of dimensions evenly.
    """
    chance = np.random.default_rng(seed)
    clusters, directions = max(1, count // 50), max(2, dimensions // 10)
    centres = chance.standard_normal((clusters, dimensions), np.float32)
    axes = chance.standard_normal((directions, dimensions), np.float32)
    rows = centres[chance.integers(0, clusters, count)]
    rows += 0.25 * chance.standard_normal((count, directions), np.float32) @ axes
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float16).astype(np.float32)


class RowEncoder(Encoder):
    """Vectors that are given: the text "7" has row 7."""

    name = "rows"

    def __init__(self, rows: Vectors) -> None:
        self.rows, self.dimensions = rows, rows.shape[1]
        self.key = f"rows-{hashlib.sha256(rows.tobytes()).hexdigest()[:16]}"

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self.rows[[int(text) for text in texts]]

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        return self.encode_queries(texts)
