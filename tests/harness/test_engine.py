from __future__ import annotations

import asyncio
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.llm.requests import Reply
from harness.method import Method, MethodCard
from harness.records import Prediction
from harness.testing.models import RuleModel, ScriptedModel
from tests.harness.programs import (
    Program,
    Shuffled,
    Steps,
    answer_all,
    ask_once,
    make_engine,
    predictions,
    queries,
)

TREE = ([([1, 3], 2), (4, [5, [6, 7]], 8), 9], 10, [11, (12, 13)])
calls = st.integers(1, 20)
trees = st.recursive(
    calls,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3) | st.lists(inner, min_size=1, max_size=3).map(tuple)
    ),
    max_leaves=10,
)


@settings(max_examples=20, deadline=None)
@given(trees)
def test_any_program_answers_alike_in_any_window(tree):
    asked = queries(9)
    alone = predictions(Program(tree), asked, window=1)
    for window in (7, 128):
        assert predictions(Program(tree), asked, Shuffled(), window=window) == alone


@settings(max_examples=8, deadline=None)
@given(trees)
def test_any_program_answers_alike_on_a_server_with_random_delays(tree):
    asked = queries(5)
    alone = predictions(Program(tree), asked, window=1)
    assert predictions(Program(tree), asked, Shuffled(concurrency=4), window=8) == alone


def test_questions_in_any_order_answer_alike():
    asked = queries(40)
    forward = predictions(Program(TREE), asked, Shuffled(seed=1), window=7)
    assert predictions(Program(TREE), asked[::-1], Shuffled(seed=2), window=16) == forward


def test_batches_are_large_when_questions_branch_and_differ_in_length():
    async def body(method, query):
        number = int(query.id[1:])
        for turn in range(1 + number % 5):
            await asyncio.gather(
                *(method.llm.generate(f"{query.text} {turn} {n}") for n in range(1 + number % 3))
            )
        return Prediction("done")

    engine = make_engine(Steps(body), window=128)
    engine.run(queries(1200), lambda _: None)
    channel = engine.channels["generate"]
    assert channel.requests > 1200 * 5
    assert channel.requests / channel.batches > 40


def test_servers_get_their_calls_at_the_same_time():
    meeting = threading.Barrier(4, timeout=10)

    class Server(RuleModel):
        concurrency = 4

        def generate(self, requests):
            meeting.wait()  # goes on only when four calls are there
            yield from super().generate(requests)

    found = predictions(Steps(ask_once), queries(8), Server())
    assert [p.error for p in found.values()] == [None] * 8


def test_an_engine_can_run_again_after_it_was_stopped():
    engine, asked, found = make_engine(Program(TREE), window=4), queries(8), []

    def stop(answered):
        raise KeyError(answered.question_id)

    with pytest.raises(KeyError):
        engine.run(asked, stop)
    engine.run(asked, found.append)
    assert len(found) == 8


def test_answers_are_handed_over_while_the_batch_goes_on():
    handed = []

    class Watching(RuleModel):
        def generate(self, requests):
            for index, result in super().generate(requests):
                assert len(handed) == index  # every earlier one is there already
                yield index, result

    make_engine(Steps(ask_once), Watching()).run(queries(20), handed.append)
    assert len(handed) == 20


def test_branches_left_behind_cost_nothing_more():
    async def body(method, query):
        async def long():
            for turn in range(50):
                await method.llm.generate(f"{turn}")

        background = asyncio.create_task(long())
        await method.llm.generate("short")
        assert not background.done()
        return Prediction("done")

    model = Shuffled()
    (found,) = predictions(Steps(body), queries(1), model).values()
    assert found.answer == "done"
    assert sum(model.sizes) <= 4


def test_searches_of_different_k_share_a_batch():
    async def body(method, query):
        found = await asyncio.gather(*(method.retriever.search("Vell port", k) for k in (3, 1, 2)))
        assert [len(passages) for passages in found] == [3, 1, 2]
        return Prediction("done", found[0])

    engine, found = make_engine(Steps(body)), []
    engine.run(queries(5), found.append)
    assert engine.channels["search"].batches == 1
    assert all(a.prediction.error is None for a in found)


def test_window_must_be_positive():
    with pytest.raises(ConfigError, match="window = 0"):
        make_engine(Program(1), window=0)


def test_no_questions_no_work():
    assert answer_all(Program(TREE), []) == {}


def test_runs_inside_a_notebook():
    async def cell():
        return predictions(Program(TREE), queries(3))

    assert asyncio.run(cell()) == predictions(Program(TREE), queries(3))


def test_seconds_are_counted_by_kind():
    class Slow(RuleModel):
        def generate(self, requests):
            time.sleep(0.02)
            yield from super().generate(requests)

    (found,) = answer_all(Program((3, 1)), queries(1), Slow()).values()
    assert found.seconds >= found.seconds_by_kind["generate"] >= 0.02
    assert set(found.seconds_by_kind) == {"search", "generate"}


def test_a_reply_in_the_trace_fills_raw():
    async def body(method, query):
        first, _ = await asyncio.gather(method.llm.generate("a"), method.llm.generate("b"))
        return Prediction(first.text)

    (found,) = predictions(Steps(body), queries(1), ScriptedModel({"a": "A", "b": "B"})).values()
    assert (found.answer, found.raw) == ("A", "B")
    assert isinstance(Reply("x").first_line, str)


def test_what_is_kept_for_a_question_is_released_when_it_is_answered():
    class Keeps(Method):
        card = MethodCard("Keeps", "Two calls, the first to be kept.")

        async def answer(self, query):
            first = await self.llm.generate(f"{query.text} a", keep=True)
            await self.llm.generate(f"{query.text} b {first.text}")
            return Prediction(first.text)

    class Watched(RuleModel):
        def __init__(self):
            super().__init__()
            self.seen, self.released = [], []

        def generate(self, requests):
            self.seen += [request.keep_for for request in requests]
            yield from super().generate(requests)

        def release(self, question_id):
            self.released.append(question_id)

    model = Watched()
    predictions(Keeps(), queries(3), model)
    ids = [query.id for query in queries(3)]
    assert sorted(filter(None, model.seen)) == sorted(model.released) == ids
    assert model.seen.count(None) == 3
