"""A tiny model that studies a few passages, and what it then says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.data.corpus import Corpus
from harness.engine import Engine
from harness.llm.changes import changed
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.method import Method
from harness.prompts import QAPrompts
from harness.records import Passage, Prediction, Query

PASSAGES = (
    Passage("d1", "Vell", "The lighthouse of Vell was built by Mara Quint in 1821."),
    Passage("d2", "Oster", "Oster is a port on the river Ilm. It has 12,400 inhabitants."),
)
QUICK = {"steps": 4, "rank": 4, "batch": 4, "questions": 4}


def load(path: Path | str, **options) -> LocalModel:
    return LocalModel(ModelConfig(name="tiny", path=str(path), **options), str(path))


def opened(method: Method, llm: LocalModel, passages: Sequence[Passage] = PASSAGES) -> Engine:
    """An engine over the passages, which it lends to the method."""
    corpus = Corpus.from_passages(passages)
    engine = Engine(llm, None, corpus)
    method.open(engine.lend(prompts=QAPrompts()))
    return engine


def written(
    method: Method, llm: LocalModel, folder: Path, passages: Sequence[Passage] = PASSAGES
) -> Path:
    """The folder with the memory that the method wrote."""
    folder.mkdir(parents=True, exist_ok=True)
    opened(method, llm, passages)
    method.write(Corpus.from_passages(passages), (), folder)
    return folder


def answers(method: Method, llm: LocalModel, folder: Path, asked: Sequence[str]) -> list[str]:
    """What the method answers from the memory in the folder."""
    engine = opened(method, llm)
    method.load(folder)
    found: dict[str, Prediction] = {}
    with changed(llm, method.changes):
        queries = [Query(str(n), text) for n, text in enumerate(asked)]
        engine.run(method, queries, lambda a: found.update({a.question_id: a.prediction}))
    return [found[str(n)].answer for n in range(len(asked))]
