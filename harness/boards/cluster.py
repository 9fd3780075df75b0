"""A cluster: machines that remote workers are started on, whoever lends them (``on_ray``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from harness.boards.remote_worker import Event
    from harness.runs.carried import Piece
    from harness.runs.resources import Resources


class Remote(Protocol):
    """A worker somewhere (``remote_worker.RemoteWorker``)."""

    def hand(self, run_id: str, question_ids: Sequence[str], *, is_begun: bool) -> None:
        """Have questions of a run answered; ``is_begun``: it has answers already."""

    def keep(self, place: str, piece: Piece) -> None:
        """Send a piece of a memory."""


class Cluster(Protocol):
    """Machines that workers are started on."""

    name: str
    is_local: bool
    """All of it is this machine, and gone when the block ends."""

    def room(self, resources: Resources) -> int:
        """How many workers of these resources fit onto it at once."""

    def start(self, request: str, resources: Resources) -> Remote:
        """Start a worker, now or once there is room."""

    def stop(self, remotes: Sequence[Any]) -> None:
        """End workers, those among them that are lost."""

    def heard(
        self, remotes: Sequence[Any], seconds: float
    ) -> Iterable[tuple[Any, list[Event] | str]]:
        """What workers tell, within some seconds; of one that is lost, why."""
