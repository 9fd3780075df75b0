from __future__ import annotations

import logging
import socket
import traceback
from typing import Any

import pytest

from harness.errors import ConfigError, HarnessError, InputError
from harness.llm.catalogue import resolve_model
from harness.llm.requests import GenerateRequest
from harness.llm.server.model import ServerModel
from harness.prompts import Message
from tests.harness.llm.fake_server import fake_server

KEY = "sk-very-secret-key"
PROMPTS = tuple(f"Question: who wrote book {i}?\nAnswer:" for i in range(6))


def _model(url: str, model: str = "m", max_retries: int = 5, **options: Any) -> ServerModel:
    config = resolve_model({"name": f"openai:{model}@{url}", **options})
    return ServerModel(config, max_retries=max_retries, pause=0.001)


def _texts(model: ServerModel, requests: list[GenerateRequest]) -> list[str]:
    replies = dict(model.generate(requests))
    return [replies[i].text for i in range(len(requests))]


def _completion(text: str, **usage: int) -> dict[str, Any]:
    return {
        "id": "1",
        "object": "text_completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}],
        "usage": {**usage, "total_tokens": 0} if usage else None,
    }


@pytest.fixture(scope="module")
def local(tiny_model_dir):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    return model, AutoTokenizer.from_pretrained(tiny_model_dir)


def _greedy(local, text: str, special: bool, max_tokens: int = 12) -> tuple[str, int]:
    model, tokenizer = local
    inputs = tokenizer(text, return_tensors="pt", add_special_tokens=special)
    ids = inputs["input_ids"]
    out = model.generate(input_ids=ids, max_new_tokens=max_tokens, do_sample=False)
    return tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True), ids.shape[1]


@pytest.mark.slow
def test_completions_equal_local_greedy(tiny_server, tiny_model_dir, local):
    model = _model(tiny_server, str(tiny_model_dir), prompt_style="completion")
    replies = dict(model.generate([GenerateRequest(p, max_tokens=12) for p in PROMPTS]))
    for i, prompt in enumerate(PROMPTS):
        text, length = _greedy(local, prompt, special=True)
        assert replies[i].text == text
        assert replies[i].prompt_tokens == length
        assert replies[i].completion_tokens == 12


@pytest.mark.slow
def test_chat_equals_local_greedy(tiny_server, tiny_model_dir, local):
    model = _model(tiny_server, str(tiny_model_dir), tokenizer=str(tiny_model_dir))
    messages = (Message("system", "Be short."), Message("user", "Who wrote Hamlet?"))
    ((_, reply),) = model.generate([GenerateRequest(messages, max_tokens=12)])
    chat = [{"role": m.role, "content": m.content} for m in messages]
    text = local[1].apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    expected, length = _greedy(local, text, special=False)
    assert reply.text == expected
    assert reply.prompt_tokens == length == model.count_tokens(messages)


@pytest.mark.slow
def test_concurrency_changes_nothing(tiny_server, tiny_model_dir):
    requests = [GenerateRequest(p, max_tokens=8) for p in PROMPTS]
    alone = _model(tiny_server, str(tiny_model_dir), max_concurrency=1)
    crowd = _model(tiny_server, str(tiny_model_dir), max_concurrency=6)
    assert (alone.concurrency, crowd.concurrency) == (1, 6)
    assert _texts(alone, requests) == _texts(crowd, requests)


@pytest.mark.slow
def test_stop(tiny_server, tiny_model_dir):
    model = _model(tiny_server, str(tiny_model_dir), prompt_style="completion")
    whole, cut = _texts(
        model,
        [GenerateRequest(PROMPTS[0], 12), GenerateRequest(PROMPTS[0], 12, stop=("zzz", "e"))],
    )
    assert "e" in whole
    assert cut == whole[: whole.index("e")]


def test_reply_is_cut_where_the_server_ignores_stop():
    sent = []

    def answer(path, body, headers):
        sent.append(body)
        return 200, _completion("one\ntwo###", prompt_tokens=3, completion_tokens=4)

    with fake_server(answer) as url:
        model = _model(url, prompt_style="completion")
        stops = ("###", "a", "b", "c", "\n")
        ((_, reply),) = model.generate([GenerateRequest("p", 5, stops, 0.5, seed=7)])
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("one", 3, 4)
    body = sent[-1]
    assert body["stop"] == ["###", "a", "b", "c"]  # Hosted servers refuse a fifth.
    assert (body["temperature"], body["seed"], body["max_tokens"]) == (0.5, 7, 5)


