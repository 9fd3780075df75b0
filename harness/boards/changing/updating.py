"""Updates: what methods answer after facts were overwritten, deleted or doubled in a corpus."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from harness.boards.changing.asking import ask, circumstances
from harness.boards.changing.facts import ChangedFact, changed_facts, unchanged_questions
from harness.boards.changing.subject import (
    Subject,
    check_subjects,
    open_subjects_model,
    restored,
    shows_weights,
    subjects_of,
    untrained_data,
)
from harness.boards.changing.update_records import (
    OPERATIONS,
    SCENARIOS,
    Change,
    Scenario,
    Updating,
    fact_records,
    kept_records,
    second_version,
)
from harness.boards.config import MethodEntry
from harness.boards.task_entry import TaskSource
from harness.data.corpus_changes import CorpusChanges
from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.meters.hardware import set_torch_threads
from harness.progress import say
from harness.records import Question
from harness.runs.revising import Reviser, State

if TYPE_CHECKING:
    from rich.console import Console

    from harness.data.corpus import Corpus
    from harness.data.task import TaskData
    from harness.llm.base import LanguageModel


class UpdateOptions(BaseModel):
    """Which facts change, and what answers then."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: TaskSource
    methods: tuple[MethodEntry, ...] = Field(min_length=1)
    facts: int = Field(50, ge=1)
    unchanged: int = Field(50, ge=0, description="questions about documents that do not change")
    model: str = DEFAULT_MODEL
    seed: int = Field(0, ge=0)
    device: str | None = None


def evaluate_update(options: UpdateOptions, console: Console) -> Updating:
    """Change facts in all scenarios and ask for them over the task's whole corpus.

    In a scenario all facts are changed, each in the one document that holds it. Other passages stay
    as they are, also if one happens to hold an old answer. Raises HarnessError for options that do
    not fit.
    """
    subjects = subjects_of(options.methods)
    model = resolve_model(options.model)
    data = untrained_data(options.task.load(), subjects, model)
    facts = changed_facts(data.questions, data.corpus, options.facts, options.seed, data.name)
    check_subjects(subjects, data, model)
    set_torch_threads()
    llm = open_subjects_model(options.model, options.device, subjects, data)
    return evaluate_changes(data, facts, llm, subjects, options, console)


def evaluate_changes(
    data: TaskData,
    facts: Sequence[ChangedFact],
    llm: LanguageModel,
    subjects: Sequence[Subject],
    options: UpdateOptions,
    console: Console,
) -> Updating:
    """As ``evaluate_update``, of given facts.

    Raises RunFailedError if a change touched the memory of another document.
    """
    unchanged = unchanged_questions(data.questions, facts, options.unchanged, options.seed)
    origin = {
        "model": llm.name,
        "methods": {s.label: s.params.model_dump(mode="json") for s in subjects},
        "task": data.name,
        "corpus_fingerprint": data.corpus_fingerprint,
        "corpus_passages": len(data.corpus),
        "facts": len(facts),
        "unchanged": len(unchanged),
        "undone_exactly": [s.label for s in subjects if s.touches_weights and shows_weights(llm)],
        "seed": options.seed,
    }
    found = Updating(origin, [], [], [], {}, {})
    for subject in subjects:
        with restored(subject, llm), subject.in_force(llm), TemporaryDirectory() as folder:
            reviser = Reviser(partial(subject.new, data), llm, options.seed, console, Path(folder))
            say(console, f"{data.name}, {subject.label}: {len(data.corpus):,} documents")
            _ask_all(reviser, subject.label, data, facts, unchanged, console, found)
    found.facts |= circumstances()
    return found


def changes_of(corpus: Corpus, facts: Sequence[ChangedFact], scenario: Scenario) -> CorpusChanges:
    """What becomes of the corpus in a scenario; of conflicting passages the changed come last."""
    if scenario == "overwritten":
        return CorpusChanges.of(corpus, updated=[fact.changed for fact in facts])
    if scenario == "deleted":
        return CorpusChanges.of(corpus, deleted=[fact.passage.id for fact in facts])
    if scenario == "conflicting":
        return CorpusChanges.of(corpus, added=list(map(second_version, facts)))
    return CorpusChanges.of(corpus)


def _ask_all(
    reviser: Reviser,
    label: str,
    data: TaskData,
    facts: Sequence[ChangedFact],
    unchanged: Sequence[Question],
    console: Console,
    found: Updating,
) -> None:
    queries = [question.query for question in (*(f.question for f in facts), *unchanged)]
    answers = {}
    first = reviser.begin(data)
    for scenario in SCENARIOS:
        changes = changes_of(data.corpus, facts, scenario)
        state = reviser.change(first, changes) if len(changes) else first
        found.changes += _costs(label, OPERATIONS.get(scenario, "write"), changes, state)
        found.opening.setdefault(label, {})[scenario] = state.opening
        identical = len(first.method.digests()) if state is first else state.identical
        if identical:
            found.identical.setdefault(label, {})[scenario] = identical
        called = f"{label}, {scenario}"
        with reviser.asking(state):
            answers[scenario] = ask(state.engine, state.method, queries, console, called)
    found.records += fact_records(label, facts, answers)
    found.kept += kept_records(label, unchanged, answers)


def _costs(label: str, operation: str, changes: CorpusChanges, state: State) -> list[Change]:
    storage = state.method.storage()
    each = storage.per_document // max(storage.documents, 1)
    ids = [*(p.id for p in changes.updated), *changes.deleted, *(p.id for p in changes.added)]
    alone = len(state.steps) == len(ids)
    return [
        Change(
            label,
            operation,
            step.how,
            step.documents,
            ids[number] if alone else "",
            step.seconds,
            each,
            step.written_bytes,
        )
        for number, step in enumerate(state.steps)
    ]
