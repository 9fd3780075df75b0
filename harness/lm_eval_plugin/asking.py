"""Asking: lm-eval's requests as questions of runs, and the answers of a method to them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.boards.check import check_plan
from harness.boards.needs import check_needs
from harness.data.leaks import part_asked
from harness.data.questions import metadata_fingerprint, questions_fingerprint
from harness.data.task import TaskData
from harness.engine import Answered
from harness.errors import ConfigError, InputError, RunFailedError
from harness.lm_eval_plugin.settings import Settings, task_data
from harness.progress import bar
from harness.records import Question
from harness.runs.answers import AnswerWriter
from harness.runs.opening import open_index, open_method
from harness.runs.plan import RunPlan
from harness.runs.write_phase import memory_path, write_memory

if TYPE_CHECKING:
    from rich.console import Console

    from harness.llm.base import LanguageModel

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """The questions of one task of lm-eval's; ``source`` is its task here, None of a foreign one.

    ``questions`` are ids, in the order of the requests, and texts.
    """

    name: str
    source: str | None
    questions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Taken:
    """An answer as a run would store it; seconds if the question had the time for itself."""

    row: Mapping[str, Any]
    seconds: float | None


def plan(settings: Settings, asked: Asked) -> RunPlan:
    """The run that asks these questions. Raises what ``run`` would, before a model is opened."""
    if asked.source is None:
        data = _foreign(settings, asked)
    else:
        data = _of_task(settings, asked, asked.source)
    planned = settings.plan(data)
    if asked.source is None and planned.method.card.oracle:
        raise ConfigError(
            f"method '{planned.config.method.name}' is shown the gold, which it can have of "
            f"memory_* tasks alone; ask one of them instead of '{asked.name}', or another method"
        )
    check_plan(planned, settings.place)
    for note in planned.demonstrations:
        _log.warning("%s: %s", asked.name, note)
    return planned


def answer(
    planned: RunPlan,
    settings: Settings,
    llm: LanguageModel,
    console: Console,
    keep: Callable[[str, Taken], None],
) -> None:
    """Have the method answer the questions; each answer is handed over as soon as it is there.

    Raises RunFailedError if a server left a question unanswered, which is no answer, or if one
    kind of error is all that comes.
    """
    method, data = copy(planned.method), planned.data
    check_needs(planned.config.method.name, method, llm)
    method.check_model(llm)
    retriever = open_index(method, data.corpus, planned.config.task.name, console)
    with llm.adapted(method.adapter):
        seed = planned.config.seed
        engine = open_method(method, data, seed, llm, retriever, settings.window)
        place = memory_path(settings.place, planned.config, type(method))
        write_memory(engine, method, data, place, console)
        from harness.meters.latency import synchronise

        engine.settle = partial(synchronise, str(llm.provenance().get("device", "remote")))
        queries = [question.query for question in data.questions]
        with llm.changed(method.changes), bar(console, planned.label, len(queries)) as shown:
            kept = _Kept(data.name, keep, alone=settings.window == 1)
            writer = AnswerWriter(kept, shown.advance, "with --use_cache answers so far are kept")
            writer.answer(engine, method, queries, partial(kept.take, writer))
    _check_answered(data.name, writer, len(queries))
    if kept.failed:
        _log.warning(
            "%s: %d of %d questions failed and count as wrong, the first with %s",
            data.name, len(kept.failed), len(queries), kept.failed[0],
        )  # fmt: skip


class _Kept:
    """Answers on their way to lm-eval; looks like a run's directory to their writer."""

    def __init__(self, name: str, keep: Callable[[str, Taken], None], *, alone: bool) -> None:
        self.folder, self.keep, self.alone = Path(name), keep, alone
        self.answered: set[str] = set()
        self.failed: list[str] = []
        self._seconds: dict[str, float] = {}

    def take(self, writer: AnswerWriter, answered: Answered) -> None:
        # The first question warms up model and index.
        if self.alone and (self.answered or writer.held):
            self._seconds[answered.question_id] = answered.seconds
        writer(answered)

    def append(self, question_id: str, line: bytes) -> None:
        row = json.loads(line)
        self.answered.add(question_id)
        if row["error"] is not None:
            self.failed.append(row["error"])
        self.keep(question_id, Taken(row, self._seconds.get(question_id)))


def _check_answered(name: str, writer: AnswerWriter, count: int) -> None:
    if writer.unanswered:
        raise RunFailedError(
            f"{name}: {len(writer.unanswered)} of {count} questions were left unanswered, and no "
            "score is right without them; see to the model's server and run again (with "
            f"--use_cache only these are asked); the last: {list(writer.unanswered.values())[-1]}"
        )


def _of_task(settings: Settings, asked: Asked, source: str) -> TaskData:
    if settings.task not in (None, source):
        raise ConfigError(
            f"--model_args: task={settings.task}, but {asked.name} is asked, which brings its own; "
            "leave task out"
        )
    data = task_data(source, settings.files)
    known = {question.id: question for question in data.questions}
    if unknown := [id_ for id_ in asked.questions if id_ not in known]:
        raise InputError(f"{asked.name}: question {unknown[0]!r} is not of task '{source}'")
    return _asking(data, [known[id_] for id_ in asked.questions])


def _foreign(settings: Settings, asked: Asked) -> TaskData:
    if not settings.names_data:
        raise ConfigError(
            f"task '{asked.name}' brings no corpus; give one in --model_args, corpus=FILE or "
            "task=NAME, whose corpus and demonstrations are then taken"
        )
    data = settings.data()
    questions = [Question(id_, text, ()) for id_, text in asked.questions.items()]
    train, leaked = part_asked(data.train, questions)
    if leaked:
        _log.warning("train questions left out: %d, which are also asked", len(leaked))
    train_data = replace(
        data,
        train=train,
        train_fingerprint=questions_fingerprint(train),
        train_metadata=data.train_metadata and metadata_fingerprint(train),
        provenance={k: v for k, v in data.provenance.items() if k != "questions"},
    )
    return _asking(train_data, questions)


def _asking(data: TaskData, questions: Sequence[Question]) -> TaskData:
    fingerprint = questions_fingerprint(questions)
    return replace(data, questions=tuple(questions), questions_fingerprint=fingerprint)