@pytest.mark.parametrize("count", ["12", "x", -5, 1e300, 10**30, True, None, [], {"n": 1}])
def test_a_count_that_is_none_is_not_believed(count):
    value = {**_completion("Paris"), "usage": {"prompt_tokens": count, "completion_tokens": count}}
    for usage in (value["usage"], [count], str(count)):
        with fake_server(lambda *_, u=usage: (200, {**value, "usage": u})) as url:
            model = _model(url, prompt_style="completion")
            ((_, reply),) = model.generate([GenerateRequest("The capital")])
        assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("Paris", None, None)


@pytest.mark.parametrize("counted", [True, False])
def test_counts_without_usage(tiny_model_dir, counted):
    options = {"tokenizer": str(tiny_model_dir), "window": 64} if counted else {}
    with fake_server(lambda *_: (200, _completion("Paris"))) as url:
        model = _model(url, prompt_style="completion", **options)
        ((_, reply),) = model.generate([GenerateRequest("The capital")])
    if not counted:
        assert (reply.prompt_tokens, reply.completion_tokens) == (None, None)
    else:
        assert min(reply.prompt_tokens, reply.completion_tokens) > 0
    assert model.count_tokens("The capital") == (reply.prompt_tokens if counted else None)
    assert model.provenance()["token_counts"] == ("tokenizer" if counted else "nobody")


def test_busy_servers_are_asked_again():
    calls = []

    def answer(path, body, headers):
        calls.append(path)
        busy = len([p for p in calls if p.endswith("completions")]) < 2
        return (429, {"error": {"message": "busy"}}) if busy else (200, _completion("ok"))

    with fake_server(answer) as url:
        assert _texts(_model(url, prompt_style="completion"), [GenerateRequest("p")]) == ["ok"]


def test_server_down_is_said_at_once():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    with pytest.raises(HarnessError, match=r"127\.0\.0\.1.*cannot connect; start the server"):
        list(_model(url).generate([GenerateRequest("p")]))


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, HarnessError, "request refused .*seed is not supported"),
        (401, ConfigError, "key refused; check the variable MY_KEY"),
        (403, ConfigError, "key refused"),
        (404, ConfigError, "'m' is not served there"),
        (500, HarnessError, r"request refused \(HTTP 500: seed is not supported"),
    ],
)
@pytest.mark.parametrize("style", ["chat", "completion"])
def test_refusals_are_explained_and_keep_the_key_secret(
    status, kind, words, style, monkeypatch, caplog
):
    monkeypatch.setenv("MY_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    seen = []

    def answer(path, body, headers):
        seen.append(headers["Authorization"])
        if path.endswith("/models"):
            return 200, {"object": "list", "data": []}
        return status, {"error": {"message": f"seed is not supported, dear {KEY}"}}

    with fake_server(answer) as url:
        model = _model(url, max_retries=0, api_key_env="MY_KEY", prompt_style=style)
        with pytest.raises(kind, match=words) as error:
            list(model.generate([GenerateRequest("p")]))
    assert seen[-1] == f"Bearer {KEY}"
    trace = "".join(traceback.format_exception(error.value))
    for place in (trace, repr(model), str(model.provenance()), caplog.text, repr(model.config)):
        assert KEY not in place


def test_wrong_key_is_noticed_by_the_first_contact(monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    with (
        fake_server(lambda *_: (401, {"error": {"message": KEY}})) as url,
        pytest.raises(ConfigError, match="MY_KEY") as error,
    ):
        list(_model(url, api_key_env="MY_KEY").generate([GenerateRequest("p")]))
    assert KEY not in str(error.value)


def test_reply_without_choices():
    empty = {**_completion("x"), "choices": []}
    with (
        fake_server(lambda *_: (200, empty)) as url,
        pytest.raises(HarnessError, match="without any choice"),
    ):
        list(_model(url, prompt_style="completion").generate([GenerateRequest("p")]))


def test_a_named_key_must_be_set(monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="MY_KEY holds no key"):
        _model("http://127.0.0.1:1/v1", api_key_env="MY_KEY")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY holds no key"):
        ServerModel(resolve_model("openai:gpt-4o-mini"))
    _model("http://127.0.0.1:1/v1").close()


def test_unknown_tokenizer(tmp_path):
    model = _model("http://127.0.0.1:1/v1", tokenizer=str(tmp_path / "none"))
    with pytest.raises(InputError, match="cannot load the tokenizer"):
        model.count_tokens("p")


@pytest.mark.slow
@pytest.mark.parametrize("style", ["chat", "completion"])
def test_a_real_server_is_probed(tiny_server, tiny_model_dir, style):
    model = _model(tiny_server, str(tiny_model_dir), prompt_style=style)
    model.probe()
    assert model.retries == 0
    assert model.provenance()["logprobs"] == "none"
    assert _texts(model, [GenerateRequest(PROMPTS[0], 4)])[0]
