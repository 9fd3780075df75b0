from __future__ import annotations

import re

import pytest

from harness.errors import ConfigError, HarnessError, UnansweredError
from harness.llm.catalogue import resolve_model
from harness.llm.open import open_model
from tests.harness.llm.server.asking import ask, opened, paris
from tests.stub import Fault, Lasting, Stub, Words


def test_v1_is_missing():
    with Stub(Words(paris)) as stub:
        with pytest.raises(ConfigError, match=re.escape(f"but at {stub.host}/v1; write base_url")):
            ask(opened(base_url=stub.host), "p")


def test_a_server_without_v1():
    with Stub(Words(paris), root="") as stub:
        assert ask(opened(stub), "p")[0].text == "Paris is it"


def test_a_wrong_model_name_is_told_at_opening():
    served = ["org/llama-3.1-8b", *(f"other-{i}" for i in range(9))]
    with Stub(Words(paris), models=served) as stub:
        config = resolve_model(f"openai:org/llama-3-8b@{stub.url}")
        with pytest.raises(ConfigError) as error:
            open_model(config)
    told = str(error.value)
    assert "'org/llama-3-8b' is not served there; did you mean 'org/llama-3.1-8b'?" in told
    assert "other-3" in told
    assert "other-8" not in told
    assert "\n" not in told


@pytest.mark.parametrize(
    "message", ["model 'm' not found, try pulling it first", "The model `m` does not exist."]
)
def test_a_wrong_model_name_with_status_400(message):
    refusal = Fault(400, f'{{"error": "{message}"}}'.encode())
    with Stub(Words(paris), models=["n"], faults=Lasting(refusal)) as stub:
        with pytest.raises(ConfigError, match=r"'m' is not served there.*served: n"):
            ask(opened(stub), "p")


def test_an_endpoint_that_is_missing():
    with Stub(Words(paris), faults=Lasting(Fault(404, b'{"detail": "Not Found"}'))) as stub:
        with pytest.raises(ConfigError, match="is listed, but .* set the other prompt_style"):
            ask(opened(stub), "p")


PAID = Fault(402, b'{"error": {"message": "Insufficient Balance"}}')
EXPIRED = Fault(401, b'{"error": {"message": "Invalid API key"}}')


@pytest.mark.parametrize(
    ("fault", "told"), [(PAID, "Insufficient Balance"), (EXPIRED, "key refused")]
)
def test_an_account_that_ends_meanwhile_leaves_questions_unanswered(fault, told):
    with Stub(Words(paris)) as stub:
        model = opened(stub)
        model.probe()
        stub.faults = Lasting(fault)
        with pytest.raises(UnansweredError, match=f"(?i){told}.*; then run again: only what is"):
            ask(model, "p")
        assert model.retries == 0


def test_an_account_without_money_is_told_at_opening():
    with Stub(Words(paris), faults=Lasting(PAID)) as stub:
        with pytest.raises(HarnessError, match="nothing left to pay with") as error:
            opened(stub).probe()
    assert not isinstance(error.value, UnansweredError)
