from __future__ import annotations

import pytest

from harness.errors import ConfigError, HarnessError
from harness.llm.requests import GenerateRequest
from harness.llm.server.adaptation import named
from harness.llm.server.failures import of_status
from tests.harness.llm.server.asking import ask, opened, paris, texts
from tests.stub import Fault, Lasting, Stub, Words

REQUEST = GenerateRequest("p", 7, ("###",), seed=3)
ALL = {"model", "messages", "max_tokens", "temperature", "top_p", "seed", "stop"}


@pytest.mark.parametrize(
    ("refuses", "adapted", "sent"),
    [
        (["seed"], ["seed"], ALL - {"seed"}),
        (["stop"], ["stop"], ALL - {"stop"}),
        (["top_p"], ["top_p"], ALL - {"top_p"}),
        (["temperature 0"], ["temperature"], ALL - {"temperature"}),
        (["temperature above 0 only"], ["temperature 0 as 0.01"], ALL),
        (
            ["max_tokens"],
            ["max_tokens as max_completion_tokens"],
            ALL - {"max_tokens"} | {"max_completion_tokens"},
        ),
        (["seed", "stop", "temperature 0"], ["seed", "stop", "temperature"],
         ALL - {"seed", "stop", "temperature"}),
    ],
)  # fmt: skip
def test_a_refused_parameter_is_adapted_once(refuses, adapted, sent):
    with Stub(Words(lambda _: "Paris ### is it"), refuses=refuses) as stub:
        model = opened(stub)
        assert "adapted" not in model.provenance()
        assert texts(ask(model, REQUEST)) == ["Paris "]
        asked = len(stub.asked)
        assert texts(ask(model, REQUEST)) == ["Paris "]
        assert len(stub.asked) == asked + 1 == len(refuses) + 2
        assert set(stub.asked[-1].body) == sent
        assert model.provenance()["adapted"] == adapted
        assert model.retries == 0
    limit = stub.asked[-1].body.get("max_tokens", stub.asked[-1].body.get("max_completion_tokens"))
    assert limit == 7


def test_requests_side_by_side_are_adapted_together():
    with Stub(Words(paris), refuses=["seed", "top_p"]) as stub:
        model = opened(stub)
        assert texts(ask(model, *(f"p{i}" for i in range(16)))) == ["Paris is it"] * 16
        assert model.provenance()["adapted"] == ["seed", "top_p"]


def test_what_no_error_names_is_kept():
    refusal = Lasting(Fault(400, b'{"error": {"message": "I cannot stop now"}}'), ["bad"])
    with Stub(Words(paris), faults=refusal) as stub:
        model = opened(stub)
        with pytest.raises(HarnessError, match="cannot stop now"):
            ask(model, GenerateRequest("bad", stop=("x",)))
        ask(model, GenerateRequest("good", stop=("x",)))
        assert set(stub.asked[-1].body) == ALL
        assert "adapted" not in model.provenance()


def test_a_prompt_that_is_too_long_drops_no_limit():
    words = (
        b'{"error": {"message": "\'max_tokens\' or \'max_completion_tokens\' is too large: 7. This '
        b"model's maximum context length is 9 tokens and your request has 8 input tokens\", "
        b'"param": "max_tokens"}}'
    )
    with Stub(Words(paris), faults=Lasting(Fault(400, words), ["long"])) as stub:
        model = opened(stub)
        with pytest.raises(HarnessError, match="exceeds the window of 9"):
            ask(model, "long")
        ask(model, "short")
        assert "max_tokens" in stub.asked[-1].body
        assert "adapted" not in model.provenance()


@pytest.mark.parametrize(
    ("status", "body", "names"),
    [
        # OpenAI's reasoning models.
        (400, {"message": "Unsupported parameter: 'stop' is not supported with this model.",
               "param": "stop"}, ["stop"]),
        (400, {"message": "Unrecognized request argument supplied: seed", "param": None}, ["seed"]),
        # FastAPI, and vLLM's text of the same.
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra",
                           "input": {"top_p": 1}}]}, ["seed"]),
        (400, {"object": "error", "message": "[{'type': 'extra_forbidden', 'loc': ('body', "
               "'stop'), 'msg': 'Extra inputs are not permitted', 'input': {'seed': 1}}]"},
         ["stop"]),
        (422, {"error": "Input validation error: `top_p` must be > 0.0 and < 1.0"}, ["top_p"]),
        (400, {"message": "unknown field: stop"}, ["stop"]),
        (400, {"message": "the stop parameter is too long"}, ["stop"]),
        (400, {"message": "please stop; non-seed text, temperatures rise"}, []),
    ],
)  # fmt: skip
def test_which_parameters_an_error_names(status, body, names):
    sent = ["model", "messages", "max_tokens", "temperature", "top_p", "seed", "stop"]
    assert named(of_status(status, body), sent) == names


def test_thinking_is_switched_by_effort_where_no_template_takes_arguments():
    with Stub(Words(paris), refuses=["chat_template_kwargs"]) as stub:
        model = opened(stub, thinking="off")
        assert texts(ask(model, "p")) == ["Paris is it"]
        assert stub.asked[-1].body["reasoning_effort"] == "none"
        assert model.provenance()["adapted"] == ["chat_template_kwargs as reasoning_effort"]


def test_arguments_that_the_user_named_are_never_left_out():
    with Stub(Words(paris), refuses=["chat_template_kwargs"]) as stub:
        model = opened(stub, template={"date_string": "26 Jul 2024"})
        with pytest.raises(ConfigError, match="takes no template arguments"):
            ask(model, "p")


def test_a_switch_that_the_server_does_not_have():
    with Stub(Words(paris), refuses=["chat_template_kwargs", "reasoning_effort"]) as stub:
        with pytest.raises(ConfigError, match="take template and thinking out"):
            ask(opened(stub, thinking="off"), "p")
