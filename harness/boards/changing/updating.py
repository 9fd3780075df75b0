"""Updates: what methods answer after facts were overwritten, deleted or doubled in a corpus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from harness.boards.changing.asking import answers_in, ask, circumstances
from harness.boards.changing.facts import ChangedFact, changed_facts, unchanged_questions
from harness.boards.changing.kept import Kept, answers_folder, kept
from harness.boards.changing.subject import (
    Subject,
    check_files,
    check_subjects,
    open_subjects_model,
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
from harness.data.subpool import sub_pool
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
    documents: int | None = Field(
        None, ge=1, description="of the corpus at first, those that are asked about among them"
    )
    model: str = DEFAULT_MODEL
    seed: int = Field(0, ge=0)
    device: str | None = None


def evaluate_update(options: UpdateOptions, console: Console, out: Path | None = None) -> Updating:
    """Change facts in all scenarios and ask for them over the task's corpus, or a part of it.

    What was answered is kept below ``out``, and an interrupted evaluation goes on there.

    In a scenario all facts are changed, each in the one document that holds it. Other passages stay
    as they are, also if one happens to hold an old answer. Raises HarnessError for options that do
    not fit.
    """
    subjects = subjects_of(options.methods)
    model = resolve_model(options.model)
    check_files(subjects, model)
    data = untrained_data(options.task.load(), subjects, model)
    facts = changed_facts(data.questions, data.corpus, options.facts, options.seed, data.name)
    data = _smaller(data, facts, options)
    check_subjects(subjects, data)
    set_torch_threads()
    llm = open_subjects_model(options.model, options.device, subjects, data)
    return evaluate_changes(data, facts, llm, subjects, options, console, out)


def evaluate_changes(
    data: TaskData,
    facts: Sequence[ChangedFact],
    llm: LanguageModel,
    subjects: Sequence[Subject],
    options: UpdateOptions,
    console: Console,
    out: Path | None = None,
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
        "undone_exactly": [],
        "revised_together": [s.label for s in subjects if s.cls.revises_together],
        "seed": options.seed,
    }
    found = Updating(origin, [], [], [], {}, {})
    told = [[asdict(fact.changed), fact.old, fact.new] for fact in facts]
    asked = [told, [question.id for question in unchanged]]
    model = resolve_model(options.model)
    with answers_folder(out) as folder:
        for subject in subjects:
            own = kept(folder, subject, model, data, options.seed, *asked)
            say(console, f"{data.name}, {subject.label}: {len(data.corpus):,} documents")
            work = partial(_ask_all, own, subject, llm, data, facts, unchanged, options, console)
            if own.once(llm, subject, work):
                found.facts["undone_exactly"].append(subject.label)
            _collect(own, subject.label, facts, unchanged, found)
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


def _smaller(data: TaskData, facts: Sequence[ChangedFact], options: UpdateOptions) -> TaskData:
    """The data with as many documents as the options say, and the questions that are asked."""
    if options.documents is None:
        return data
    others = unchanged_questions(data.questions, facts, options.unchanged, options.seed)
    asked = (*(fact.question for fact in facts), *others)
    corpus = sub_pool(data.corpus, asked, options.documents)
    fingerprint = corpus.fingerprint
    return replace(data, questions=asked, corpus=corpus, corpus_fingerprint=fingerprint)


def _ask_all(
    own: Kept,
    subject: Subject,
    llm: LanguageModel,
    data: TaskData,
    facts: Sequence[ChangedFact],
    unchanged: Sequence[Question],
    options: UpdateOptions,
    console: Console,
) -> None:
    """Ask in every scenario that is not answered yet."""
    queries = [question.query for question in (*(f.question for f in facts), *unchanged)]
    reviser = Reviser(partial(subject.new, data), llm, options.seed, console, own.states)
    first = reviser.begin(data, SCENARIOS[0])
    for scenario in SCENARIOS:
        if own.is_told(scenario):
            continue
        changes = changes_of(data.corpus, facts, scenario)
        state = reviser.change(first, changes, scenario) if len(changes) else first
        with reviser.asking(state):
            place, called = own.place(scenario), f"{subject.label}, {scenario}"
            ask(state.engine, state.method, queries, console, called, place)
        costs = _costs(subject.label, OPERATIONS.get(scenario, "write"), changes, state)
        own.tell(
            scenario,
            {
                "changes": list(map(asdict, costs)),
                "opening": state.opening,
                "identical": len(first.method.digests()) if state is first else state.identical,
            },
        )


def _collect(
    own: Kept,
    label: str,
    facts: Sequence[ChangedFact],
    unchanged: Sequence[Question],
    found: Updating,
) -> None:
    """Add what was answered, and what it took, in every scenario."""
    answers = {}
    for scenario in SCENARIOS:
        told, answers[scenario] = own.told(scenario), answers_in(own.place(scenario))
        found.changes += [Change(**change) for change in told["changes"]]
        found.opening.setdefault(label, {})[scenario] = told["opening"]
        if told["identical"]:
            found.identical.setdefault(label, {})[scenario] = told["identical"]
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
