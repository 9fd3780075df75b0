"""First token: when a reply's first token was there, by the model and over a whole question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter, sleep

import pytest

from harness.llm.base import LanguageModel
from harness.llm.catalogue import resolve_model
from harness.llm.open import open_model
from harness.llm.requests import GenerateRequest, Reply
from harness.meters.latency import measure_closed_loop
from harness.records import Prediction
from harness.testing.models import RuleModel
from tests.harness.programs import Steps, ask_once, open_with, queries


@pytest.fixture(scope="module")
def model(completion_model_dir: Path) -> Iterator[LanguageModel]:
    opened = open_model(resolve_model(f"path:{completion_model_dir}"), device="cpu")
    yield opened
    opened.close()


@pytest.mark.parametrize("plain", [True, False])
def test_a_local_model_tells_when_its_first_token_was_there(
    model: LanguageModel, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not plain:  # by transformers' own loop, as models with other caches are
        monkeypatch.setattr("harness.llm.kvcache.plain_layers", lambda _: False)
    requests = [GenerateRequest("Who built the lighthouse?", max_tokens=24)]
    list(model.generate(requests))
    start = perf_counter()
    ((_, reply),) = model.generate(requests)
    took = perf_counter() - start
    assert reply.first_token is not None
    # The first of 24 tokens, not the last.
    assert 0 < reply.first_token - start < 0.6 * took


class Telling(RuleModel):
    """Says that a reply's first token was there after 20 ms of 40."""

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
        for index, reply in super().generate(requests):
            sleep(0.02)
            moment = perf_counter()
            sleep(0.02)
            yield index, replace(reply, first_token=moment)


async def search_think_answer(method, query) -> Prediction:
    await method.llm.generate(f"think of {query.text}")
    reply = await method.llm.generate(query.text)
    return Prediction(reply.first_line)


def test_earlier_calls_are_within_the_time_to_the_first_token() -> None:
    for body, earlier in ((ask_once, 0.0), (search_think_answer, 0.04)):
        opened = open_with(Steps(body), Telling(), window=1)
        latency, _, _ = measure_closed_loop(opened.engine, opened.method, queries(2), device="cpu")
        for first, whole in zip(latency["first_token"], latency["seconds"], strict=True):
            assert earlier + 0.02 <= first <= whole - 0.019


def test_where_nobody_tells_there_is_no_time_to_the_first_token() -> None:
    opened = open_with(Steps(ask_once), RuleModel(), window=1)
    latency, _, _ = measure_closed_loop(opened.engine, opened.method, queries(1), device="cpu")
    assert "first_token" not in latency
