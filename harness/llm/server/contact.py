"""Contact with a server before any work: whether it answers, what it serves, its window."""

from __future__ import annotations

from threading import Lock
from typing import Any

from harness.errors import ConfigError
from harness.llm.server.endpoints import Endpoint
from harness.llm.server.failures import Refused, ServerFailure
from harness.llm.server.refusals import no_v1, unreachable
from harness.llm.server.transport import Transport
from harness.llm.server.window import window_of, window_of_props

_MODELS = "/models"


class Contact:
    """Asks every place once, without retries: a wrong URL fails at once."""

    def __init__(self, transport: Transport, model: str, key_variable: str) -> None:
        self._transport, self._model, self._key_variable = transport, model, key_variable
        self._lock, self._met = Lock(), False
        self.served: tuple[str, ...] = ()
        """Ids of models that the server lists; not every server does."""
        self.window: int | None = None
        """Tokens of prompt and reply, where the server tells."""

    def meet(self) -> None:
        """Raise HarnessError if a place does not answer, ConfigError if it refuses the key."""
        with self._lock:
            if self._met:
                return
            windows = [self._meet(endpoint) for endpoint in self._transport.endpoints.all]
            self.window = min((window for window in windows if window), default=None)
            self._met = True

    def _meet(self, endpoint: Endpoint) -> int | None:
        where = f"model '{self._model}' at {endpoint.url}"
        try:
            listed = endpoint.get(_MODELS)
        except ServerFailure as failure:
            if failure.unreachable:
                raise unreachable(where, endpoint.url.endswith("/v1")) from None
            return None  # It is there; requests are sent again until it is well.
        except Refused as refused:
            if refused.status in {401, 403}:
                raise ConfigError(
                    f"{where}: key refused; check the variable {self._key_variable}"
                ) from None
            if refused.status == 404 and _answers(endpoint, f"/v1{_MODELS}"):
                raise no_v1(where, endpoint.url) from None
            return None
        rows = [row for row in listed.get("data") or () if isinstance(row, dict)]
        self.served = tuple(str(row.get("id")) for row in rows)
        mine: dict[str, Any] | None = next(
            (row for row in rows if row.get("id") == self._model), None
        )
        return window_of(mine) or _props(endpoint)


def _answers(endpoint: Endpoint, path: str) -> bool:
    try:
        endpoint.get(path)
    except (ServerFailure, Refused):
        return False
    return True


def _props(endpoint: Endpoint) -> int | None:
    """llama.cpp's own window, told beside /v1."""
    root = endpoint.url.removesuffix("/v1")
    try:
        return window_of_props(endpoint.get(f"{root}/props"))
    except (ServerFailure, Refused):
        return None
