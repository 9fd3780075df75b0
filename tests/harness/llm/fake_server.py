"""An OpenAI-compatible server that says what a test wants, for what a real one does rarely."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[str, dict[str, Any], Message], tuple[int, Any]]


@contextmanager
def fake_server(answer: Answer) -> Iterator[str]:
    """Serve ``answer(path, body, headers) -> (status, json)``; yields the base URL."""

    class Handler(BaseHTTPRequestHandler):
        # Headers and body are two packets: the second waits 40 ms for word of the first.
        disable_nagle_algorithm = True

        def _respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            status, value = answer(self.path, body, self.headers)
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _respond

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # Polls often, so that a test ends at once.
    serve = {"poll_interval": 0.01}
    threading.Thread(target=server.serve_forever, kwargs=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
