"""A tiny model that studies a few passages, and what it then says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from harness.data.corpus import Corpus
from harness.engine import Engine
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.method import Method
from harness.prompts import QAPrompts
from harness.records import Passage, Prediction, Query
from harness.runs.write_phase import write
from harness.testing.models import WordRetriever
from methods.study import training
from methods.study.questions import questions_of

PASSAGES = (
    Passage("d1", "Vell", "The lighthouse of Vell was built by Mara Quint in 1821."),
    Passage("d2", "Oster", "Oster is a port on the river Ilm. It has 12,400 inhabitants."),
)
CORPUS = Corpus.from_passages(PASSAGES)
QUICK = {"steps": 4, "rank": 4, "batch": 4, "questions": 4}
BUILT = next(
    asked.question
    for asked in questions_of(PASSAGES[0], QUICK["questions"])
    if asked.answer == "Mara Quint"
)
"""A question that is studied; who built the lighthouse?"""
LEARNS = {"steps": 60, "rank": 8, "learning_rate": 1e-2}


class KilledError(Exception):
    """What ends a training in the middle."""


def killed_in_the_fourth_step(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From now on the first training ends there; the steps that trainings begin."""
    step, steps = training._step, []

    def killed(*args):
        steps.append(args[3])
        if steps == [1, 2, 3, 4]:
            raise KilledError
        return step(*args)

    monkeypatch.setattr(training, "_step", killed)
    return steps


def load(path: Path | str, **options) -> LocalModel:
    return LocalModel(ModelConfig(name="tiny", path=str(path), **options), str(path))


def opened(method: Method, llm: LocalModel) -> Engine:
    """An engine over the passages, which it lends to the method."""
    engine = Engine(llm, WordRetriever(CORPUS) if method.retriever_name else None, CORPUS)
    method.open(engine.lend(prompts=QAPrompts()))
    return engine


def written(method: Method, llm: LocalModel, folder: Path, scratch: Path | None = None) -> Path:
    """The folder with the memory that the method wrote."""
    scratch = scratch or folder.with_name(f"{folder.name}-scratch")
    for place in (folder, scratch):
        place.mkdir(parents=True, exist_ok=True)
    write(opened(method, llm), method, CORPUS, (), folder, scratch, Console(quiet=True))
    return folder


def answers(
    method: Method, llm: LocalModel, folder: Path, asked: Mapping[str, str]
) -> dict[str, Prediction]:
    """What the method answers from the memory in the folder."""
    engine, found = opened(method, llm), {}
    method.load(folder)
    with llm.changed(method.changes):
        queries = [Query(*each) for each in asked.items()]
        engine.run(method, queries, lambda a: found.update({a.question_id: a.prediction}))
    return found
