"""Endpoints: the places where one model is served, and how many requests each gets at once.

A request goes to the place with the fewest under way. A place that failed is left for a while if
there is another. As many requests as ``most`` go to a place at once, half as many after it said
that it is too busy, one more after every round that went well (as TCP does it; Jacobson, 1988).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition
from time import monotonic
from typing import TYPE_CHECKING, Any

from harness.errors import UnansweredError
from harness.llm.secret import Secret
from harness.llm.server.failures import Refused, ServerFailure, answer
from harness.llm.server.streams import stream

if TYPE_CHECKING:
    from openai import OpenAI

NO_SECRET = Secret()
SHORTEST_REST, LONGEST_REST = 1.0, 60.0
"""Seconds for which a place is left after a failure; doubled by every further one in a row."""
QUICK = 30.0
"""Seconds for what takes a server no work."""
LONGEST_CONNECT = 10.0
"""Seconds until a place counts as out of reach."""


def client(url: str, key: str, timeout: float) -> OpenAI:
    """A client of one place; sending again is left to the transport."""
    import openai

    return openai.OpenAI(
        base_url=url,
        api_key=key,
        timeout=openai.Timeout(timeout, connect=min(timeout, LONGEST_CONNECT)),
        max_retries=0,
    )


@dataclass(slots=True)
class Endpoint:
    """One place, and how it does."""

    url: str
    client: OpenAI
    most: int
    secret: Secret = NO_SECRET
    """Kept out of all that it says."""
    allowed: float = 0.0
    """Requests at once, for now."""
    running: int = 0
    failed_in_a_row: int = 0
    rests_until: float = 0.0
    """Until then it is asked only if no other can be."""
    closed_until: float = 0.0
    """Until then it is not asked at all, as it wished."""
    halved_at: float = 0.0

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a request, for a stream if it says so. Raises ServerFailure or Refused."""
        if body.get("stream"):
            return self._answer(lambda: stream(self.client, path, body))
        return self._answer(lambda: self.client.post(path, body=body, cast_to=object))

    def get(self, path: str) -> dict[str, Any]:
        """Fetch a JSON object. Raises ServerFailure or Refused."""
        options: Any = {"timeout": QUICK}
        return self._answer(lambda: self.client.get(path, cast_to=object, options=options))

    def _answer(self, call: Callable[[], object]) -> dict[str, Any]:
        try:
            value: dict[str, Any] = self.secret.out_of_reply(answer(call))
        except ServerFailure as failure:
            failure.words = self.secret.out_of(failure.words)
            raise
        except Refused as refused:
            refused.words = self.secret.out_of(refused.words)
            refused.body = self.secret.out_of_reply(refused.body)
            raise
        return value

    def went_well(self) -> None:
        """Take note of an answer or a refusal."""
        self.failed_in_a_row, self.rests_until = 0, 0.0
        self.allowed = min(self.most, self.allowed + 1 / self.allowed)

    def failed(self, failure: ServerFailure, since: float, now: float) -> None:
        """Take note of a failure of a request sent at ``since``."""
        # Bounded: a server that is down all night fails more often than a float has powers of 2.
        rest = min(LONGEST_REST, SHORTEST_REST * 2 ** min(self.failed_in_a_row, 16))
        self.failed_in_a_row += 1
        self.rests_until = now + rest
        if failure.retry_after is not None and not failure.lasting:
            self.closed_until = max(self.closed_until, now + failure.retry_after)
        # Those that were already under way say nothing new.
        if failure.crowded and since >= self.halved_at:
            self.allowed, self.halved_at = max(1.0, self.allowed / 2), now


class Endpoints:
    """All places of a model; threads take turns at them."""

    def __init__(
        self, clients: Sequence[tuple[str, OpenAI]], most: int, secret: Secret = NO_SECRET
    ) -> None:
        self.all = [Endpoint(url, client, most, secret, allowed=most) for url, client in clients]
        self._changed = Condition()
        self._closed = False

    @contextmanager
    def lend(self) -> Iterator[Endpoint]:
        """Wait for the best place that may be asked. Raises UnansweredError once closed."""
        endpoint, since = self._take()
        failure: ServerFailure | None = None
        try:
            yield endpoint
        except ServerFailure as raised:
            failure = raised
            raise
        finally:
            with self._changed:
                endpoint.running -= 1
                if failure is None:
                    endpoint.went_well()
                else:
                    endpoint.failed(failure, since, monotonic())
                self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait before a request is sent again; not at all if another place is well."""
        self._until(monotonic() + seconds, lambda: any(self._is_well(e) for e in self.all))

    def close(self) -> None:
        """Let go of whoever waits, and of the connections."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for endpoint in self.all:
            endpoint.client.close()

    def _until(self, end: float, over: Callable[[], bool]) -> None:
        with self._changed:
            while not self._closed and not over() and monotonic() < end:
                self._changed.wait(end - monotonic())

    def _is_well(self, endpoint: Endpoint) -> bool:
        return len(self.all) > 1 and endpoint.rests_until <= monotonic() >= endpoint.closed_until

    def _take(self) -> tuple[Endpoint, float]:
        with self._changed:
            while not self._closed:
                now = monotonic()
                best = self._best(now)
                if best is not None:
                    best.running += 1
                    return best, now
                times = [time for e in self.all for time in (e.rests_until, e.closed_until)]
                self._changed.wait(min((t - now for t in times if t > now), default=None))
        raise UnansweredError("the model was closed while a request waited")

    def _best(self, now: float) -> Endpoint | None:
        """The place to ask; a busy one that is well is waited for while others rest."""
        open_ones = [e for e in self.all if e.closed_until <= now]
        well = [e for e in open_ones if e.rests_until <= now] or open_ones
        free = [e for e in well if e.running < int(e.allowed)]
        return min(free, key=lambda e: (max(e.rests_until, now), e.running), default=None)
