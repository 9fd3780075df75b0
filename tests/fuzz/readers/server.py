"""Readers of what a server says: its list of models, replies, streams, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from harness.llm.server import endpoints
from harness.llm.server import model as server_model
from tests.fuzz.mutations import Files
from tests.fuzz.rule import Reader, each

_USAGE = {"prompt_tokens": 12, "completion_tokens": 2, "total_tokens": 14}
_TOP = [{"token": "Paris", "logprob": -0.1}, {"token": "Rome", "logprob": -2.5}]
_CHAT = {
    "id": "1", "object": "chat.completion", "created": 1, "model": "m", "usage": _USAGE,
    "choices": [{
        "index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "Paris", "reasoning_content": "Hm."},
        "logprobs": {"content": [{"token": "Paris", "logprob": -0.1, "top_logprobs": _TOP}]},
    }],
    "prompt_logprobs": [None, {"5": {"logprob": -1.5, "decoded_token": "The"}},
                        {"6": {"logprob": -0.5, "decoded_token": " Paris"}}],
}  # fmt: skip
_PARTS = json.loads(json.dumps(_CHAT)) | {"choices": [{
    "message": {"content": ["Par", {"type": "text", "text": "is"}, {"thinking": [{"text": "x"}]}]},
    "finish_reason": "length",
}]}  # fmt: skip
_COMPLETION = {
    "usage": _USAGE,
    "choices": [{"text": " <think>a</think> Paris", "finish_reason": "length", "logprobs": {
        "tokens": [" The", " Paris"], "token_logprobs": [None, -0.25],
        "top_logprobs": [{" Paris": -0.25}, None], "text_offset": [0, 4]}}],
}  # fmt: skip
_PIECES: tuple[dict[str, Any], ...] = (
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
    {"choices": [{"index": 0, "delta": {"content": "Par", "reasoning": "Hm"},
                  "logprobs": {"content": [{"token": "Par", "logprob": -1, "top_logprobs": []}]}}]},
    {"choices": [{"index": 0, "delta": {"content": "is"}, "finish_reason": "stop"}]},
    {"choices": [], "usage": _USAGE},
)  # fmt: skip
_MODELS = {"object": "list", "data": [{"id": "m", "max_model_len": 4096, "meta": {"n_ctx": 10}}]}
_PROPS = {"default_generation_settings": {"n_ctx": 2048}}
_REFUSALS: tuple[Any, ...] = (
    {"error": {"message": "'temperature' is not supported", "param": "temperature", "code": None}},
    {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]},
    {"error": {"message": "maximum context length is 4096 tokens. (5000 in the messages)",
               "type": "invalid_request_error", "n_ctx": 4096}},
    {"object": "error", "message": "'loc': ('body', 'stop')", "code": 404},
)  # fmt: skip


def _events() -> bytes:
    pieces = b"".join(b"data: " + json.dumps(piece).encode() + b"\r\n\r\n" for piece in _PIECES)
    return b": alive\n\n" + pieces + b"data: [DONE]\n\n"


@cache
def _replies() -> list[Files]:
    lists = {"models": json.dumps(_MODELS).encode(), "props": json.dumps(_PROPS).encode()}
    whole = (_CHAT, _PARTS, _COMPLETION)
    good = [
        {**lists, "reply": json.dumps(reply).encode(), "stream": _events(), "status": b"200"}
        for reply in whole
    ]
    statuses = (b"400", b"422", b"500", b"404", b"503", b"429")
    bad = [
        {**lists, "reply": json.dumps(reply).encode(), "stream": _events(), "status": status,
         "retry-after": b"0"}
        for reply, status in zip((*_REFUSALS, *_REFUSALS[:2]), statuses, strict=True)
    ]  # fmt: skip
    return good + bad


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Meanwhile every client is answered from the folder: its own code but for the connection."""
    real = endpoints.client

    def answer(library: Any, request: Any) -> Any:
        path = request.url.path
        if request.method == "GET":
            name = "models" if path.endswith("/models") else "props"
            return library.Response(200, content=_content(folder, name))
        is_stream = json.loads(request.content).get("stream")
        kind = "text/event-stream" if is_stream else "application/json"
        headers = {"content-type": kind}
        if wait := _content(folder, "retry-after"):
            headers["retry-after"] = wait.decode("latin-1").translate(_NO_HEADER)
        body = _content(folder, "stream" if is_stream else "reply")
        return library.Response(_status(folder), headers=headers, content=body)

    def client(url: str, key: str, timeout: float) -> Any:
        made: Any = real(url, key, timeout)
        # openai's client is made of httpx's, or of what has followed it.
        bases = (each.__module__.partition(".")[0] for each in type(made._client).__mro__)
        library = import_module(next(name for name in bases if name != "openai"))
        transport = library.MockTransport(lambda request: answer(library, request))
        return made.copy(http_client=library.Client(transport=transport, base_url=url))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_model, "client", client)
        yield


_NO_HEADER = dict.fromkeys((*range(32), *range(127, 256)), " ")


def _content(folder: Path, name: str) -> bytes:
    path = folder / name
    return path.read_bytes() if path.exists() else b""


def _status(folder: Path) -> int:
    text = _content(folder, "status")
    return int(text) if text.isdigit() and 200 <= int(text[:4]) < 600 else 200


def _asked(style: str) -> Callable[[Path], None]:
    def ask(folder: Path) -> None:
        from harness.llm.catalogue import resolve_model
        from harness.llm.requests import GenerateRequest, NextTokenRequest, ScoreRequest

        entry = {"name": "openai:m@http://127.0.0.1:1/v1", "prompt_style": style}
        request = GenerateRequest("The capital of France is", watch=("Paris",), stop=("\n",))

        def streamed() -> None:
            with model.streaming():
                list(model.generate([GenerateRequest("And of Italy?", max_tokens=4)]))
            assert "\n" not in model.streamed

        with _told(folder):
            model = server_model.ServerModel(resolve_model(entry), max_retries=0, pause=0)
            try:
                # Alone: after a failure the next request waits as long as the server asks for.
                model.probe()
                each(
                    lambda: list(model.generate([request])),
                    lambda: list(model.score([ScoreRequest("The", (" Paris",))])),
                    lambda: list(model.next_token_probs([NextTokenRequest("The", ("Paris",))])),
                    lambda: json.dumps(model.provenance()).encode(),
                )
                streamed()
            finally:
                model.close()

    return ask


READERS = (
    Reader("reply-chat", _replies, _asked("chat")),
    Reader("reply-completion", _replies, _asked("completion")),
)
