"""The process of a worker (``workers``): answers the runs that it is handed, one after the other.

``python -m harness.boards.worker`` takes a JSON object in the first line of standard input, then
ids of runs, and ends at once when that is closed. What it tells are JSON objects in lines that
begin with ``EVENT``: ``opened`` (its index is built), ``answered``, ``failed`` (why).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from harness.boards.alone import became_another, planned
from harness.boards.workers import EVENT
from harness.errors import HarnessError
from harness.fingerprint import fingerprint

if TYPE_CHECKING:
    from harness.llm.base import LanguageModel
    from harness.llm.model_config import ModelConfig
    from harness.runs.opening import Opened
    from harness.runs.plan import RunPlan

Tell = Callable[[str, str], None]


def answer(request: Mapping[str, Any], run_ids: Iterable[str], tell: Tell) -> None:
    """Answer one run after the other, and tell how each ended."""
    from rich.console import Console

    from harness.boards.retrievers import Retrievers
    from harness.runs.execute import execute

    console, root = Console(stderr=True), Path(request["root"])
    retrievers, models = Retrievers(console), Models(request)
    plans: dict[str, RunPlan] = {}
    for run_id in run_ids:
        try:
            plans = plans or plans_of(request)
            if run_id not in plans:
                raise became_another(run_id)
            plan = plans[run_id]
            llm, opened = models.of(plan)
            held = retrievers.open(plan)
            tell("opened", "")
            execute(plan, root, llm, held.retriever, console, opened)
        except HarnessError as error:
            tell("failed", str(error))
        else:
            tell("answered", "")


def plans_of(request: Mapping[str, Any]) -> dict[str, RunPlan]:
    """The board's runs by id, to be answered and not to be timed: others are at work meanwhile."""
    found = {}
    # Whoever planned them before has said what is to be said of them.
    with redirect_stderr(StringIO()):
        for plan in planned(request):
            measuring = replace(plan.measuring, timings=False, processes=request["processes"])
            found[plan.config.run_id] = replace(plan, measuring=measuring)
    return found


@dataclass(slots=True)
class Models:
    """The model of the last run, open; or why it cannot be opened."""

    request: Mapping[str, Any]
    config: ModelConfig | None = None
    held: tuple[LanguageModel, Opened] | None = None
    error: HarnessError | None = None

    def of(self, plan: RunPlan) -> tuple[LanguageModel, Opened]:
        """The model of a run, which must have what its method needs. Raises HarnessError."""
        from harness.boards.needs import check_needs

        if self.config != plan.model:
            self._change(plan)
        if self.error is not None:
            raise type(self.error)(str(self.error))
        assert self.held is not None
        check_needs(plan.config.method.name, plan.method, self.held[0])
        plan.method.check_model(self.held[0])
        return self.held

    def _change(self, plan: RunPlan) -> None:
        from harness.boards.run import open_llm

        if self.held is not None:
            self.held[0].close()
        # The old one goes first: there may be no room for two.
        self.config, self.held, self.error = plan.model, None, None
        try:
            self.held = open_llm(plan, self.request["batch_size"], self.request["device"])
        except HarnessError as error:
            self.error = error
            return
        replies = Path(self.request["replies"]) / fingerprint(plan.config.model.written())
        replies.mkdir(exist_ok=True)
        self.held[0].share_replies(replies)


def _tell(what: str, why: str) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(1, f"{EVENT}{json.dumps({what: why})}\n".encode())


def _listen(run_ids: SimpleQueue[str]) -> None:
    for line in sys.stdin:
        run_ids.put(line.strip())
    # The board has ended, whatever of it was under way: what is answered is kept.
    os._exit(0)


def main() -> None:
    """Answer what standard input names until it is closed."""
    # Of a terminal, all processes get it; the one that handed out the runs ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    request, run_ids = json.loads(next(sys.stdin)), SimpleQueue[str]()
    Thread(target=_listen, args=(run_ids,), daemon=True).start()
    answer(request, iter(run_ids.get, None), _tell)


if __name__ == "__main__":
    main()
