"""Documents on their way into a bank: in groups of a whole corpus, and as they change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from harness.records import Passage

if TYPE_CHECKING:
    from torch import Tensor

    from harness.data.corpus import Corpus
    from harness.data.corpus_changes import CorpusChanges
    from methods.parametric_qa.memory.bank import MemoryBank

Codes = Callable[[Sequence[Passage]], "Tensor"]
"""Writes passages into codes [passages, slots, z_dim]."""


def groups(corpus: Corpus, size: int) -> Iterator[list[Passage]]:
    """The corpus in order, ``size`` passages at a time."""
    group: list[Passage] = []
    for passage in corpus:
        group.append(passage)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def revise_bank(bank: MemoryBank, changes: CorpusChanges, codes: Codes) -> None:
    """Write new and updated documents and remove deleted ones; all other codes stay as they are."""
    if changes.updated:
        bank.update([passage.id for passage in changes.updated], codes(changes.updated))
    bank.delete(changes.deleted)
    if changes.added:
        bank.add([passage.id for passage in changes.added], codes(changes.added))
    bank.belong_to(changes.corpus.fingerprint)
