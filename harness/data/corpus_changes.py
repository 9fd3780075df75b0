"""CorpusChanges of a corpus, a stream of documents that are added, updated and deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from harness.data.corpus import Corpus
from harness.errors import InputError
from harness.records import Passage, Question


@dataclass(frozen=True, slots=True)
class CorpusChanges:
    """What became of a corpus; made by ``of``.

    ``corpus`` is ``before`` with the ``updated`` passages in the places of those of the same ids,
    without the ``deleted`` ids, and with the ``added`` passages at its end.
    """

    before: Corpus
    corpus: Corpus
    added: tuple[Passage, ...] = ()
    updated: tuple[Passage, ...] = ()
    deleted: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        before: Corpus,
        *,
        added: Sequence[Passage] = (),
        updated: Sequence[Passage] = (),
        deleted: Sequence[str] = (),
    ) -> CorpusChanges:
        """Raises InputError for an id that is changed twice, lacking, or added though it is there.

        Also if no passage is left, and for passages that no corpus holds (an empty text).
        """
        new = {passage.id: passage for passage in updated}
        gone, more = set(deleted), [passage.id for passage in added]
        touched = Counter([*(passage.id for passage in updated), *deleted, *more])
        for id_, times in touched.items():
            if times > 1:
                raise InputError(f"document {id_!r} is changed twice; give each change by itself")
        for id_ in [*new, *gone]:
            if id_ not in before:
                raise InputError(f"no document {id_!r} in the corpus to update or delete")
        for id_ in more:
            if id_ in before:
                raise InputError(f"document {id_!r} is in the corpus already; update it instead")
        kept = (new.get(passage.id, passage) for passage in before if passage.id not in gone)
        corpus = Corpus.from_passages([*kept, *added])
        return cls(before, corpus, tuple(added), tuple(updated), tuple(deleted))

    def one_by_one(self) -> Iterator[CorpusChanges]:
        """The same as changes of a single document each: updates, deletions, then additions."""
        corpus = self.before
        singles: list[dict[str, Any]] = [
            *({"updated": [passage]} for passage in self.updated),
            *({"deleted": [id_]} for id_ in self.deleted),
            *({"added": [passage]} for passage in self.added),
        ]
        for single in singles:
            changes = CorpusChanges.of(corpus, **single)
            yield changes
            corpus = changes.corpus

    def __len__(self) -> int:
        return len(self.added) + len(self.updated) + len(self.deleted)


class Revisable:
    """What a method with a memory may add to its contract; all of it optional."""

    revises_together: ClassVar[bool] = False
    """Whether ``revise`` is given all changes at once, which takes less than one by one."""

    def revise(
        self, changes: CorpusChanges, train: Sequence[Question], folder: Path
    ) -> Coroutine[Any, Any, None] | None:
        """Bring the memory in ``folder`` to ``changes.corpus``, in less than a whole ``write``.

        Called of a method that has loaded the folder and is opened over the changed corpus. The
        folder is a copy of its own: killed, it is thrown away. ``load`` follows, and questions are
        then answered as of a memory that was written of the changed corpus, but for what
        ``revision_differs`` says. May be ``async``, as ``write`` may. A method without it is
        written anew after every change.
        """
        raise NotImplementedError

    @property
    def revision_differs(self) -> str:
        """In what a revised memory is not as one that was written anew, a sentence; "" if it is."""
        return ""

    def digests(self) -> Mapping[str, bytes]:
        """A hash of all that the loaded memory keeps of each document, by id.

        Of a memory whose documents can be told apart: a revision may then touch no other's.
        """
        return {}
