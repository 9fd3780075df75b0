from __future__ import annotations

import asyncio

import pytest

from harness.errors import CapabilityError, UnansweredError
from harness.llm.requests import as_text
from harness.records import Prediction, Query
from harness.testing.models import RuleModel, ScriptedModel, WordRetriever
from tests.harness.programs import (
    DATA,
    Program,
    Shuffled,
    Steps,
    answer_all,
    ask_once,
    make_engine,
    open_with,
    predictions,
    queries,
)


def test_an_error_stays_in_its_question_with_the_steps_before_it():
    async def body(method, query):
        await method.llm.generate(query.text)
        if query.id == "q0003":
            raise ValueError("two\nlines")
        return Prediction("fine")

    found = predictions(Steps(body), queries(6))
    assert found["q0003"].error == "ValueError: two lines"
    assert found["q0003"].answer == ""
    assert len(found["q0003"].steps) == 1
    assert found["q0003"].usage.llm_calls == 1
    assert all(p.error is None and p.answer == "fine" for k, p in found.items() if k != "q0003")


@pytest.mark.parametrize("wrong", [None, "text", Prediction(None)])
def test_answer_must_return_a_prediction(wrong):
    async def body(method, query):
        return wrong

    (found,) = predictions(Steps(body), queries(1)).values()
    assert found.error.startswith("TypeError: answer() must return a Prediction with a text")


@pytest.mark.parametrize("concurrency", [0, 4])
def test_an_error_in_on_answer_stops_the_run_at_once(concurrency):
    seen = []

    def full_disk(answered):
        seen.append(answered.question_id)
        if len(seen) == 3:
            raise OSError("no space left")

    model = Shuffled(concurrency)
    with pytest.raises(OSError, match="no space"):
        make_engine(Steps(ask_once), model, window=4).run(queries(1000), full_disk)
    assert len(seen) <= 3 + 4, "at most the rest of the window"
    assert sum(model.sizes) < 20


def test_missing_capabilities_are_named_before_any_work():
    class Wanting(Program):
        needs = frozenset({"soft-prompts", "logprobs"})

    model = RuleModel(name="plain")
    model.capabilities = frozenset()
    with pytest.raises(
        CapabilityError, match=r"'Wanting' .*'logprobs' and .*'soft-prompts'.*'plain'"
    ):
        make_engine(Wanting(1), model)


def test_a_capability_missed_on_the_way_stops_the_run():
    class Plain(RuleModel):
        def score(self, requests):
            raise CapabilityError("model 'plain' gives no log-probabilities")

    async def body(method, query):
        await method.llm.score(query.text, ["yes"])

    with pytest.raises(CapabilityError, match="no log-probabilities"):
        answer_all(Steps(body), queries(3), Plain())


class Losing(RuleModel):
    """Forgets every reply to a prompt that holds an even number."""

    def generate(self, requests):
        for index, result in super().generate(requests):
            if int(requests[index].prompt.split()[-1]) % 2:
                yield index, result


@pytest.mark.parametrize("concurrency", [0, 2])
@pytest.mark.timeout(30)
def test_a_lost_result_is_an_error_not_a_hang(concurrency):
    model = Losing()
    model.concurrency = concurrency
    found = predictions(Steps(ask_once), queries(6), model)
    lost = [key for key, p in found.items() if p.error]
    assert sorted(lost) == ["q0000", "q0002", "q0004"]
    assert found["q0000"].error == "RuntimeError: the backend returned no result for this request"


@pytest.mark.parametrize("concurrency", [0, 2])
@pytest.mark.timeout(30)
@pytest.mark.parametrize("error", [KeyError("lost"), StopIteration("over"), ValueError("bad")])
def test_a_backend_that_raises_at_once_fails_its_questions(error, concurrency):
    class Broken(RuleModel):
        def generate(self, requests):
            raise error

    model = Broken()
    model.concurrency = concurrency
    found = predictions(Steps(ask_once), queries(3), model)
    assert all(p.error for p in found.values())


def test_a_request_that_breaks_its_batch_fails_alone():
    class Picky(RuleModel):
        def generate(self, requests):
            if any("question 7" in as_text(request.prompt) for request in requests):
                raise RuntimeError("a bad request")
            yield from super().generate(requests)

    asked = [Query(f"q{n}", f"question {n}?") for n in range(12)]
    found = predictions(Steps(ask_once), asked, Picky(), window=4)
    assert {key: p.error for key, p in found.items() if p.error} == {
        "q7": "RuntimeError: a bad request"
    }


def test_results_before_a_backend_error_are_kept():
    class Halfway(RuleModel):
        answered = 0

        def generate(self, requests):
            for result in super().generate(requests):
                if self.answered == 2:
                    raise RuntimeError("died")
                self.answered += 1
                yield result

    found = predictions(Steps(ask_once), queries(4), Halfway(), window=4)
    assert [p.error for _, p in sorted(found.items())] == [None, None] + ["RuntimeError: died"] * 2


def test_a_failing_branch_does_not_stop_the_other_questions():
    async def body(method, query):
        async def branch(n):
            if n == 1 and query.id == "q0001":
                raise ValueError("branch")
            return (await method.llm.generate(f"{query.text} {n}")).text

        return Prediction(" ".join(await asyncio.gather(*(branch(n) for n in range(3)))))

    found = predictions(Steps(body), queries(4))
    assert [p.error for _, p in sorted(found.items())] == [None, "ValueError: branch", None, None]


def test_a_search_without_a_retriever_says_so():
    async def body(method, query):
        await method.retriever.search("x", k=1)

    found = []
    open_with(Steps(body), RuleModel()).run(queries(1), found.append)
    assert "declares no retriever" in found[0].prediction.error


def test_a_pump_that_dies_ends_the_run():
    engine = make_engine(Steps(ask_once))

    async def broken():
        raise AssertionError("engine bug")

    engine.engine._send = broken
    with pytest.raises(AssertionError, match="engine bug"):
        engine.run(queries(2), lambda _: None)


def test_methods_outside_an_engine_cannot_call():
    method = Program(1)
    open_with(method, ScriptedModel(), WordRetriever(DATA.corpus), DATA.corpus)
    with pytest.raises(RuntimeError, match=r"only inside Method.answer"):
        asyncio.run(method.answer(Query("q", "x")))


@pytest.mark.parametrize("concurrency", [0, 2])
@pytest.mark.parametrize("swallow", [False, True])
def test_what_a_server_failed_with_is_told_whatever_the_method_makes_of_it(concurrency, swallow):
    class Gone(RuleModel):
        def generate(self, requests):
            raise UnansweredError("503")
            yield

    async def body(method, query):
        try:
            return await ask_once(method, query)
        except Exception as error:
            if swallow:
                return Prediction("my own")
            raise ValueError("no answer") from error

    model = Gone()
    model.concurrency = concurrency
    for found in answer_all(Steps(body), queries(3), model).values():
        assert found.unanswered == "UnansweredError: 503"
        assert found.prediction == Prediction("")


def test_a_method_with_a_server_of_its_own_may_say_that_it_failed():
    async def body(method, query):
        raise UnansweredError("my server")

    (found,) = answer_all(Steps(body), queries(1)).values()
    assert (found.unanswered, found.prediction.error) == ("UnansweredError: my server", None)
