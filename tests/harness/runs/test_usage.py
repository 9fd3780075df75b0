"""Means per question, and the shares of empty and cut replies that call for caution."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.boards.run import run_plans
from harness.llm.requests import Reply
from harness.method import Method, MethodCard
from harness.records import Prediction, Query
from harness.runs.execute import execute
from harness.runs.performance import Usage, read_performance
from harness.runs.usage import MANY, cautions, is_empty, mean_usage
from leaderboards.table import render
from tests.harness.lab import Ask, CountingModel, make_plan, quiet, without_torch


class Twice(Method):
    """A first reply that is read in part, a second that is the answer."""

    card = MethodCard("Twice", "Asks twice.")

    async def answer(self, query: Query) -> Prediction:
        await self.llm.generate(f"first {query.text}", max_tokens=2)
        reply = await self.llm.generate(f"last {query.text}", max_tokens=2)
        return Prediction(reply.first_line)


class Says(CountingModel):
    """Replies by the first text that the prompt holds, else with a whole answer."""

    def __init__(self, replies: dict[str, Reply]) -> None:
        super().__init__()
        self.replies = replies

    def generate(self, requests):
        for index, request in enumerate(requests):
            prompt = str(request.prompt)
            found = (reply for text, reply in self.replies.items() if text in prompt)
            yield index, next(found, Reply("Ann", 5, 1))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)


def go(files: Path, out: Path, replies: dict[str, Reply]) -> Path:
    return execute(make_plan(files, Twice()), out, Says(replies), None, quiet())


def test_empty_replies_and_answers_are_counted_by_question(files: Path, tmp_path: Path) -> None:
    empty = Reply(" \n", 5, 1, thoughts="What is asked?")
    replies = {f"{text} How is number {n} ": empty for text, n in (("first", 3), ("last", 3))}
    replies |= {"first How is number 4 ": empty, "last How is number 5 ": empty}
    usage = read_performance(go(files, tmp_path, replies)).usage
    assert usage.empty == 3 / 24
    assert usage.cut_off == 0


def test_a_reply_that_the_limit_ended_counts_where_it_is_the_last(files, tmp_path: Path) -> None:
    cut = Reply("Ann and", 5, 2, cut_off=True)
    replies = {"first How is number 3 ": cut, "last How is number 5 ": cut, "number 6 ": cut}
    usage = read_performance(go(files, tmp_path, replies)).usage
    assert usage.cut_off == 2 / 24
    assert usage.empty == 0


@pytest.mark.parametrize(
    ("replies", "empty"),
    [([], False), (["a"], False), (["", "a"], True), (["a", "", "b"], False), (["a", " \n"], True)],
)
def test_an_empty_reply_that_ends_a_chain_is_no_doubt(replies: list[str], empty: bool) -> None:
    steps = [{"kind": "generate", "reply": reply} for reply in replies]
    assert is_empty({"answer": "a", "error": None, "steps": steps}) is empty
    assert is_empty({"answer": " ", "error": None, "steps": steps})


def test_a_failed_question_is_an_error_and_not_empty(files: Path, tmp_path: Path) -> None:
    class Fails(Ask):
        async def answer(self, query: Query) -> Prediction:
            if query.id == "q3":
                raise ValueError("bug")
            return await super().answer(query)

    folder = execute(make_plan(files, Fails()), tmp_path, CountingModel(), None, quiet())
    assert read_performance(folder).usage.empty == 0


@pytest.mark.parametrize("when", ["before", "between"])
def test_means_are_of_the_questions_that_did_not_fail(
    files: Path, tmp_path: Path, when: str
) -> None:
    """A failed question's calls are not those that it would have taken."""

    class Fails(Twice):
        async def answer(self, query: Query) -> Prediction:
            if query.id in ("q3", "q7"):
                if when == "between":
                    await self.llm.generate(f"first {query.text}", max_tokens=2)
                raise ValueError("bug")
            return await super().answer(query)

    plan = make_plan(files, Fails(), queries=22)
    folder = execute(plan, tmp_path, Says({}), None, quiet())
    usage = read_performance(folder).usage
    assert (usage.llm_calls, usage.prompt_tokens, usage.completion_tokens) == (2, 10, 2)
    calls = read_performance(folder).latency.by_kind["generate"]
    assert len(calls) == 22 and min(calls) > 0, "an answer is timed before any failure is"


def test_where_every_question_failed_no_mean_is_known(files: Path, tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    row = {"question_id": "q1", "answer": "", "retrieved_ids": [], "steps": []}
    usage = {"llm_calls": 0, "retrievals": 0, "prompt_tokens": 0, "completion_tokens": 0}
    path.write_text(json.dumps({**row, "usage": usage, "error": "ValueError: bug"}) + "\n")
    assert mean_usage(path) == Usage()


def test_a_count_that_nobody_gave_makes_the_mean_unknown(files: Path, tmp_path: Path) -> None:
    folder = go(files, tmp_path, {"last How is number 5 ": Reply("Ann", None, 1)})
    usage = read_performance(folder).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.llm_calls) == (None, 2, 2)
    assert "| 2 | \u2014 |" in " ".join(render(tmp_path, columns=["calls", "tokens"]).split())


def test_a_run_of_empty_and_cut_replies_says_so_at_its_end_and_on_the_board(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Reply("", 5, 32, thoughts="Let me see.", cut_off=True)
    few = {f"number {n} ": lost for n in range(2)}
    many = {f"number {n} ": lost for n in range(3)}
    assert len(few) / 24 < MANY <= len(many) / 24
    assert list(cautions(go(files, tmp_path / "few", few))) == []
    console = quiet()
    monkeypatch.setattr("harness.llm.open.open_model", lambda *_, **__: Says(many))
    run_plans([make_plan(files, Twice())], tmp_path / "many", console)
    shown = console.file.getvalue()
    start = "warning: toy / twice: 12 % of the questions "
    assert f"{start}got an empty reply or have an empty answer; 'memory-harness show'" in shown
    assert f"{start}have a last reply that the token limit cut off; raise the method's" in shown
    board = render(tmp_path / "many", columns=["all"])
    assert "Caution, twice: 12 % got an empty reply" in board
    assert "Empty" in board and "Cut off" in board
    assert "Caution" not in render(tmp_path / "few")
