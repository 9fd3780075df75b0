"""The records that travel between rooms. All are frozen; none knows how it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = Any


@dataclass(frozen=True, slots=True)
class Query:
    """What a method is given: never the gold."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its gold. Only demonstrations (train split) and the scorer see all of it."""

    id: str
    text: str
    golden_answers: tuple[str, ...]
    gold_doc_ids: tuple[str, ...] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)

    @property
    def query(self) -> Query:
        """The part of the question that a method may see."""
        return Query(self.id, self.text)


@dataclass(frozen=True, slots=True)
class Passage:
    """One document of a corpus. ``score`` (higher is better) is set when a retriever returns it."""

    id: str
    title: str
    text: str
    score: float | None = field(default=None, compare=False)

    @property
    def contents(self) -> str:
        """Title and text in FlashRAG's corpus form: the first line is the title."""
        return f"{self.title}\n{self.text}"


@dataclass(frozen=True, slots=True)
class Hit:
    """A document in a ranking without its text: its id and its score (higher is better)."""

    id: str
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened while answering: an engine call or a method's own note."""

    kind: str
    data: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Usage:
    """What answering one question took, in hardware-free units; None is unknown."""

    llm_calls: int = 0
    retrievals: int = 0
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    passages_dropped: int = 0
    """Passages that did not fit into a prompt."""
    passages_cut: int = 0
    """Passages of which only a part fitted."""
    prefix_tokens: int = 0
    """Positions of key/value prompts that stood before what was read (``prompt_tokens``)."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A method's answer to one query.

    ``ranked`` is what the method retrieved or selected, best first; ``read`` are the ids of what
    the model was then shown, None if that is all that was ranked. ``raw`` is the model's unparsed
    reply; left empty, the engine fills in the last reply of the question's trace. ``steps`` and
    ``usage`` are filled in by the engine, which also takes out of what was read the passages that
    did not fit into the last prompt they were meant for.

    ``support`` are the ids of the documents that the method itself names as what its answer rests
    on, as few as it takes; None if it names none, which is not the same as naming nothing, ``()``.
    """

    answer: str
    ranked: Sequence[Passage | Hit] = ()
    read: Sequence[str] | None = None
    support: Sequence[str] | None = None
    raw: str | None = None
    steps: tuple[Step, ...] = ()
    usage: Usage = Usage()
    error: str | None = None

    @property
    def ranked_ids(self) -> list[str]:
        """Ids of what was ranked, best first, each once."""
        return list(dict.fromkeys(each.id for each in self.ranked))

    @property
    def read_ids(self) -> list[str]:
        """Ids of what was read, each once."""
        return self.ranked_ids if self.read is None else list(dict.fromkeys(self.read))


SHARED = "shared parameters"
"""The part of a storage report that does not grow with the number of documents."""

STORAGE_PARTS = (
    "text",
    "sparse index",
    "dense index",
    "memory vectors",
    "keys and values",
    "adapters",
    SHARED,
)
"""What a storage report may call its parts; ``adapters`` are those of single documents."""


@dataclass(frozen=True, slots=True)
class StorageReport:
    """Bytes that a method's memory occupies on disk, by part.

    ``parts`` are bytes by name, of ``STORAGE_PARTS``; ``shared parameters`` are counted once and
    reported apart. ``documents`` are those that the memory holds, ``left_out`` those of the corpus
    that it has no room for.
    """

    parts: Mapping[str, int]
    documents: int
    left_out: int = 0

    @property
    def shared(self) -> int:
        """Bytes that do not grow with the number of documents."""
        return self.parts.get(SHARED, 0)

    @property
    def per_document(self) -> int:
        """Bytes that grow with the number of documents, over all documents."""
        return sum(self.parts.values()) - self.shared

    @property
    def mb_per_1000(self) -> float:
        """Megabytes (10^6 bytes) for a thousand documents, shared parameters left out."""
        return self.per_document / max(self.documents, 1) / 1000.0
