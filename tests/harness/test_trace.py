from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress

import numpy as np
import pytest

from harness import trace
from harness.records import Prediction
from tests.harness.programs import Program, Shuffled, Steps, answer_all, predictions, queries


def prompts_of(prediction) -> list[str]:
    return [step.data["prompt"] for step in prediction.steps if step.kind == "generate"]


async def _branches_that_start_with_branches(method, query):
    async def branch(name):
        await asyncio.gather(*(method.llm.generate(f"{name}{n}") for n in range(2)))
        reply = await method.llm.generate(f"{name} end", temperature=1.0)
        return reply.text

    return Prediction(" | ".join(await asyncio.gather(*(branch(name) for name in "ABC"))))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("concurrency", [0, 4])
def test_steps_come_in_program_order_whoever_finishes_first(seed, concurrency):
    method = Steps(_branches_that_start_with_branches)
    (found,) = predictions(method, queries(1), Shuffled(concurrency, seed)).values()
    (alone,) = predictions(method, queries(1)).values()
    wanted = [f"{name}{end}" for name in "ABC" for end in ("0", "1", " end")]
    assert prompts_of(found) == wanted
    assert found == alone


@pytest.mark.parametrize("seed", range(4))
def test_branches_that_wait_for_each_other_keep_their_places(seed):
    async def body(method, query):
        room = asyncio.Semaphore(2)

        async def branch(n):
            async with room:
                return (await method.llm.generate(f"{n}", temperature=1.0)).text

        return Prediction(" ".join(await asyncio.gather(*(branch(n) for n in range(7)))))

    (found,) = predictions(Steps(body), queries(1), Shuffled(4, seed)).values()
    (alone,) = predictions(Steps(body), queries(1)).values()
    assert prompts_of(found) == [str(n) for n in range(7)]
    assert found == alone


def test_task_groups_and_created_tasks_are_branches_too():
    async def body(method, query):
        first = asyncio.create_task(method.llm.generate("created"))
        await method.llm.generate("own")
        async with asyncio.TaskGroup() as group:
            for n in range(2):
                group.create_task(method.llm.generate(f"group {n}"))
        await first
        return Prediction("")

    (found,) = predictions(Steps(body), queries(1), Shuffled(3)).values()
    assert prompts_of(found) == ["created", "own", "group 0", "group 1"]


@pytest.mark.parametrize("window", [1, 7, 128])
def test_step_order_does_not_depend_on_the_window(window):
    tree = [([1, 3], 2), (4, [5, [6, 7]]), 8]
    assert predictions(Program(tree), queries(30), Shuffled(), window=window) == predictions(
        Program(tree), queries(30), window=1
    )


def test_notes_stand_where_they_were_made():
    async def body(method, query):
        trace.note("thought", text="before")
        await method.llm.generate("x")
        trace.note("thought", text="after")
        return Prediction("")

    (found,) = predictions(Steps(body), queries(1)).values()
    assert [step.kind for step in found.steps] == ["thought", "generate", "thought"]
    assert found.steps[2].data == {"text": "after"}


@pytest.mark.parametrize("value", [np.float32(1), math.nan, {1, 2}, object()])
def test_notes_that_json_cannot_hold_fail_at_once(value):
    async def body(method, query):
        trace.note("score", value=value)
        return Prediction("never")

    (found,) = predictions(Steps(body), queries(1)).values()
    assert "JSON" in found.error


def test_notes_outside_a_question_are_an_error():
    with pytest.raises(RuntimeError, match=r"only inside Method.answer"):
        trace.note("thought")


def test_usage_counts_calls_and_tokens():
    async def body(method, query):
        await method.retriever.search("Vell", k=2)
        await method.llm.generate("one two three")
        await method.llm.score("one two", ["yes", "no"])
        await method.llm.next_token_probs("one", ["yes"])
        return Prediction("")

    (found,) = predictions(Steps(body), queries(1)).values()
    assert (found.usage.llm_calls, found.usage.retrievals) == (3, 1)
    assert found.usage.prompt_tokens == 3 + 2 + 1
    assert found.usage.completion_tokens == len(found.raw.split())
    assert found.usage.passages_dropped == 0


def test_a_methods_own_work_is_timed_under_its_kind():
    async def body(method, query):
        for _ in range(2):
            with trace.timed("select"):
                time.sleep(0.01)
        await method.llm.generate("x")
        return Prediction("")

    (answered,) = answer_all(Steps(body), queries(1)).values()
    assert 0.02 <= answered.seconds_by_kind["select"] <= answered.seconds
    assert set(answered.seconds_by_kind) == {"select", "generate"}
    assert [step.kind for step in answered.prediction.steps] == ["generate"]


def test_work_that_fails_is_timed_too_and_nothing_outside_a_question_is():
    async def body(method, query):
        with suppress(ValueError), trace.timed("select"):
            raise ValueError
        return Prediction("")

    (answered,) = answer_all(Steps(body), queries(1)).values()
    assert "select" in answered.seconds_by_kind
    with pytest.raises(RuntimeError, match="inside Method.answer"):
        with trace.timed("select"):
            pass
