"""Records of an evaluation of updates: what was answered in each scenario, what a change took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from harness.boards.changing.facts import ChangedFact
from harness.metrics.answer import contains, exact_match, token_f1
from harness.records import Passage, Prediction, Question

Scenario = Literal["original", "overwritten", "deleted", "conflicting"]
SCENARIOS: tuple[Scenario, ...] = ("original", "overwritten", "deleted", "conflicting")
OPERATIONS: Mapping[Scenario, str] = {
    "overwritten": "update",
    "deleted": "delete",
    "conflicting": "add",
}
Answers = Mapping[Scenario, Mapping[str, Prediction]]
"""Predictions by scenario and question id."""


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
