"""Labels that a router learns from: silver ones of the routes' answers, bias ones of hop types."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from harness.data.leaks import normal_text
from harness.fingerprint import sample_by_hash
from harness.records import Question

LABELS = ("A", "B", "C")
"""A: no retrieval. B: one retrieval. C: several. From the simplest to the dearest."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A question and the route it is to take."""

    id: str
    text: str
    label: str


def is_multi_hop(question: Question) -> bool:
    """Whether ``metadata.hops`` is 2 or more; a question that does not say counts as one hop."""
    hops = question.metadata.get("hops")
    return isinstance(hops, int) and hops >= 2


def hop_label(questions: Sequence[Question]) -> str:
    """C if most of a dataset's questions are multi-hop, else B."""
    return "C" if 2 * sum(map(is_multi_hop, questions)) > len(questions) else "B"


def bias_labels(
    datasets: Iterable[Sequence[Question]], most: int, taken: Container[str]
) -> list[Labelled]:
    """The hop label of each dataset for its first ``most`` questions, but for ids ``taken``.

    A question that two datasets hold, by its normalised text, is labelled once, as in the first.
    """
    labelled: dict[str, Labelled] = {}
    for questions in datasets:
        label = hop_label(questions)
        for question in questions[:most]:
            if question.id not in taken:
                labelled.setdefault(
                    normal_text(question.text), Labelled(question.id, question.text, label)
                )
    return list(labelled.values())


def sample(questions: Iterable[Question], count: int) -> list[Question]:
    """The ``count`` questions whose ids have the smallest SHA-256: a fixed random sample."""
    return sample_by_hash(questions, count, lambda question: question.id)


def hold_out(labelled: Iterable[Labelled], share: float) -> tuple[list[Labelled], list[Labelled]]:
    """Split into train and validation; the hash of its id alone decides where a question goes."""
    train: list[Labelled] = []
    validation: list[Labelled] = []
    for example in labelled:
        (validation if _draw(example.id) < share else train).append(example)
    return train, validation


def _draw(question_id: str) -> float:
    """A number in [0, 1) that depends on the id alone, and not as ``sample`` does."""
    return int.from_bytes(sha256(f"validation {question_id}".encode()).digest()[:8], "big") / 2**64
