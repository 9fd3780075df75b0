"""A key of a known value, sent through every backend that takes one: nothing that stays holds it.

Whatever a server does, be it that it repeats all it was sent: no answer, trace, manifest, page,
archive, log or exception has the key, plain, in base64 or as part of a URL.
"""

from __future__ import annotations

import io
import json
import logging
import traceback
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import zstandard

import harness.llm.open
from harness.errors import HarnessError
from harness.llm.catalogue import resolve_model
from harness.llm.lm_eval_model import LMEvalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest, NextTokenRequest, ScoreRequest
from harness.llm.server.model import ServerModel
from harness.runs.predictions import read_predictions
from tests.harness.conftest import CommandLine
from tests.stub import FAULTS, REFUSAL, Asked, Fault, Stub, Words
from tests.stub.streams import Streams

KEY = "sk-canary/7+Zq9 x~Ww=="
VARIABLE = "OPENAI_API_KEY"
LOGGERS = (
    "",
    "harness",
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "openai",
    "urllib3",
    "lm_eval",
)
STATUSES = (200, 400, 401, 402, 403, 404, 413, 422, 429, 500, 501, 502, 503)


def forms() -> set[str]:
    """The key, and what a server, a page or a log may have made of it."""
    found = {
        KEY,
        quote(KEY),
        quote(KEY, safe=""),
        quote_plus(KEY),
        escape(KEY),
        json.dumps(KEY)[1:-1],
    }
    for before in range(3):
        data = b"x" * before + KEY.encode()
        cut = slice(2 * (before > 0) + (before > 1), len(data) * 8 // 6)
        found |= {b64encode(data).decode()[cut], urlsafe_b64encode(data).decode()[cut]}
    return found


FORMS = forms()


def held(text: str) -> list[str]:
    """The forms of the key that a text holds."""
    return [form for form in FORMS if form in text]


def headers_of(asked: Asked) -> str:
    """What a careless server tells of a request, in all forms."""
    plain = "; ".join(f"{name}: {value}" for name, value in asked.headers.items())
    basic = b64encode(asked.headers["Authorization"].encode()).decode()
    return f"{plain}; {quote(plain)}; {basic}; {escape(plain)}"


def echo(status: int, asked: Asked) -> Fault:
    """The headers, in whatever a reply of this status holds."""
    told = headers_of(asked)
    sent = {"X-Echo": asked.headers["Authorization"]}
    if status != 200:
        return Fault(status, json.dumps({"error": {"message": told, "param": told}}).encode(),
                     headers=sent)  # fmt: skip
    top = [{"token": told, "logprob": -0.5}]
    content = [{"token": told, "logprob": -0.5, "top_logprobs": top}]
    choice = {
        "index": 0, "finish_reason": "stop", "text": told,
        "message": {"content": told, "reasoning_content": told},
        "logprobs": {"content": content},
    }  # fmt: skip
    rows = [None, {"1": {"logprob": -1.0, "decoded_token": told}}]
    value = {"choices": [choice], "prompt_logprobs": rows, "model": told, "usage": None}
    return Fault(200, json.dumps(value).encode(), headers=sent)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """All that is logged at any level."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    before = {name: logging.getLogger(name).level for name in LOGGERS}
    logging.getLogger().addHandler(handler)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield text
    logging.getLogger().removeHandler(handler)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    monkeypatch.setenv("MEMORY_HARNESS_ALLOW", "")


def everything(model: ServerModel) -> str:
    """What a model answers and says of itself, and every error that it raises."""
    request = GenerateRequest("p", watch=("x",))
    said: list[str] = []

    def probed() -> list[object]:
        model.probe()
        return []

    def streamed() -> list[object]:
        with model.streaming():
            return [*model.generate([GenerateRequest("p")]), model.streamed]

    for ask in (
        probed,
        lambda: list(model.generate([GenerateRequest("p")])),
        lambda: list(model.generate([request])),
        lambda: list(model.score([ScoreRequest("p", ("x",))])),
        lambda: list(model.next_token_probs([NextTokenRequest("p", ("x",))])),
        streamed,
    ):
        try:
            said += map(repr, ask())
        except HarnessError as error:
            said += [repr(error), *traceback.format_exception(error)]
    return "\n".join([*said, repr(model.provenance()), repr(model.capabilities)])


@pytest.mark.parametrize("style", ["chat", "completion"])
@pytest.mark.parametrize("fault", [*FAULTS, "refusal", *STATUSES])
def test_no_answer_error_or_log_of_a_server_holds_the_key(
    log: io.StringIO, style: str, fault: str | int
) -> None:
    known = {**FAULTS, "refusal": REFUSAL}

    def fails(asked: Asked) -> Fault:
        return echo(fault, asked) if isinstance(fault, int) else known[fault]

    with Stub(Words(lambda prompt: "x"), faults=fails) as stub:
        entry = {"name": f"openai:m@{stub.url}", "prompt_style": style}
        model = ServerModel(resolve_model(entry), max_retries=0)
        said = everything(model)
        model.close()
        assert stub.asked and {a.headers["Authorization"] for a in stub.asked} == {f"Bearer {KEY}"}
    assert held(said) == []
    assert held(log.getvalue()) == []
    assert log.getvalue()


@pytest.mark.parametrize("then", ['data: {"error": {"message": "%s"}}\n\n', "data: %s\n\n"])
def test_no_stream_that_repeats_what_it_was_sent_holds_the_key(log: io.StringIO, then: str) -> None:
    told: list[str] = []

    def streams(asked: Asked) -> Streams:
        told.append(headers_of(asked))
        return Streams(most=2, then=then % told[-1])

    def reply(prompt: str) -> str:
        return told[-1] if told else "x"

    with Stub(Words(reply), streams=streams) as stub:
        config = resolve_model({"name": f"openai:m@{stub.url}", "prompt_style": "chat"})
        model = ServerModel(config, max_retries=1, pause=0.001)
        said = everything(model)
        model.close()
    assert told and held(told[0])
    assert held(said) == []
    assert held(log.getvalue()) == []


def test_no_file_of_a_run_its_judge_its_page_or_its_archive_holds_the_key(
    cli: CommandLine, files: Path, log: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.llm.open, "open_model", _patient)
    runs, archive = tmp_path / "runs", tmp_path / "r.tar.zst"

    def fails(asked: Asked) -> Fault | None:
        status = (200, 400, 503)[sum(map(ord, asked.text)) % 3]
        is_judge, again = "RIGHT" in asked.text, asked.before and status == 503
        return echo(200 if is_judge or again else status, asked)

    with Stub(Words(lambda prompt: "x"), faults=fails) as stub:
        model = f"openai:m@{stub.url}"
        paths = [word for n in ("questions", "corpus", "train")
                 for word in (f"--{n}", files / f"{n}.jsonl")]  # fmt: skip
        done = [
            cli("run", "--task", "toy", "--method", "bm25", "-p", "k=1", "-p", "shots=0",
                "--model", model, "--latency-queries", 1, "--out", runs, *paths),
            cli("judge", runs, "--model", model),
            cli("score", runs),
            cli("leaderboard", runs, "-o", tmp_path / "board.html"),
            cli("show", runs, "q1"),
            cli("pack", runs, "--out", archive),
        ]  # fmt: skip
    assert {each.code for each in done} <= {0}, [each.err[-600:] for each in done if each.code]
    told = "".join(each.out + each.err for each in done)
    (answers,) = runs.rglob("predictions.jsonl")
    rows = [row for _, row in read_predictions(answers)]
    assert any("***" in row["answer"] for row in rows) and any(row["error"] for row in rows)
    assert (tmp_path / "board.html").is_file() and archive.is_file()
    unpacked = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(archive.read_bytes())).read()
    assert b"predictions.jsonl" in unpacked
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for path, content in {**kept, Path("unpacked"): unpacked}.items():
        assert held(content.decode("utf-8", "replace")) == [], path
    assert held(told) == []
    assert held(log.getvalue()) == []


def _patient(config: ModelConfig, **_: object) -> ServerModel:
    return ServerModel(config, max_retries=1, pause=0.001)


def _register_own() -> None:
    """A model of lm-eval's that asks as its own do, with a key of the environment."""
    import openai
    from lm_eval.api.model import LM
    from lm_eval.api.registry import model_registry, register_model

    if "canary" in model_registry.keys():  # noqa: SIM118 (the registry is no mapping)
        return

    @register_model("canary")
    class Canary(LM):  # type: ignore[misc]
        def __init__(self, base_url: str, **_: object) -> None:
            super().__init__()
            self.client = openai.OpenAI(base_url=base_url, max_retries=0)

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            return [self._ask(request.args[0]) for request in requests]

        def _ask(self, prompt: str) -> str:
            body = {"model": "m", "prompt": prompt}
            value: Any = self.client.post("/completions", body=body, cast_to=object)
            return str(value["choices"][0]["text"])

        def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> Any:
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood


@pytest.mark.parametrize("status", [None, *STATUSES])
@pytest.mark.parametrize("kind", ["canary", "local-completions"])
def test_no_model_of_lm_evals_gives_the_key_away(
    log: io.StringIO, kind: str, status: int | None
) -> None:
    if kind != "canary":
        pytest.importorskip("tenacity", reason="lm-eval's models of servers need lm_eval[api]")
    _register_own()

    def fails(asked: Asked) -> Fault | None:
        return None if status is None else echo(status, asked)

    with Stub(Words(lambda prompt: "x"), faults=fails) as stub:
        place = stub.url if kind == "canary" else f"{stub.url}/completions"
        options = f"base_url={place},max_retries=1,tokenizer_backend=None"
        model = LMEvalModel(resolve_model(f"lm-eval:{kind},model=m,{options}"))
        said: list[str] = []
        try:
            said += map(repr, model.generate([GenerateRequest("p")]))
        # Of a refusal, whatever lm-eval's model raises.
        except Exception as error:
            said += [repr(error), *traceback.format_exception(error)]
        said.append(repr(model.provenance()))
        assert {a.headers["Authorization"] for a in stub.asked} == {f"Bearer {KEY}"}
    assert held("".join(said)) == []
    assert held(log.getvalue()) == []
    assert status != 200 or "***" in "".join(said)
