"""The write phase: once a memory, shared by runs that ask other questions, resumed after a kill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

from harness.data.corpus import Corpus
from harness.errors import RunFailedError, RunLockedError
from harness.files import locked
from harness.method import MethodCard, MethodParams
from harness.records import Prediction, Query, Question
from harness.runs.execute import execute
from harness.runs.manifest import RunConfig
from harness.runs.performance import read_performance
from harness.runs.task_config import task_config
from harness.runs.train_answers import answer_train
from harness.runs.write_phase import CALLS, memory_path
from tests.harness.lab import Ask, CountingModel, Remember, make_plan, quiet, without_torch


class Learns(Remember):
    """Asks another method about the train questions first."""

    card = MethodCard("Learns", "Keeps what Ask said about the train questions.")
    rows: ClassVar[dict] = {}

    async def write(self, corpus: Corpus, train: Sequence[Question], folder: Path) -> None:
        super().write(corpus, train, folder)
        type(self).rows = await answer_train(self, Ask(), train, "silver")


class Peeks(Ask):
    card = MethodCard("Peeks", "Answers with the gold.", oracle=True)

    async def answer(self, query: Query) -> Prediction:
        return Prediction(self.gold[query.id].golden_answers[0])


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)
    monkeypatch.setattr(Remember, "writes", 0)


def changed_task(config: RunConfig, **changes: object) -> RunConfig:
    return config.model_copy(update={"task": config.task.model_copy(update=changes)})


def go(files: Path, out: Path, method, model=None, **changes) -> Path:
    plan = make_plan(files, method)
    if changes:
        plan = replace(plan, config=changed_task(plan.config, **changes))
    return execute(plan, out, model or CountingModel(), None, quiet())


def test_runs_that_differ_in_their_questions_alone_share_a_memory(files, tmp_path) -> None:
    one = go(files, tmp_path, Remember())
    other = go(files, tmp_path, Remember(), limit=7)
    assert one != other
    assert Remember.writes == 1
    assert read_performance(one).write == read_performance(other).write is not None


class Repeats(Remember):
    """Answers in more or fewer words; what it keeps depends on how long a word may be."""

    card = MethodCard("Repeats", "Keeps first words, as far as they may be long.")
    only_answers = frozenset({"times", "retriever"})

    class Params(MethodParams):
        times: int = Field(1, description="words of an answer")
        longest: int = Field(9, description="letters of a word")
        retriever: str | None = Field(None, description="read, too")

    params: Params

    def write(self, corpus: Corpus, train: Sequence[Question], folder: Path) -> None:
        super().write(corpus, train, folder)
        assert self.params.longest

    async def answer(self, query: Query) -> Prediction:
        return Prediction(" ".join(["yes"] * self.params.times))


class RepeatsWrongly(Repeats):
    card = MethodCard("Control", "The same memory, another answer.")
    writes_as = "repeats"

    async def answer(self, query: Query) -> Prediction:
        return Prediction("no")


def memories(out: Path) -> list[Path]:
    return list((out / "toy" / ".memory").iterdir())


def test_runs_share_a_memory_that_differ_in_what_is_only_for_answers(files, tmp_path) -> None:
    params = [{}, {"times": 2}, {"retriever": "bm25"}, {"longest": 2}]
    runs = [go(files, tmp_path, Repeats(Repeats.Params(**each))) for each in params[:2]]
    assert len(set(runs)) == 2 and len(memories(tmp_path)) == 1
    plans = [make_plan(files, Repeats(Repeats.Params(**each))) for each in params]
    places = [memory_path(tmp_path, plan.config, Repeats) for plan in plans]
    assert places[0] == places[1] == places[2] != places[3]


def test_a_control_reads_the_memory_of_its_method(files, tmp_path) -> None:
    one = go(files, tmp_path, Repeats())
    other = go(files, tmp_path, RepeatsWrongly())
    assert len(memories(tmp_path)) == 1
    assert read_performance(one).write == read_performance(other).write is not None
    assert '"no"' in (other / "predictions.jsonl").read_text()


class Looks(Repeats):
    only_answers = frozenset({"longest"})


def test_a_write_that_looks_at_what_is_only_for_answers_stops(files, tmp_path) -> None:
    with pytest.raises(RunFailedError, match="write.. failed with AttributeError: .*longest"):
        go(files, tmp_path, Looks())


def test_a_memory_that_is_written_is_read_by_any_number_at_once(files, tmp_path) -> None:
    go(files, tmp_path, Remember())
    place = memory_path(tmp_path, make_plan(files, Remember()).config, Remember)
    (place / "scratch").mkdir()  # as a writer leaves it that is killed at its very end
    with locked(place, "memory"):
        go(files, tmp_path, Remember(), limit=7)
    assert Remember.writes == 1
    assert not (place / "scratch").exists()


class Hoards(Remember):
    """An oracle that would keep the gold of the questions it is written for."""

    card = MethodCard("Hoards", "Looks at the gold while it writes.", oracle=True)
    seen: ClassVar[list] = []

    def write(self, corpus: Corpus, train: Sequence[Question], folder: Path) -> None:
        super().write(corpus, train, folder)
        self.seen.append(dict(self.gold))


def test_a_memory_is_written_without_the_gold_of_those_who_share_it(files, tmp_path) -> None:
    go(files, tmp_path, Hoards())
    assert Hoards.seen == [{}]


def test_another_corpus_or_seed_is_another_memory(files: Path, tmp_path: Path) -> None:
    config = make_plan(files, Remember()).config
    place = memory_path(tmp_path, config, Remember)
    assert memory_path(tmp_path, config.model_copy(update={"seed": 1}), Remember) != place
    other = changed_task(config, corpus_fingerprint="other")
    assert memory_path(tmp_path, other, Remember) != place


def test_train_questions_are_answered_as_in_a_run_of_their_own(files, tmp_path) -> None:
    method = Learns()
    plan = make_plan(files, method)
    go(files, tmp_path / "a", method)
    assert vars(method).keys() == {"params"}  # what it held is not the next run's to carry
    train = plan.data.train
    data = replace(plan.data, questions=train, questions_fingerprint=plan.data.train_fingerprint)
    config = plan.config.model_copy(update={"task": task_config(data)})
    asked = replace(plan, data=data, config=config, method=Ask())
    folder = execute(asked, tmp_path / "b", CountingModel(), None, quiet())
    own = (folder / "predictions.jsonl").read_text().splitlines()
    assert len(method.rows) == len(plan.data.train) == len(own)
    assert all(row["answer"] in line for row, line in zip(method.rows.values(), own, strict=True))


def test_an_interrupted_write_keeps_what_was_answered(files: Path, tmp_path: Path) -> None:
    def stop(request) -> None:
        if model.calls == 10:
            raise KeyboardInterrupt

    model = CountingModel(stop)
    with pytest.raises(KeyboardInterrupt):
        go(files, tmp_path, Learns(), model)
    (place,) = (tmp_path / "toy" / ".memory").iterdir()
    kept = (place / "scratch" / CALLS).read_text().splitlines()
    assert 0 < len(kept) < 12
    again, fresh = CountingModel(), Learns()
    go(files, tmp_path, fresh, again)
    assert again.calls == 12 - len(kept) + 24
    assert len(fresh.rows) == 6
    assert not (place / "scratch").exists()


def test_calls_of_a_write_are_kept_with_the_run(files: Path, tmp_path: Path) -> None:
    written = read_performance(go(files, tmp_path, Learns())).write
    assert (written.llm_calls, written.retrievals) == (12, 0)
    assert written.completion_tokens == 3 * 12
    assert written.prompt_tokens > 12
    asks_nobody = read_performance(go(files, tmp_path, Remember())).write
    assert asks_nobody.llm_calls is asks_nobody.prompt_tokens is None


def test_two_processes_do_not_write_one_memory(files: Path, tmp_path: Path) -> None:
    place = memory_path(tmp_path, make_plan(files, Remember()).config, Remember)
    place.mkdir(parents=True)
    with locked(place, "memory"), pytest.raises(RunLockedError, match="another process is writing"):
        go(files, tmp_path, Remember())


def test_a_memory_that_cannot_be_read_names_the_file_and_the_fix(files, tmp_path) -> None:
    folder = go(files, tmp_path, Remember())
    (place,) = (tmp_path / "toy" / ".memory").iterdir()
    (place / "memory" / "words.json").write_text("{")
    (folder / "predictions.jsonl").unlink()
    with pytest.raises(RunFailedError, match=r"load\(\) failed with JSONDecodeError"):
        go(files, tmp_path, Remember())


def test_only_an_oracle_is_shown_the_gold(files: Path, tmp_path: Path) -> None:
    folder = go(files, tmp_path, Peeks())
    assert '"em":1.0' in (folder / "scores.jsonl").read_text().splitlines()[0]
    method = type("Sly", (Peeks,), {"card": MethodCard("Sly", "Claims to be none.")})()
    with pytest.raises(RunFailedError, match="KeyError"):
        go(files, tmp_path, method)
