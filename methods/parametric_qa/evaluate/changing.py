"""Changing one document's memory at a time: what it takes, and that others stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from harness.errors import RunFailedError
from harness.records import Passage
from methods.parametric_qa.evaluate.changed_facts import ChangedFact
from methods.parametric_qa.memory.bank import BANK_FILE
from methods.parametric_qa.method import ParametricQA

if TYPE_CHECKING:
    from methods.parametric_qa.memory.bank import MemoryBank

Scenario = Literal["original", "overwritten", "deleted", "conflicting"]
SCENARIOS: tuple[Scenario, ...] = ("original", "overwritten", "deleted", "conflicting")


@dataclass(frozen=True, slots=True)
class Change:
    """One document's update, deletion or addition, from its text to the bank on disk.

    ``memory_bytes`` are those of its code; ``written_bytes`` all that went to disk, since a bank
    writes a whole segment anew.
    """

    operation: str
    document: str
    seconds: float
    memory_bytes: int
    written_bytes: int


class EditableQA(ParametricQA):
    """Parametric QA whose bank can be changed. Selection sees a change after ``load``."""

    @property
    def bank(self) -> MemoryBank:
        """The memories on disk."""
        return self._bank

    def update(self, passage: Passage) -> None:
        """Write a passage's memory anew, in the place of the one with its id."""
        self._bank.update([passage.id], self._codes([passage]))

    def delete(self, passage: Passage) -> None:
        """Remove a passage's memory."""
        self._bank.delete([passage.id])

    def add(self, passage: Passage) -> None:
        """Write the memory of a passage that the bank does not hold."""
        self._bank.add([passage.id], self._codes([passage]))


def second_version(fact: ChangedFact) -> Passage:
    """The changed passage under an id of its own."""
    return replace(fact.changed, id=f"{fact.passage.id} (changed)")


def change_memories(
    method: EditableQA, facts: Sequence[ChangedFact], scenario: Scenario
) -> tuple[list[Change], int]:
    """Change one document after the other; what was done, and how many others are bit-identical.

    Raises RunFailedError if one is not.
    """
    before = _digests(method.bank)
    edits: dict[Scenario, tuple[str, Callable[[Passage], None]]] = {
        "overwritten": ("update", method.update),
        "deleted": ("delete", method.delete),
        "conflicting": ("add", method.add),
    }
    changes = []
    if scenario in edits:
        operation, edit = edits[scenario]
        for fact in facts:
            passage = second_version(fact) if operation == "add" else fact.changed
            changes.append(_timed(method.bank, operation, edit, passage))
    touched = {change.document for change in changes}
    after = _digests(method.bank)
    others = [id_ for id_ in before if id_ not in touched]
    for id_ in others:
        if after.get(id_) != before[id_]:
            raise RunFailedError(
                f"{scenario}: the memory of document {id_!r} changed, though only others were "
                "touched; the bank cannot be trusted, please report this with the command"
            )
    return changes, len(others)


def _timed(
    bank: MemoryBank, operation: str, edit: Callable[[Passage], None], passage: Passage
) -> Change:
    there = {path.name for path in bank.folder.iterdir()}
    size = len(bank.raw(passage.id)) if passage.id in bank else 0
    start = perf_counter()
    edit(passage)
    seconds = perf_counter() - start
    fresh = [p for p in bank.folder.iterdir() if p.name not in there or p.name == BANK_FILE]
    written = sum(path.stat().st_size for path in fresh)
    size = size or len(bank.raw(passage.id))
    return Change(operation, passage.id, seconds, size, written)


def _digests(bank: MemoryBank) -> dict[str, bytes]:
    return {id_: blake2b(bank.raw(id_)).digest() for id_ in bank.ids}
