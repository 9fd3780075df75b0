"""Rules of conduct: what a method must not do beside its work, as far as it was seen doing it."""

from __future__ import annotations

from harness.testing.conformance_lab import Lab
from harness.testing.findings import Wrongs, rule
from harness.testing.rules_of_answers import bounded
from harness.testing.watch import Deed, Phase

EVERYWHERE: tuple[Phase, ...] = ("import", "write", "load", "answer")
_IN = {"import": "while it is imported", "write": "in write()", "load": "in load()",
       "answer": "in answer()"}  # fmt: skip


@rule("files are written in the method's own folders alone", bounded)
def files(lab: Lab) -> Wrongs:
    """What lies elsewhere is in the way of other runs, and missing on other machines."""
    yield from _first(
        lab, "files", EVERYWHERE, "write into the folder of write(), self.scratch or tempfile"
    )


@rule("nothing is taken from a task's files", bounded)
def task_files(lab: Lab) -> Wrongs:
    """They hold the gold answers; another task has other files."""
    fix = "answer from query.text and what self is lent; write() is given corpus and train"
    yield from _first(lab, "task", ("load", "answer"), fix)


@rule("the process stays as it was", bounded)
def process(lab: Lab) -> Wrongs:
    """The runs that follow share it."""
    fix = "undo it where it ends, or do without: torch.Generator for a seed, paths for a folder"
    yield from _first(lab, "process", EVERYWHERE, fix)


@rule("answers come from the model and the retriever that were lent", bounded,
      applies=lambda lab: lab.model is None)  # fmt: skip
def network(lab: Lab) -> Wrongs:
    """What is asked elsewhere is counted nowhere, and may reply otherwise tomorrow."""
    fix = (
        "ask self.llm and search with self.retriever, whose calls are counted; a server of "
        "documents is a Retriever of its own (RETRIEVERS); files of a hub are downloaded before "
        "and opened with local_files_only=True"
    )
    yield from _first(lab, "network", ("load", "answer"), fix)


@rule("importing it does nothing else", applies=lambda lab: lab.imported)
def imports(lab: Lab) -> Wrongs:
    """Its card is shown and its runs are planned on machines without network or model."""
    fix = "do so in write() or load(), or before any run, not where the module is imported"
    for deed in ("network", "print"):
        yield from _first(lab, deed, ("import",), fix)


@rule("answer() does not block", bounded)
def blocking(lab: Lab) -> Wrongs:
    """While one question blocks, every other waits."""
    yield from _first(
        lab, "sleep", ("answer",), "await asyncio.sleep(…), or asyncio.to_thread(…) for slow work"
    )


@rule("answer() prints nothing", bounded)
def printing(lab: Lab) -> Wrongs:
    """Standard output is for results: tables and JSON that other programs read."""
    yield from _first(
        lab, "print", ("answer",), "harness.note('…', …) puts it into the question's trace"
    )


def _first(lab: Lab, deed: Deed, phases: tuple[Phase, ...], fix: str) -> Wrongs:
    """The first time that something was seen in one of the phases."""
    for phase in phases:
        for seen in lab.watch.deeds.get((phase, deed), [])[:1]:
            told = f"printed {seen}" if deed == "print" else seen
            yield f"{_IN[phase]} it {told}", fix
            return


RULES = (imports, files, task_files, process, network, blocking, printing)
