from __future__ import annotations

import socket

import pytest

from harness.errors import HarnessError, UnansweredError
from harness.llm.catalogue import resolve_model
from harness.llm.identity import identity
from harness.llm.server.endpoints import Endpoint
from harness.llm.server.failures import ServerFailure
from tests.harness.llm.server.asking import ask, opened, paris, texts
from tests.stub import FAULTS, Fault, Lasting, Stub, Words


def _slow(stub: Stub, together: int = 1) -> None:
    """Answers take their time, the first ones until so many are asked for at once."""
    answer = stub.answer

    def wait(asked):
        import time

        # On a busy machine one may be answered before the next is sent.
        end = time.monotonic() + 10
        while stub.most_running < together and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(0.02)
        return answer(asked)

    stub.answer = wait  # type: ignore[method-assign]


def _prompts(count: int) -> list[str]:
    return [f"p{i}" for i in range(count)]


def test_requests_spread_over_places_and_never_crowd_one():
    with Stub(Words(paris)) as one, Stub(Words(paris)) as two:
        _slow(one, together=3)
        _slow(two, together=3)
        model = opened(one, two, max_concurrency=3)
        assert model.concurrency == 6
        assert texts(ask(model, *_prompts(24))) == ["Paris is it"] * 24
        assert len(one.asked) + len(two.asked) == 24
        assert min(len(one.asked), len(two.asked)) >= 8
        assert max(one.most_running, two.most_running) == 3
        assert model.provenance()["base_url"] == [one.url, two.url]


@pytest.mark.parametrize("name", ["500", "drop", "half a document"])
def test_a_place_that_fails_is_left_for_a_while(name, monkeypatch):
    monkeypatch.setattr("harness.llm.server.endpoints.SHORTEST_REST", 60.0)
    with Stub(Words(paris), faults=Lasting(FAULTS[name])) as ill, Stub(Words(paris)) as well:
        model = opened(ill, well, max_concurrency=2)
        assert texts(ask(model, *_prompts(20))) == ["Paris is it"] * 20
        # Those that were under way when it failed, and no other.
        assert 1 <= len(ill.asked) <= 2
        assert model.retries == len(ill.asked)


def test_a_place_that_dies_after_it_was_met():
    with Stub(Words(paris)) as well:
        with Stub(Words(paris)) as dying:
            model = opened(dying, well, max_concurrency=1)
            ask(model, "p")
        assert texts(ask(model, *_prompts(6))) == ["Paris is it"] * 6


def test_every_place_is_met_before_any_question():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    with Stub(Words(paris)) as stub:
        model = opened(stub, base_url=[stub.url, gone])
        with pytest.raises(HarnessError, match=rf"{gone}: cannot connect"):
            ask(model, "p")
        assert not stub.asked


def test_a_crowded_server_gets_fewer_requests_at_once():
    crowded = Fault(503, b'{"error": {"message": "overloaded"}}')
    stub = Stub(Words(paris), faults=lambda asked: crowded if stub.running > 2 else None)
    with stub:
        _slow(stub)
        model = opened(stub, max_concurrency=8, max_retries=12, pause=0.02)
        assert texts(ask(model, *_prompts(40))) == ["Paris is it"] * 40
        (endpoint,) = model._transport.endpoints.all
        assert endpoint.allowed < 8
        # Without back-pressure, six of eight would be refused again and again.
        assert model.retries < 60


def test_the_number_at_once_halves_once_a_burst_and_grows_slowly():
    place, busy = Endpoint("u", None, 8, allowed=8), ServerFailure("busy", crowded=True)
    place.failed(busy, since=0.0, now=1.0)
    place.failed(busy, since=0.5, now=1.1)
    assert place.allowed == 4
    place.failed(busy, since=1.2, now=1.3)
    assert place.allowed == 2
    for _ in range(100):
        place.failed(busy, since=10.0, now=10.1)
        place.halved_at = 0.0
    assert place.allowed == 1
    place.went_well()
    place.went_well()
    assert 2 < place.allowed <= 3
    for _ in range(200):
        place.went_well()
    assert place.allowed == 8


def test_a_place_that_fails_all_night_rests_no_longer_than_a_minute():
    place, down = Endpoint("u", None, 8, allowed=8), ServerFailure("down")
    for _ in range(2000):
        place.failed(down, since=0.0, now=5.0)
    assert place.rests_until == 65.0


def test_a_closed_model_lets_go_of_who_waits():
    wait = Fault(429, b"{}", headers={"Retry-After": "60"})
    with Stub(Words(paris), faults=Lasting(wait)) as stub:
        model = opened(stub, max_retries=0)
        with pytest.raises(UnansweredError):
            ask(model, "p")
        model.close()
        with pytest.raises(UnansweredError, match="closed"):
            ask(model, "p")


@pytest.mark.parametrize(
    "spec",
    [
        "openai:m@http://a:1/v1,http://b:2/v1",
        {"name": "openai:m@http://a:1/v1, http://b:2/v1/"},
        {"name": "openai:m", "base_url": ["http://a:1/v1", "http://b:2/v1", "http://a:1/v1/"]},
    ],
)
def test_several_places_of_one_model(spec):
    config = resolve_model(spec)
    assert config.urls == ("http://a:1/v1", "http://b:2/v1")
    alone = resolve_model("openai:m@http://a:1/v1")
    assert alone.urls == ("http://a:1/v1",)
    # Where it is served is no part of a run's identity.
    assert identity(config) == identity(alone)
    assert config.name == alone.name


@pytest.mark.parametrize("bad", ["http://a/v1,http://u:sk-secret@b/v1", "http://a/v1,b:2"])
def test_each_place_is_checked(bad):
    with pytest.raises(HarnessError, match="base_url must") as error:
        resolve_model(f"openai:m@{bad}")
    assert "sk-secret" not in str(error.value)
