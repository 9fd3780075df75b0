"""Documents that a method read for each question, and the kind of failure of a wrong answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from harness.errors import InputError
from harness.runs.gold import gold_of, gold_rows
from harness.runs.predictions import documents_of, read_predictions
from leaderboards.collect import Run

RIGHT = "right"
READING = "reading failure"
MULTI_HOP = "multi-hop failure"
RANKED = "selection failure: ranked but not read"
NOT_RANKED = "selection failure: not ranked"
ERROR = "error"
CLASSES = (RIGHT, READING, MULTI_HOP, RANKED, NOT_RANKED, ERROR)


@dataclass(frozen=True, slots=True)
class Reading:
    """Ids of the documents that were read for a question, and of those that were ranked."""

    read: tuple[str, ...]
    ranked: tuple[str, ...]
    failed: bool


@dataclass(frozen=True, slots=True)
class Case:
    """One answer: its class, and how many of the question's gold documents were read, ranked."""

    question_id: str
    kind: str
    gold: int
    read: int
    ranked: int
    em: float
    f1: float


def classify(
    gold: AbstractSet[str],
    read: AbstractSet[str],
    ranked: AbstractSet[str],
    *,
    right: bool,
    failed: bool = False,
    any_gold: bool = False,
) -> str:
    """The one of CLASSES that an answer is in. ``gold`` is not empty.

    ``any_gold`` tells that each gold document gives the answer, so that reading one is enough.
    ``failed`` tells that the method stopped with an error, so that nothing was answered.
    """
    if failed:
        return ERROR
    if right:
        return RIGHT
    if gold <= read or (any_gold and gold & read):
        return READING
    if gold & read:
        return MULTI_HOP
    return RANKED if gold & ranked else NOT_RANKED


def read_readings(run: Run) -> dict[str, Reading]:
    """What each question of a run was answered from, by question id."""
    return {
        row["question_id"]: _reading(row)
        for part in run.on_disk
        for _, row in read_predictions(part.folder / "predictions.jsonl")
    }


def gold_ids(run: Run) -> Mapping[str, frozenset[str]]:
    """Gold document ids by question id; empty where a question has none."""
    found: dict[str, frozenset[str]] = {}
    for part in run.on_disk:
        task = part.manifest.config.task
        gold = {row["id"]: frozenset(row["gold_doc_ids"]) for row in gold_rows(part.folder, task)}
        missing = next((id_ for id_ in part.question_ids if id_ not in gold), None)
        if missing is not None:
            raise InputError(
                f"{gold_of(part.folder, task)}: lacks question {missing!r}; delete it and run the "
                "same board"
            )
        found |= gold
    return found


def cases(
    run: Run, gold: Mapping[str, frozenset[str]], readings: Mapping[str, Reading], right: str
) -> Iterator[Case]:
    """The run's answers to questions with gold; right are those that score 1 in ``right``."""
    any_gold = run.manifest.scoring.gold == "any"
    for place, id_ in enumerate(run.question_ids):
        wanted, found = gold[id_], readings.get(id_)
        if found is None:
            raise InputError(
                f"{run.folder}: question {id_!r} is scored but not answered; run the board again"
            )
        if not wanted:
            continue
        read, ranked = set(found.read), set(found.ranked)
        is_right = bool(run.scores[right][place] >= 1)
        yield Case(
            question_id=id_,
            kind=classify(
                wanted, read, ranked, right=is_right, failed=found.failed, any_gold=any_gold
            ),
            gold=len(wanted),
            read=len(wanted & read),
            ranked=len(wanted & ranked),
            em=float(run.scores["em"][place]),
            f1=float(run.scores["f1"][place]),
        )


def _reading(row: Mapping[str, Any]) -> Reading:
    failed, found = row.get("error") is not None, documents_of(row)
    return Reading(tuple(found.read), tuple(found.ranked), failed)
