"""Updates: what methods answer after facts were overwritten, deleted or doubled in a corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

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
from harness.boards.config import MethodEntry
from harness.boards.task_entry import TaskSource
from harness.data.corpus_changes import CorpusChanges
from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.meters.hardware import set_torch_threads
from harness.metrics.answer import contains, exact_match, token_f1
from harness.progress import say
from harness.records import Passage, Prediction, Question
from harness.runs.revising import Reviser, State

if TYPE_CHECKING:
    from rich.console import Console

    from harness.data.corpus import Corpus
    from harness.data.task import TaskData
    from harness.llm.base import LanguageModel

Scenario = Literal["original", "overwritten", "deleted", "conflicting"]
SCENARIOS: tuple[Scenario, ...] = ("original", "overwritten", "deleted", "conflicting")
OPERATIONS: Mapping[Scenario, str] = {
    "overwritten": "update",
    "deleted": "delete",
    "conflicting": "add",
}
Answers = Mapping[Scenario, Mapping[str, Prediction]]
"""Predictions by scenario and question id."""


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


@dataclass(frozen=True, slots=True)
class FactRecord:
    """A fact's question as a method answered it in a scenario.

    ``answered_old`` is whether the answer contains a golden one, ``answered_new`` the new one
    (normalised). ``read_old`` and ``read_new`` say whether that version was among what was read;
    None if there was no such version. ``known``: the original was answered right by this method.
    """

    method: str
    scenario: Scenario
    question_id: str
    question: str
    document: str
    old: str
    new: str
    answer: str
    answered_old: bool
    answered_new: bool
    read_old: bool | None
    read_new: bool | None
    known: bool
    error: str


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """A question about a document that does not change; ``same``: answered as before, verbatim."""

    method: str
    scenario: Scenario
    question_id: str
    question: str
    answer: str
    same: bool
    em: float
    f1: float
    error: str


@dataclass(frozen=True, slots=True)
class Change:
    """A bringing of a method to a changed corpus, or, ``write``, to the first one.

    ``document`` is the one that changed, if it was one alone. ``memory_bytes`` are what a document
    takes of text, index or memory; ``written_bytes`` all of an index or on disk that was made.
    """

    method: str
    operation: str
    how: str
    documents: int
    document: str
    seconds: float
    memory_bytes: int
    written_bytes: int


@dataclass(slots=True)
class Updating:
    """Where the figures come from, and one record a method, scenario and question, and a change.

    By method and scenario: ``identical`` counts documents that were not to change, and whose every
    stored byte was compared and found the same; ``opening`` are seconds of loading the memory.
    """

    facts: dict[str, Any]
    records: list[FactRecord]
    kept: list[KeptRecord]
    changes: list[Change]
    identical: dict[str, dict[str, int]]
    opening: dict[str, dict[str, float]]


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


def second_version(fact: ChangedFact) -> Passage:
    """The changed passage under an id of its own."""
    return replace(fact.changed, id=f"{fact.passage.id} (changed)")


def fact_records(method: str, facts: Sequence[ChangedFact], answers: Answers) -> list[FactRecord]:
    """One record a scenario and fact, in this order."""
    known = {
        fact.question.id: _answered_old(fact, answers["original"][fact.question.id])
        for fact in facts
    }
    return [
        _record(method, scenario, fact, predictions[fact.question.id], known[fact.question.id])
        for scenario, predictions in answers.items()
        for fact in facts
    ]


def kept_records(method: str, questions: Sequence[Question], answers: Answers) -> list[KeptRecord]:
    """One record a scenario and question about a document that does not change."""
    return [
        KeptRecord(
            method,
            scenario,
            question.id,
            question.text,
            (answer := predictions[question.id].answer),
            answer == answers["original"][question.id].answer,
            exact_match(answer, question.golden_answers),
            token_f1(answer, question.golden_answers),
            predictions[question.id].error or "",
        )
        for scenario, predictions in answers.items()
        for question in questions
    ]


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


def _record(
    method: str, scenario: Scenario, fact: ChangedFact, prediction: Prediction, known: bool
) -> FactRecord:
    read = prediction.read_ids
    own = fact.passage.id
    old = own if scenario in ("original", "conflicting") else None
    new = {"overwritten": own, "conflicting": second_version(fact).id}.get(scenario)
    return FactRecord(
        method=method,
        scenario=scenario,
        question_id=fact.question.id,
        question=fact.question.text,
        document=own,
        old=fact.old,
        new=fact.new,
        answer=prediction.answer,
        answered_old=_answered_old(fact, prediction),
        answered_new=bool(contains(prediction.answer, [fact.new])),
        read_old=None if old is None else old in read,
        read_new=None if new is None else new in read,
        known=known,
        error=prediction.error or "",
    )


def _answered_old(fact: ChangedFact, prediction: Prediction) -> bool:
    return bool(contains(prediction.answer, fact.question.golden_answers))
