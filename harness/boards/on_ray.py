"""Ray as the cluster of a board (``run --on ray``): joined where there is one, else started here.

What is started here listens on the loopback interface alone and ends with the board. Ray pickles
what its own processes send each other, so whoever reaches a cluster's ports can run code on it.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import harness
from harness.boards.ending import also_at_end
from harness.boards.remote_worker import Event, RemoteWorker
from harness.errors import ConfigError, RunFailedError, describe_error
from harness.progress import say

if TYPE_CHECKING:
    import psutil
    from rich.console import Console

    from harness.boards.cluster import Cluster
    from harness.boards.config import Board
    from harness.runs.carried import Piece
    from harness.runs.resources import Resources

RAY, ADDRESS = "ray", "RAY_ADDRESS"
EXTRA = "pip install 'lm-memory-harness[ray]'"
STORE_BYTES = 200 * 2**20
"""Of a cluster that is started here: what lies in it are some answers, or a piece of a memory."""
LEAVES = 5.0
"""Seconds in which workers remove what they had on their disks."""


def check_on(on: str) -> str:
    """An ``--on`` as it was typed. Raises ConfigError."""
    if on != RAY and not re.fullmatch(r"ray://[^/\s:]+:\d{1,5}", on):
        raise ConfigError(f"--on {on}: there are ray and ray://HOST:PORT")
    return on


def is_local(on: str) -> bool:
    """Whether a cluster is started here for the board."""
    return on == RAY and not os.environ.get(ADDRESS)


def board_on(
    board: Board, device: str | None, on: str, console: Console
) -> tuple[Board, str | None]:
    """The board and the device as a cluster runs them. Raises ConfigError.

    Nothing is timed on a cluster that others may be using, this machine among it.
    """
    has_gpus = any(board.resources.changed(m.resources).gpus for m in board.methods)
    if device not in (None, "cpu") and not has_gpus:
        raise ConfigError(
            f"--on {on} --device {device}: board '{board.name}' asks for no GPU; give it "
            "resources: {gpus: 1}"
        )
    if board.timings and not is_local(on):
        say(
            console,
            "not timed, for others may use the cluster; run the board on one machine without --on "
            "to have latency and memory measured",
        )
        board = board.model_copy(update={"timings": False})
    return board, device or ("cuda" if has_gpus else "cpu")


@contextmanager
def ray_cluster(on: str) -> Iterator[Cluster]:
    """A cluster, left, or ended if it was started here, with the block. Raises ConfigError."""
    local = is_local(on)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if local:
        # Ray puts the machine's address in the place of 127.0.0.1 wherever other machines may join.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        import ray
    except ImportError as error:
        raise ConfigError(f"--on {on}: Ray is not installed; {EXTRA}") from error
    logging.getLogger("ray").setLevel(logging.ERROR)
    address = "local" if local else os.environ[ADDRESS] if on == RAY else on
    options = _local_options() if local else {}
    before = _children()
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:
        why = describe_error(error)[:300]
        raise ConfigError(
            f"--on {on}: Ray does not start here, which it must in 30 s ({why}); see to what else "
            "the machine is at, and run again"
            if local
            else f"--on {on}: no cluster at '{address}' ({why}); check the address, {ADDRESS} and "
            "that Ray and Python are of the same version there"
        ) from error
    servers = [process for process in _children() if process not in before]
    try:
        with also_at_end(lambda: _terminate(servers)):
            yield RayCluster(f"ray {ray.__version__}", local)
    finally:
        ray.shutdown()


def _children(of: psutil.Process | None = None) -> list[psutil.Process]:
    """Processes that one started, this one if none is given, and those that they started."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        return (of or psutil.Process()).children(recursive=True)
    return []


def _terminate(servers: Sequence[psutil.Process]) -> None:
    """End a cluster's servers and what they started, which would look for them for a minute."""
    import psutil

    for process in [each for server in servers for each in (*_children(server), server)]:
        with suppress(psutil.NoSuchProcess):
            process.terminate()


def _local_options() -> dict[str, Any]:
    from harness.cores import cpu_quota

    return {
        "_node_ip_address": "127.0.0.1",
        "num_cpus": cpu_quota(),
        "object_store_memory": STORE_BYTES,
        "include_dashboard": False,
    }


class RayRemote:
    """A worker as an actor; ``listening`` is what it will tell next."""

    def __init__(self, actor: Any) -> None:
        self.actor, self.listening = actor, actor.listen.remote()

    def hand(self, run_id: str, question_ids: Sequence[str], *, is_begun: bool) -> None:
        """Have questions of a run answered."""
        self.actor.hand.remote((run_id, tuple(question_ids), is_begun))

    def keep(self, place: str, piece: Piece) -> None:
        """Send a piece of a memory; a worker that is lost meanwhile shows when it is heard."""
        import ray

        with suppress(ray.exceptions.RayError):
            # One after the other, so that no more than a piece waits in Ray's store.
            ray.get(self.actor.keep.remote(place, piece))


class RayCluster:
    """A cluster that this process has joined."""

    def __init__(self, name: str, is_local: bool) -> None:
        self.name, self.is_local = name, is_local

    def room(self, resources: Resources) -> int:
        """How many workers of these resources fit onto it, were it empty."""
        import ray

        asked = {"CPU": resources.cpus, "GPU": resources.gpus, "memory": resources.memory or 0}
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        fits = [[there.get(k, 0) / n for k, n in asked.items() if n] for there in alive]
        return sum(int(min(each)) for each in fits)

    def start(self, request: str, resources: Resources) -> RayRemote:
        """Start a worker, now or once there is room."""
        import ray

        kept = {"memory": int(resources.memory)} if resources.memory else {}
        options = {"num_cpus": resources.cpus, "num_gpus": resources.gpus, **kept}
        return RayRemote(ray.remote(RemoteWorker).options(**options).remote(request))

    def stop(self, remotes: Sequence[RayRemote]) -> None:
        """End workers, once they have removed what they had on their disks."""
        import ray

        leaving = [remote.actor.leave.remote() for remote in remotes]
        if leaving:
            ray.wait(leaving, num_returns=len(leaving), timeout=LEAVES)
        for remote in remotes:
            with suppress(ray.exceptions.RayError):
                ray.kill(remote.actor)

    def heard(
        self, remotes: Sequence[RayRemote], seconds: float
    ) -> Iterator[tuple[RayRemote, list[Event] | str]]:
        """What workers tell, within some seconds; of one that is lost, why."""
        import ray

        waiting = {remote.listening: remote for remote in remotes}
        ready, left = ray.wait(list(waiting), num_returns=1, timeout=seconds)
        if ready and left:
            ready += ray.wait(left, num_returns=len(left), timeout=0)[0]
        for reference in ready:
            remote = waiting[reference]
            try:
                events = ray.get(reference)
            except ray.exceptions.RayActorError as error:
                yield remote, _why(error)
            except ray.exceptions.RayTaskError as error:
                raise RunFailedError(f"a worker cannot be heard: {_why(error)}") from error
            else:
                remote.listening = remote.actor.listen.remote()
                yield remote, events


def _why(error: Exception) -> str:
    """Ray's reason in one line. Raises ConfigError for a machine that lacks the harness."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "No module named 'harness" in str(error):
        raise ConfigError(
            "a machine of the cluster has no memory-harness in Ray's Python; install "
            f"lm-memory-harness=={harness.__version__} there"
        ) from error
    return (lines[-1] if lines else type(error).__name__)[:200]
