"""Failures of the servers that lm-eval's models ask, told from those of a method or a request."""

from __future__ import annotations

from harness.llm.server.failures import PASSING

# The libraries by which lm-eval's models reach a server.
_CLIENTS = frozenset({"aiohttp", "anthropic", "httpx", "openai", "requests", "urllib3"})


def of_server(error: BaseException) -> bool:
    """Whether a server failed: it was not reached, answered late or in pieces, or was too busy.

    A request that it refuses (another 4xx) is not a failure of the server.
    """
    if type(error).__module__.partition(".")[0] not in _CLIENTS:
        return False
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None) or getattr(error, "status", None)
    return status is None or not 400 <= status < 500 or status in PASSING
