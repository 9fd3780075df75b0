"""Material of an evaluation of forgetting: a task's questions and documents, divided."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.errors import InputError
from harness.fingerprint import sample_by_hash
from harness.records import Passage

if TYPE_CHECKING:
    from harness.data.task import TaskData


@dataclass(frozen=True, slots=True)
class Material:
    """A task's data, divided: its corpus holds the old documents, to which others are added.

    ``held_out``: passages that no memory is written of. They are gold for evaluated questions that
    are not asked, so no part of a method was trained on them either.
    """

    data: TaskData
    added: tuple[Passage, ...]
    held_out: tuple[Passage, ...]

    @classmethod
    def of(
        cls, data: TaskData, limit: int, passages: int, documents: int | None = None
    ) -> Material:
        """The same division for all methods, by the hash of ids. Raises InputError if it fails.

        ``documents`` are old, and at most as many added; without it, half of what is free each.
        """
        known = [question for question in data.questions if question.gold_doc_ids]
        asked = sample_by_hash(known, limit, lambda question: question.id)
        gold = {id_ for question in asked for id_ in question.gold_doc_ids}
        unasked = {id_ for question in known for id_ in question.gold_doc_ids} - gold
        held_out = sample_by_hash(sorted(unasked), passages, str)
        free = sorted(set(data.corpus.ids) - gold - unasked)
        added = sample_by_hash(free, len(free) // 2, str)
        if not asked or not added:
            raise InputError(
                f"task '{data.name}' cannot be divided: of its {len(data.corpus):,} passages "
                f"{len(gold):,} are gold of the {len(asked):,} questions asked and "
                f"{len(added):,} are left to be added; give --limit fewer, or another task"
            )
        if documents is not None and documents < len(gold):
            raise InputError(
                f"task '{data.name}': {documents:,} documents, but the {len(asked):,} questions "
                f"have {len(gold):,} gold documents; give --documents {len(gold)} or more, or "
                "--limit fewer"
            )
        apart = {*unasked, *added}
        kept = [n for n, id_ in enumerate(data.corpus.ids) if id_ not in apart]
        if documents is not None:
            others = (n for n in kept if data.corpus.ids[n] not in gold)
            kept = sample_by_hash(others, documents - len(gold), data.corpus.ids.__getitem__)
            kept += map(data.corpus.position, gold)
            added = added[:documents]
        old = data.corpus.part(kept)
        return cls(
            replace(data, questions=tuple(asked), corpus=old, corpus_fingerprint=old.fingerprint),
            tuple(map(data.corpus.get, added)),
            tuple(map(data.corpus.get, held_out)),
        )

    def check_held_out(self) -> None:
        """Raise InputError if no passage is held out."""
        if not self.held_out:
            raise InputError(
                f"task '{self.data.name}': every question with gold passages is asked, so that no "
                "passage is held out whose perplexity could be measured; give --limit fewer"
            )
