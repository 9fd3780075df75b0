"""A task folder that was read as a whole: what it holds, and what to look at before it is run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.data.card import Task
from harness.data.task import TaskData, load_task
from harness.errors import InputError
from harness.metrics.answer import contains
from harness.records import Question


def check_task(folder: Path) -> Iterator[tuple[str, str]]:
    """What a task folder holds, as labels and findings; a label that is empty goes on.

    Raises InputError, naming file, line, field and fix, for what cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; give the one that holds the task.yaml")
    data = load_task(Task.from_folder(folder))
    yield "task", f"{data.name}: {data.card.title}"
    yield "corpus", f"{len(data.corpus):,} passages"
    yield "questions", _asked(data, data.questions)
    yield "train", _asked(data, data.train) if data.train else "none: no demonstrations are shown"
    yield from _to_look_at(data)


def _asked(data: TaskData, questions: Sequence[Question]) -> str:
    """How many questions there are, how many name gold documents, and whether these help."""
    marked = [question for question in questions if question.gold_doc_ids]
    if not marked:
        return f"{len(questions):,}, none with gold passages (there is no Recall@K)"
    documents = sum(len(question.gold_doc_ids) for question in marked)
    return (
        f"{len(questions):,}, {_share(len(marked), questions)} with gold passages "
        f"({documents / len(marked):.2f} each), "
        f"{_share(sum(_holds(data, each) for each in marked), marked)} of these hold the answer"
    )


def _to_look_at(data: TaskData) -> Iterator[tuple[str, str]]:
    notes = {
        "train_left_out": "train questions are left out",
        "repeated": "questions",
    }
    for key, what in notes.items():
        if key in data.provenance:
            yield "look at", f"{what}: {data.provenance[key]}"
    for question in data.questions:
        if question.gold_doc_ids and not _holds(data, question):
            yield "look at", f"no gold passage of {question.id!r} has the words of its answer"
            return


def _holds(data: TaskData, question: Question) -> bool:
    """Whether an answer stands in one of the gold passages, as ``contains`` compares."""
    passages = [data.corpus.get(id_) for id_ in question.gold_doc_ids]
    return any(contains(passage.contents, question.golden_answers) for passage in passages)


def _share(count: int, of: Sequence[Question]) -> str:
    return f"{count / len(of):.0%}"
