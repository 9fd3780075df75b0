from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

import pytest

from harness.errors import HarnessError, UnansweredError
from harness.llm.requests import GenerateRequest
from harness.llm.server.endpoints import Endpoints
from harness.llm.server.failures import Refused, ServerFailure, asked_to_wait, of_status
from tests.harness.llm.server.asking import ask, opened, paris, texts
from tests.stub import FAULTS, Fault, Lasting, Once, Stub, Words

DOWN = FAULTS["503"]


@pytest.mark.parametrize("style", ["chat", "completion"])
def test_every_failure_of_the_server_is_asked_again(style):
    faults = dict(zip((f"p{i}" for i in range(len(FAULTS))), FAULTS.values(), strict=True))
    once = lambda asked: faults[asked.text] if asked.before == 0 else None  # noqa: E731
    with Stub(Words(paris), faults=once) as stub:
        model = opened(stub, prompt_style=style)
        assert texts(ask(model, *faults)) == ["Paris is it"] * len(faults)
        assert model.retries == len(faults) == len(stub.asked) / 2
        for prompt in faults:
            first, second = (asked.body for asked in stub.asked if asked.text == prompt)
            assert first == second


def test_no_reply_in_time_is_asked_again():
    with Stub(Words(paris), faults=Once([Fault(drops=True, delay=1.2)])) as stub:
        model = opened(stub, timeout=0.8)
        assert texts(ask(model, "p")) == ["Paris is it"]
        assert model.retries >= 1


@pytest.mark.parametrize("name", ["429", "500", "drop", "half a document", "page with status 200"])
def test_a_failure_that_lasts_leaves_the_question_unanswered(name):
    with Stub(Words(paris), faults=Lasting(FAULTS[name])) as stub:
        model = opened(stub, max_retries=2)
        with pytest.raises(
            UnansweredError, match=r"no answer after 3 tries \(.*run again"
        ) as error:
            ask(model, "p")
        assert (model.retries, len(stub.asked)) == (2, 3)
    assert "\n" not in str(error.value)
    assert stub.url in str(error.value)


def test_a_server_that_is_well_again_answers():
    with Stub(Words(paris), faults=Lasting(DOWN)) as stub:
        model = opened(stub, max_retries=1)
        with pytest.raises(UnansweredError):
            ask(model, "p")
        stub.faults.healed = True
        assert texts(ask(model, "p")) == ["Paris is it"]


def test_content_in_parts_is_joined():
    with Stub(Words(paris), parts=True) as stub:
        model = opened(stub)
        assert texts(ask(model, "p")) == ["Paris is it"]
        assert isinstance(stub.answer(stub.asked[0])[1]["choices"][0]["message"]["content"], list)
        assert model.retries == 0


def test_retry_after_is_kept_by_every_request():
    wait = Fault(429, b'{"error": {"message": "slow down"}}', headers={"Retry-After": "0.4"})
    with Stub(Words(paris), faults=Lasting(wait)) as stub:
        model = opened(stub, max_retries=0)
        with pytest.raises(UnansweredError):
            ask(model, "p")
        stub.faults.healed = True
        ask(model, "another")
        first, second = (asked.at for asked in stub.asked)
        assert second - first >= 0.39


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), ("0.5", 0.5), ("-3", 0)])
def test_retry_after_is_seconds(header, seconds):
    assert asked_to_wait({"retry-after": header}) == seconds


@pytest.mark.parametrize(("ahead", "least", "most"), [(900, 800, 900), (-9, 0, 0)])
def test_or_a_date(ahead, least, most):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
    assert least <= asked_to_wait({"retry-after": date}) <= most


@pytest.mark.parametrize("header", ["", "soon", "inf", "nan"])
def test_a_retry_after_that_says_nothing(header):
    assert asked_to_wait({"retry-after": header}) is None


@pytest.mark.parametrize(
    "fault",
    [
        Fault(429, b'{"error": {"message": "no more", "code": "insufficient_quota"}}'),
        Fault(429, b'{"error": {"message": "tomorrow"}}', headers={"Retry-After": "86400"}),
    ],
)
def test_what_waiting_does_not_help_is_not_asked_again(fault):
    with Stub(Words(paris), faults=Lasting(fault)) as stub:
        model = opened(stub)
        with pytest.raises(UnansweredError, match="no answer once asked"):
            ask(model, "p")
        assert (model.retries, len(stub.asked)) == (0, 1)


@pytest.mark.parametrize(
    ("status", "kind"), [(500, Refused), (501, Refused), (502, ServerFailure), (503, ServerFailure)]
)
def test_only_status_500_may_mean_that_something_will_never_be_done(status, kind):
    assert type(of_status(status, {"message": "not supported by any worker"})) is kind


def test_pauses_double_and_are_jittered(monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(Endpoints, "wait", lambda self, seconds: pauses.append(seconds))

    def tried(seed: int) -> list[float]:
        pauses.clear()
        with Stub(Words(paris), faults=Lasting(DOWN)) as stub, pytest.raises(UnansweredError):
            ask(opened(stub, pause=1.0, max_retries=7, jitter=Random(seed)), "p")
        return list(pauses)

    first = tried(1)
    longest = [1, 2, 4, 8, 16, 30, 30]
    assert all(most / 2 <= pause <= most for pause, most in zip(first, longest, strict=True))
    assert first == tried(1) != tried(2)


def test_jitter_changes_no_request():
    bodies = []
    for seed in (1, 2):
        with Stub(Words(paris), faults=Once([DOWN])) as stub:
            ask(opened(stub, jitter=Random(seed)), GenerateRequest("p", temperature=0.7, seed=5))
            bodies.append(stub.bodies())
    assert bodies[0] == bodies[1]


def test_a_key_that_a_failing_server_repeats_stays_secret(monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    fault = Fault(503, b'{"error": {"message": "overloaded, sk-very-secret"}}')
    with Stub(Words(paris), faults=Lasting(fault)) as stub:
        with pytest.raises(UnansweredError, match=r"overloaded, \*\*\*") as error:
            ask(opened(stub, max_retries=0, api_key_env="MY_KEY"), "p")
        assert stub.asked[0].headers["Authorization"] == "Bearer sk-very-secret"
    assert "secret" not in str(error.value)


def test_refusals_are_not_asked_again():
    refusal = Fault(400, b'{"error": {"message": "content policy"}}')
    with Stub(Words(paris), faults=Lasting(refusal)) as stub:
        model = opened(stub)
        with pytest.raises(HarnessError, match="request refused .*content policy") as error:
            ask(model, "p")
        assert not isinstance(error.value, UnansweredError)
        assert (model.retries, len(stub.asked)) == (0, 1)
