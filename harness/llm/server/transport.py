"""Transport of requests: sent again while a server fails, and in the form that it takes.

Between tries lies a pause that doubles, shortened at random by up to a half so that requests that
failed together do not come back together; a server's own Retry-After is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from threading import Lock
from typing import Any, TypeVar

from harness.errors import UnansweredError
from harness.llm.server.adaptation import Adaptation
from harness.llm.server.endpoints import Endpoint, Endpoints
from harness.llm.server.failures import Refused, ServerFailure, choice, understood
from harness.llm.server.window import exceeded

Read = TypeVar("Read")
Ask = Callable[[dict[str, Any]], dict[str, Any]]
"""Sends a request with these parameters beside its own. Raises ServerFailure or Refused."""

LONGEST_PAUSE = 30.0


class Transport:
    """Posts requests of one model; threads may share it.

    ``retries``: how often a request that met a failure is sent again; ``pause``: seconds before
    the first time. ``jitter`` decides nothing but pauses.
    """

    def __init__(
        self,
        where: str,
        endpoints: Endpoints,
        *,
        retries: int,
        pause: float,
        jitter: Random | None = None,
        on_retry: Callable[[], None] = lambda: None,
    ) -> None:
        self.where, self.endpoints, self.adaptation = where, endpoints, Adaptation()
        self._retries, self._pause = retries, pause
        self._jitter = jitter or Random()  # noqa: S311 (it decides pauses)
        self._lock, self._on_retry = Lock(), on_retry

    def post(
        self,
        path: str,
        body: dict[str, Any],
        read: Callable[[dict[str, Any]], Read],
        tried: Callable[[Ask], dict[str, Any]] = lambda ask: ask({}),
    ) -> Read:
        """Send a request until it is answered, and ``read`` the answer, which holds a choice.

        ``tried`` makes one try, in whatever form it thinks best. Raises UnansweredError if failures
        persist, Refused if the server will not do it.
        """
        for tries in range(self._retries + 1):
            try:
                with self.endpoints.lend() as endpoint:
                    ask = partial(self._adapted, endpoint, path, body)
                    return understood(read, tried(ask))
            except ServerFailure as failure:
                last, lasting = failure.words, failure.lasting
            if lasting or tries == self._retries:
                break
            self.endpoints.wait(self._pause_after(tries))
            self._on_retry()
        times = f"after {tries + 1} tries" if tries else "once asked"
        raise UnansweredError(
            f"{self.where}: no answer {times} ({last}); see to the server, then run again: only "
            "what is unanswered is asked"
        )

    def _adapted(
        self, endpoint: Endpoint, path: str, body: dict[str, Any], beside: dict[str, Any]
    ) -> dict[str, Any]:
        while True:
            sent = self.adaptation.apply(body | beside)
            try:
                value = endpoint.post(path, sent)
            except Refused as refused:
                # Such a refusal names the limit of tokens, too, and means the prompt.
                if exceeded(refused) or not self.adaptation.learn(refused, sent):
                    raise
            else:
                choice(value)
                return value

    def _pause_after(self, tries: int) -> float:
        with self._lock:
            share = self._jitter.uniform(0.5, 1.0)
        return min(LONGEST_PAUSE, self._pause * 2.0**tries) * share
