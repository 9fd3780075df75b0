"""Rules of a method's memory: what ``write`` leaves, ``load`` opens and ``storage`` weighs."""

from __future__ import annotations

import shutil
from contextlib import suppress
from inspect import iscoroutinefunction
from pathlib import Path

from harness.fingerprint import folder_fingerprint
from harness.records import STORAGE_PARTS, StorageReport
from harness.runs.write_phase import CALLS
from harness.testing.conformance_lab import Lab
from harness.testing.findings import Wrongs, rule
from harness.testing.observed import Case, KilledError
from harness.testing.rules_of_class import can_be_made, is_whole, properties, signature
from harness.testing.watch import HungError

BASIS = (is_whole, can_be_made, properties, signature)


def has_memory(lab: Lab) -> bool:
    """Whether rules of memories apply."""
    return lab.writes


@rule("write() ends without an error", *BASIS, applies=has_memory)
def writes(lab: Lab) -> Wrongs:
    """It writes ten passages, in an empty folder."""
    try:
        _ = lab.memory
    except HungError as error:
        yield f"write() hangs: {error}", "ten passages should take seconds; bound every loop"


@rule("load() opens what write() left", *BASIS, writes)
def loads(lab: Lab) -> Wrongs:
    """Every run opens the memory with a method of its own, which wrote nothing."""
    try:
        lab.loaded(lab.memory)
    except HungError as error:
        yield f"load() hangs: {error}", "load what is in the folder, and no more"


@rule("storage() reports bytes by part", loads)
def storage(lab: Lab) -> Wrongs:
    """It reports whole bytes under the known names."""
    report = lab.loaded(lab.memory).storage()
    if not isinstance(report, StorageReport):
        yield (
            f"it returned {type(report).__name__}",
            "return StorageReport({part: bytes}, documents)",
        )
        return
    if unknown := sorted(set(report.parts).difference(STORAGE_PARTS)):
        yield (
            f"unknown parts {unknown} (known: {sorted(STORAGE_PARTS)})",
            "call them by these names",
        )
    counts = {**report.parts, "documents": report.documents, "left_out": report.left_out}
    for name, value in counts.items():
        if type(value) is not int or value < 0:
            yield (
                f"{name} = {value!r}, not a number of bytes",
                "give whole bytes: int(…), 0 or more",
            )


def awaits(lab: Lab) -> bool:
    """Whether rules of a write that asks the model or the retriever apply."""
    return has_memory(lab) and iscoroutinefunction(lab.cls.write)


@rule("write() goes on after a kill where it was", writes, applies=awaits)
def goes_on(lab: Lab) -> Wrongs:
    """Killed in its middle and continued, it leaves the same bytes and asks nothing twice."""
    # A model of one's own may round differently in another batch, so its calls go alone.
    case = Case("write", window=1) if lab.model else Case("write")
    asked, whole = _write(lab, "whole", case)
    half = asked // 2
    with suppress(KilledError):
        _write(lab, "killed", case, half)
    _tear(lab.folder / "killed-scratch" / CALLS)
    asked_again, continued = _write(lab, "killed", case)
    if continued != whole:
        yield (
            f"killed after {half} of {asked} calls and continued, it left other bytes",
            "let corpus, train questions, seed and replies alone decide what is written; work over "
            "many passages with self.each",
        )
    if half + asked_again != asked:
        yield (
            f"{asked} calls were made without a kill, {half} before and {asked_again} after one",
            "ask in the same words each time: neither clock, chance nor self.scratch may decide "
            "what is in a prompt",
        )


@rule(
    "write() does not depend on which call is answered first",
    writes,
    applies=lambda lab: awaits(lab) and lab.model is None,
)
def any_order(lab: Lab) -> Wrongs:
    """Which call ends first depends on the batch."""
    _, backwards = _write(lab, "written-backwards", Case("write", backwards=True))
    if backwards != lab.as_written:
        yield (
            "where of several calls the last is answered first, it left other bytes",
            "use the results of self.each and asyncio.gather in their order",
        )


def _write(lab: Lab, name: str, case: Case, killed_after: int | None = None) -> tuple[int, str]:
    """Calls answered, and the fingerprint of what was written."""
    folder, scratch = lab.folder / name, lab.folder / f"{name}-scratch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    scratch.mkdir(exist_ok=True)
    answered = lab.write_on(folder, scratch, case, killed_after=killed_after)
    return answered, folder_fingerprint(folder)


def _tear(journal: Path) -> None:
    """Add half a line, as a kill in the middle of writing it leaves."""
    data = journal.read_bytes()
    with journal.open("ab") as file:
        file.write(data[: len(data) // 3])


RULES = (writes, goes_on, any_order, loads, storage)
