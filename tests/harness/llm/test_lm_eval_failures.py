"""Failures of the servers that lm-eval's models ask, on a real stub by the libraries they use."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from harness.errors import UnansweredError
from harness.llm.catalogue import resolve_model
from harness.llm.lm_eval_model import LMEvalModel
from harness.llm.requests import GenerateRequest
from tests.stub import FAULTS, Fault, Stub, Words


@pytest.fixture(scope="module")
def dummy() -> LMEvalModel:
    return LMEvalModel(resolve_model("lm-eval:dummy"))


@pytest.mark.parametrize("client", ["requests", "aiohttp"])
@pytest.mark.parametrize("fault", ["503", "429", "page with status 200", "drop"])
def test_what_its_server_fails_at_is_left_unanswered(client, fault, dummy, monkeypatch):
    with Stub(Words(lambda _: "Paris"), faults=lambda _: FAULTS[fault]) as stub:
        monkeypatch.setattr(dummy._lm, "generate_until", partial(ask_as_lm_eval, client, stub.url))
        with pytest.raises(UnansweredError, match="its server failed") as caught:
            list(dummy.generate([GenerateRequest("Where?", 8)]))
        assert caught.value.__cause__ is None


@pytest.mark.parametrize("client", ["requests", "aiohttp"])
def test_what_its_server_refuses_is_no_failure_of_it(client, dummy, monkeypatch):
    refusal = Fault(400, b'{"error": {"message": "no such thing"}}')
    with Stub(Words(lambda _: "Paris"), faults=lambda _: refusal) as stub:
        monkeypatch.setattr(dummy._lm, "generate_until", partial(ask_as_lm_eval, client, stub.url))
        with pytest.raises(Exception, match="400") as caught:
            list(dummy.generate([GenerateRequest("Where?", 8)]))
        assert not isinstance(caught.value, UnansweredError)


def ask_as_lm_eval(client, url, instances, disable_tqdm=True):
    """Ask by the libraries, and read replies as lm-eval's API models do (extra lm-eval[api])."""
    body = {"model": "m", "prompt": "Where?"}
    if client == "requests":
        import requests

        response = requests.post(f"{url}/completions", json=body, timeout=10)
        response.raise_for_status()
        return [response.json()["choices"][0]["text"]]
    return asyncio.run(_ask_by_aiohttp(f"{url}/completions", body))


async def _ask_by_aiohttp(url, body):
    import aiohttp

    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        response.raise_for_status()
        return [(await response.json())["choices"][0]["text"]]
