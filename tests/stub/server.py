"""The stub itself: an HTTP server, what it refuses and how it shapes replies."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self

from tests.stub.faults import Fault
from tests.stub.minds import Mind, as_text, pieces
from tests.stub.shapes import chat_choice, completion_choice, prompt_rows
from tests.stub.streams import Streaming, Streams

REFUSALS = {
    "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
    "'max_completion_tokens' instead.",
    "temperature 0": "Unsupported value: 'temperature' does not support 0 with this model. Only "
    "the default (1) value is supported.",
    "temperature above 0 only": "`temperature` must be strictly positive",
}
"""Words of single refusals; any other name is an unknown field (422)."""


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    path: str
    body: dict[str, Any]
    headers: Message
    before: int
    """How often the same prompt came before."""
    at: float
    """When, in seconds of a clock that never goes back."""

    @property
    def text(self) -> str:
        """The prompt in one piece."""
        return as_text(self.body.get("prompt") or self.body.get("messages") or "")


class Stub:
    """A server for ``with``; every option may be changed while it runs.

    ``refuses``: parameters, by name or by a key of REFUSALS. ``thoughts``: what it thinks before
    every answer, in a field or in tags. ``offers``: log-probabilities, of chats ``top`` and
    ``prompt_logprobs``. ``parts``: content as a list. ``usage``: whether tokens are counted.
    ``streams``: how a reply is streamed that is asked for so.
    """

    def __init__(
        self,
        mind: Mind,
        *,
        faults: Callable[[Asked], Fault | None] = lambda _: None,
        refuses: Sequence[str] = (),
        thoughts: str = "",
        thoughts_in: Literal["tags", "reasoning_content", "reasoning"] = "reasoning_content",
        offers: Sequence[str] = ("top", "echo", "prompt_logprobs"),
        most_top: int = 20,
        parts: bool = False,
        usage: bool = True,
        streams: Streaming = lambda _: Streams(),
        window: int | None = None,
        tells_window: bool = True,
        models: Sequence[str] = ("m",),
        root: str = "/v1",
    ) -> None:
        self.mind, self.faults, self.refuses = mind, faults, refuses
        self.thoughts, self.thoughts_in = thoughts, thoughts_in
        self.offers, self.most_top, self.parts, self.usage = offers, most_top, parts, usage
        self.streams = streams
        self.window, self.tells_window = window, tells_window
        self.models, self.root = models, root
        self.asked: list[Asked] = []
        """Every POST so far."""
        self.connections = 0
        self.running = self.most_running = 0
        self._seen: Counter[tuple[str, str]] = Counter()
        self.lock = threading.Lock()

    @property
    def model(self) -> str:
        """The first model served."""
        return self.models[0]

    @property
    def host(self) -> str:
        """The address without a path."""
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def url(self) -> str:
        """The base URL."""
        return self.host + self.root

    def __enter__(self) -> Self:
        self._http = _QuietServer(("127.0.0.1", 0), _handler(self))
        # Polls often, so that a test ends at once.
        serve = {"poll_interval": 0.01}
        threading.Thread(target=self._http.serve_forever, kwargs=serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()

    def bodies(self, path: str = "completions") -> list[dict[str, Any]]:
        """The bodies of all POSTs whose path ends so."""
        return [asked.body for asked in self.asked if asked.path.endswith(path)]

    def listed(self) -> dict[str, Any]:
        """The answer to GET /models."""
        tells = {"max_model_len": self.window} if self.window and self.tells_window else {}
        return {
            "object": "list",
            "data": [{"id": m, "object": "model", **tells} for m in self.models],
        }

    def note(self, path: str, body: dict[str, Any], headers: Message) -> Asked:
        """Keep a POST."""
        key = (path, json.dumps(body.get("prompt") or body.get("messages")))
        with self.lock:
            asked = Asked(path, body, headers, self._seen[key], time.monotonic())
            self._seen[key] += 1
            self.asked.append(asked)
        return asked

    def answer(self, asked: Asked) -> tuple[int, dict[str, Any]]:
        """Status and JSON of a POST that meets no fault."""
        body, chat = asked.body, asked.path.endswith("/chat/completions")
        if body.get("model") not in self.models:
            message = f"The model '{body.get('model')}' does not exist"
            return 404, {"error": {"message": message, "code": "model_not_found"}}
        refusal = self._refusal(body)
        return refusal or self._write(body, chat)

    def _refusal(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        for name in self.refuses:
            parameter = name.partition(" ")[0]
            if parameter not in body or (" " in name and body[parameter] != 0):
                continue
            if name in REFUSALS:
                param = parameter if name != "temperature above 0 only" else None
                return 400, {"error": {"message": REFUSALS[name], "param": param, "code": None}}
            detail = [{"loc": ["body", name], "msg": "Extra inputs are not permitted"}]
            return 422, {"detail": detail}
        if body.get("echo") and "echo" not in self.offers:
            return 500, {"error": {"message": "Only no echo is supported", "code": 500}}
        if self._top(body) > self.most_top:
            message = f"logprobs must be at most {self.most_top}"
            return 400, {"error": {"message": message, "param": "logprobs"}}
        return None

    def _top(self, body: dict[str, Any]) -> int:
        return int(body.get("top_logprobs") or body.get("logprobs") or 0)

    def _write(self, body: dict[str, Any], chat: bool) -> tuple[int, dict[str, Any]]:
        limit = body.get("max_completion_tokens", body.get("max_tokens", 16))
        switches = dict(body.get("chat_template_kwargs") or {})
        prompt, begun = body["messages" if chat else "prompt"], None
        if body.get("continue_final_message"):
            prompt, begun = prompt[:-1], prompt[-1]["content"]
        read = self.mind.read(prompt, begun, switches)
        if self.window and len(read) + limit > self.window:
            return 400, {"error": {"message": self._too_long(len(read), limit), "code": 400}}
        thinks = chat and self.thoughts and switches.get("enable_thinking") is not False
        opening = pieces(f"<think>\n{self.thoughts}\n</think>\n\n") if thinks else []
        room = limit - len(opening)
        top = self._top(body) if "top" in self.offers or body.get("echo") else 0
        written = self.mind.write(read, room, body, top) if room > 0 else []
        raw = "".join([*opening[:limit], *(token.text for token in written)])
        text = cut(raw, body.get("stop") or [])
        ended = text != raw or len(written) < room
        choice = {"index": 0, "finish_reason": "stop" if ended else "length"}
        value: dict[str, Any] = {"id": "1", "object": "x", "created": 0, "model": body["model"]}
        rows = None
        if body.get("prompt_logprobs") is not None and "prompt_logprobs" in self.offers:
            rows = prompt_rows(read)
        if chat:
            choice |= chat_choice(text, written, self.thoughts_in, self.parts, top)
            value["prompt_logprobs"] = rows
        else:
            choice |= completion_choice(text, read, written, bool(body.get("echo")), top)
            choice["prompt_logprobs"] = rows
        value["choices"] = [choice]
        if self.usage:
            count = min(limit, len(opening)) + len(written)
            value["usage"] = {"prompt_tokens": len(read), "completion_tokens": count}
        return 200, value

    def _too_long(self, read: int, limit: int) -> str:
        if not self.tells_window:
            return "the prompt is too long for the context window"
        return (
            f"This model's maximum context length is {self.window} tokens. However, you requested "
            f"{read + limit} tokens ({read} in the messages, {limit} in the completion)."
        )


def cut(text: str, stops: Sequence[str] | str) -> str:
    """A text before the first stop string."""
    every = [stops] if isinstance(stops, str) else stops
    found = [text.index(stop) for stop in every if stop in text]
    return text[: min(found, default=len(text))]


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


def _handler(stub: Stub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body are two packets: the second waits 40 ms for word of the first.
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            stub.connections += 1

        def do_GET(self) -> None:
            if self.path == f"{stub.root}/models":
                self._send(Fault(200, json.dumps(stub.listed()).encode()))
            else:
                self._missing()

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length))
            if not re.fullmatch(rf"{stub.root}/(chat/)?completions", self.path):
                self._missing()
                return
            asked = stub.note(self.path, body, self.headers)
            with stub.lock:
                stub.running += 1
                stub.most_running = max(stub.most_running, stub.running)
            try:
                fault = stub.faults(asked)
                if fault is None:
                    status, value = stub.answer(asked)
                    streams = stub.streams(asked) if asked.body.get("stream") else None
                    if status == 200 and streams is not None:
                        self._stream(streams, value)
                        return
                    fault = Fault(status, json.dumps(value).encode())
                self._send(fault)
            finally:
                with stub.lock:
                    stub.running -= 1

        def _missing(self) -> None:
            self._send(Fault(404, b'{"detail": "Not Found"}'))

        def _send(self, fault: Fault) -> None:
            time.sleep(fault.delay)
            self.close_connection = fault.drops or fault.missing > 0
            if fault.drops:
                return
            self.send_response(fault.status)
            self.send_header("Content-Type", fault.content_type)
            self.send_header("Content-Length", str(len(fault.body) + fault.missing))
            for name, value in fault.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(fault.body)

        def _stream(self, streams: Streams, value: dict[str, Any]) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for text in streams.writes(value):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(text), text))
            self.close_connection = streams.most is not None and not streams.then
            if not self.close_connection:
                self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *args: Any) -> None:
            pass

    return Handler
