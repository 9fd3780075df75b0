"""Rules of a method's memory: what ``write`` leaves, ``load`` opens and ``storage`` weighs."""

from __future__ import annotations

from harness.records import STORAGE_PARTS, StorageReport
from harness.testing.conformance_lab import Lab
from harness.testing.findings import Wrongs, rule
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


RULES = (writes, loads, storage)
