from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def tiny_server(tiny_model_dir) -> Iterator[str]:
    """The URL of ``transformers serve`` over the tiny model, in a thread: torch is loaded here."""
    from transformers.cli.serve import Serve
    from transformers.utils import logging

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = logging.get_verbosity()
    server = Serve(
        str(tiny_model_dir), host="127.0.0.1", port=port, device="cpu", non_blocking=True
    )
    logging.set_verbosity(told)
    try:
        deadline = time.monotonic() + 120
        while not server.server.started:
            assert time.monotonic() < deadline, "transformers serve did not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill_server()
