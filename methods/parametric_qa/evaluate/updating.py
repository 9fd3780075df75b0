"""Updates: answers after facts were overwritten, deleted or doubled, in memories and in text."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from harness.boards.task_entry import TaskSource
from harness.data.corpus import Corpus
from harness.data.demonstrations import qa_prompts
from harness.data.trained_on import check_untrained, warn_of_unknown
from harness.engine import Engine
from harness.llm.catalogue import DEFAULT_MODEL
from harness.meters.hardware import set_torch_threads
from harness.metrics.answer import contains
from harness.progress import say
from harness.records import Prediction
from harness.retrieval.open import open_retriever
from methods.bm25 import BM25
from methods.parametric_qa.evaluate.ask import ask, circumstances
from methods.parametric_qa.evaluate.changed_facts import ChangedFact, changed_facts
from methods.parametric_qa.evaluate.changing import (
    SCENARIOS,
    Change,
    EditableQA,
    Scenario,
    change_memories,
    second_version,
)
from methods.parametric_qa.evaluate.evaluate_write import open_local
from methods.parametric_qa.method import ParametricQA
from methods.parametric_qa.reader import DEFAULT_SHARED, shared_record

if TYPE_CHECKING:
    from rich.console import Console

    from harness.data.task import TaskData
    from harness.llm.local import LocalModel

MEMORY, TEXT = "parametric-qa", "bm25"
Answers = Mapping[Scenario, Mapping[str, Prediction]]
"""Predictions by scenario and question id."""


class UpdateOptions(BaseModel):
    """Which facts change, and what reads them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: TaskSource = TaskSource(name="nq")
    facts: int = Field(50, ge=1)
    shared: str | None = Field(DEFAULT_SHARED, description="None: untrained ones")
    steps: int = Field(0, ge=0, le=1000, description="optimisation steps on each code")
    text: bool = Field(True, description="also BM25 over text changed likewise")
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


@dataclass(slots=True)
class Updating:
    """Where the figures come from, a record a method, scenario and fact, and one a change.

    ``identical`` counts, by scenario, documents that were not to change, and whose every stored
    byte was compared and found the same. ``opening`` are seconds to open the changed bank and
    compute the keys of all its memories.
    """

    facts: dict[str, Any]
    records: list[FactRecord]
    changes: list[Change]
    identical: dict[str, int]
    opening: dict[str, float]


def evaluate_update(options: UpdateOptions, console: Console) -> Updating:
    """Change facts in all scenarios and ask for them over the task's whole corpus.

    In a scenario all facts are changed at once, each in the one document that holds it. Other
    passages stay as they are, also if one happens to hold an old answer. Raises InputError or
    ConfigError for options that do not fit.
    """
    learnt = shared_record(options.shared)  # and errors of them, before a model is loaded
    warn_of_unknown(learnt)
    data = check_untrained(options.task.load(), learnt, leave_out=True)
    facts = changed_facts(data.questions, data.corpus, options.facts, options.seed, data.name)
    set_torch_threads()
    llm = open_local(options.model, options.device)
    return evaluate_changes(data, facts, llm, options, console)


def evaluate_changes(
    data: TaskData,
    facts: Sequence[ChangedFact],
    llm: LocalModel,
    options: UpdateOptions,
    console: Console,
) -> Updating:
    """As ``evaluate_update``, of given facts.

    Raises RunFailedError if a change touched the memory of another document.
    """
    origin = {
        "model": llm.name,
        "shared": options.shared or "untrained",
        "task": data.name,
        "corpus_fingerprint": data.corpus_fingerprint,
        "corpus_passages": len(data.corpus),
        "facts": len(facts),
        "steps": options.steps,
        "memories_read": ParametricQA.Params().k,
        "passages_read": BM25.Params().k,
        "seed": options.seed,
    }
    result = Updating(origin, [], [], {}, {})
    by_memory = _ask_memories(data, facts, llm, options, console, result)
    result.records += fact_records(MEMORY, facts, by_memory)
    if options.text:
        by_text = _ask_text(data, facts, llm, options.seed, console)
        result.records += fact_records(TEXT, facts, by_text)
    result.facts |= circumstances()
    return result


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


def changed_corpus(corpus: Corpus, facts: Sequence[ChangedFact], scenario: Scenario) -> Corpus:
    """The passages as they stand in a scenario; of conflicting ones the changed come last."""
    changed = {fact.passage.id: fact.changed for fact in facts}
    if scenario == "overwritten":
        return Corpus.from_passages(changed.get(p.id, p) for p in corpus)
    if scenario == "deleted":
        return Corpus.from_passages(p for p in corpus if p.id not in changed)
    if scenario == "conflicting":
        return Corpus.from_passages([*corpus, *map(second_version, facts)])
    return corpus


def _ask_memories(
    data: TaskData,
    facts: Sequence[ChangedFact],
    llm: LocalModel,
    options: UpdateOptions,
    console: Console,
    result: Updating,
) -> Answers:
    method = EditableQA(EditableQA.Params(shared=options.shared, steps=options.steps))
    prompts = qa_prompts(data, method.params.shots, options.seed)
    engine = Engine(llm, None, data.corpus)
    method.open(engine.lend(prompts=prompts, seed=options.seed))
    method.check_model(llm)
    queries = [fact.question.query for fact in facts]
    answers = {}
    with TemporaryDirectory() as temporary, llm.adapted(method.adapter):
        written = Path(temporary) / "written"
        say(console, f"{data.name}: writing {len(data.corpus):,} memories")
        written.mkdir()
        method.write(data.corpus, data.train, written)
        for scenario in SCENARIOS:
            folder = Path(temporary) / scenario
            shutil.copytree(written, folder)
            method.load(folder)
            changes, result.identical[scenario] = change_memories(method, facts, scenario)
            result.changes += changes
            start = perf_counter()
            method.load(folder)
            result.opening[scenario] = perf_counter() - start
            answers[scenario] = ask(engine, method, queries, console, f"{MEMORY}, {scenario}")
            shutil.rmtree(folder)
    return answers


def _ask_text(
    data: TaskData,
    facts: Sequence[ChangedFact],
    llm: LocalModel,
    seed: int,
    console: Console,
) -> Answers:
    method = BM25()
    prompts = qa_prompts(data, method.params.shots, seed)
    queries = [fact.question.query for fact in facts]
    answers = {}
    for scenario in SCENARIOS:
        corpus = changed_corpus(data.corpus, facts, scenario)
        retriever = open_retriever("bm25", corpus, settings=method.retriever_settings)
        engine = Engine(llm, retriever, corpus)
        method.open(engine.lend(prompts=prompts, seed=seed))
        answers[scenario] = ask(engine, method, queries, console, f"{TEXT}, {scenario}")
    return answers


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
