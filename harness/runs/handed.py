"""Handed questions: some of a run's, answered for a process on another machine that keeps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.llm.base import LanguageModel
from harness.method import writes_memory
from harness.retrieval.base import Retriever
from harness.runs.answers import AnswerWriter
from harness.runs.carried import pieces
from harness.runs.new_manifest import new_manifest
from harness.runs.opening import open_method
from harness.runs.performance import Storage
from harness.runs.plan import RunPlan
from harness.runs.write_phase import calling, is_written, memory_path, write_memory

if TYPE_CHECKING:
    from rich.console import Console

Tell = Callable[[str, Any], None]
"""Takes the name of what happened, and what is to know of it."""


class Teller:
    """Keeps answers by telling them (``answers.Keeper``): ``row``, with the id and the line."""

    def __init__(self, folder: Path, tell: Tell, *, is_begun: bool) -> None:
        self.folder, self._tell = folder, tell
        # Elsewhere the run has answers: not all of its questions fail alike.
        self.answered: set[str] = {""} if is_begun else set()

    def append(self, question_id: str, line: bytes) -> None:
        """Tell one ``prediction_line``."""
        self._tell("row", (question_id, line))
        self.answered.add(question_id)


def answer_handed(
    plan: RunPlan,
    question_ids: Sequence[str],
    keeper: Teller,
    here: Path,
    llm: LanguageModel,
    retriever: Retriever | None,
    console: Console,
    tell: Tell,
) -> None:
    """Answer these questions of a run, whose memory lies, or is written, below ``here``.

    Tells ``opened`` (the manifest that the run would have here), ``memory`` (each piece of one that
    was written) and ``wrote``, each ``row``, and ``answered``: storage, why questions were left
    unanswered, requests sent again, and the model's provenance. Raises HarnessError.
    """
    method, retries = copy(plan.method), llm.retries
    with llm.adapted(plan.method.adapter), ExitStack() as memory:
        engine = open_method(method, plan.data, plan.config.seed, llm, retriever, plan.window)
        tell("opened", new_manifest(plan, llm, retriever, here).written())
        place = memory_path(here, plan.config, type(method))
        is_new = writes_memory(type(method)) and not is_written(place)
        write_memory(engine, method, plan.data, place, console, plan.measuring.processes)
        if is_new:
            for piece in pieces(place):
                tell("memory", piece)
            tell("wrote", "")
        memory.enter_context(llm.changed(method.changes))
        wanted = set(question_ids)
        queries = [q.query for q in plan.data.questions if q.id in wanted]
        keep = AnswerWriter(keeper, lambda _: None)
        keep.answer(engine, method, queries)
        with calling(plan.label, "storage"):
            storage = Storage.of(method.storage()).written()
    told = {"storage": storage, "unanswered": keep.unanswered, "retries": llm.retries - retries}
    tell("answered", {**told, "provenance": llm.provenance()})
