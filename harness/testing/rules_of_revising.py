"""Rules of a memory that follows its corpus: what ``revise`` leaves, and ``digests`` tells."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from harness.data.corpus import Corpus
from harness.data.corpus_changes import CorpusChanges
from harness.records import Passage
from harness.runs.revising import revises
from harness.runs.write_phase import at_work
from harness.testing.conformance_lab import WRITE_PATIENCE, Lab
from harness.testing.findings import Wrongs, rule
from harness.testing.observed import Case
from harness.testing.rules_of_memory import loads

_GONE = Passage("d-gone", "Gone", "This passage is deleted before a question is asked.")


def has_revision(lab: Lab) -> bool:
    """Whether the method brings a memory to a changed corpus."""
    return lab.writes and revises(lab.cls)


@rule("revise() leaves what write() would", loads, applies=has_revision)
def follows(lab: Lab) -> Wrongs:
    """A memory of other documents, revised, is answered from as one that was written at once."""
    changes = to_small_task(lab.data.corpus)
    memory = lab.write("to-be-revised", changes.before)
    _revise(lab, memory, changes)
    method = lab.loaded(memory)
    asked = lab.ask(method, Case("after revise()"))
    told = None if method.revision_differs else lab.difference(asked)
    if told:
        yield (
            f"after revise(): {told}",
            "leave in the folder what write() leaves of changes.corpus, or say in revision_differs "
            "what is otherwise",
        )
    strangers = set(method.digests()) - set(lab.data.corpus.ids)
    if strangers:
        yield (
            f"digests() names {sorted(strangers)[0]!r}, which is not in the corpus any more",
            "remove what changes.deleted names from the memory",
        )


def to_small_task(corpus: Corpus) -> CorpusChanges:
    """Changes after which the corpus is the given one: one passage each way."""
    first, *rest, last = corpus
    before = Corpus.from_passages([replace(first, text=f"Not yet: {first.title}."), *rest, _GONE])
    return CorpusChanges.of(before, added=[last], updated=[first], deleted=[_GONE.id])


def _revise(lab: Lab, memory: Path, changes: CorpusChanges) -> None:
    method = lab.new()
    lab.engine(method, Case("load"), changes.before)
    lab.watch.run("load", lambda: method.load(memory), WRITE_PATIENCE)
    engine = lab.engine(method, Case("revise"), changes.corpus)
    scratch, console = lab.folder / "revise-scratch", Console(quiet=True)
    scratch.mkdir()

    def work() -> None:
        asked = partial(method.revise, changes, lab.data.train, memory)
        at_work(engine, method, changes.corpus, scratch, console, asked, "revise")

    lab.watch.run("revise", work, WRITE_PATIENCE)


RULES = (follows,)
