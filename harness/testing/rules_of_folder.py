"""Rules of a memory's folder: it alone is the memory, in a form that is safe to open."""

from __future__ import annotations

import zipfile
from pathlib import Path

from harness.fingerprint import folder_fingerprint
from harness.testing.conformance_lab import Lab, other_corpus
from harness.testing.findings import Wrongs, rule
from harness.testing.observed import Case
from harness.testing.rules_of_answers import bounded, same_answers
from harness.testing.rules_of_memory import has_memory, writes

PICKLES = frozenset({".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib"})
_PICKLED = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))


@rule("the memory is what write() left in its folder", same_answers, applies=has_memory)
def portable(lab: Lab) -> Wrongs:
    """A copy of the folder gives the same answers, whatever was written since."""
    fix = "load() everything from the folder it is given; keep no path, class attribute or global"
    lab.write("of-another-corpus", other_corpus(lab.data.corpus))
    moved = lab.memory.rename(lab.memory.with_name("moved"))
    where = "in another place, after another corpus was written"
    try:
        outcomes = lab.ask(lab.loaded(moved), Case(where))
        if difference := lab.difference(outcomes):
            yield f"{where}: {difference}", fix
    except Exception as error:
        yield f"{where}: load() failed with {lab.code.told(error)}", fix
    finally:
        moved.rename(lab.memory)


@rule("a memory holds no pickles", writes, applies=has_memory)
def no_pickles(lab: Lab) -> Wrongs:
    """Opening a pickle runs whatever it says."""
    found = [path for path in sorted(lab.memory.rglob("*")) if path.is_file() and _pickled(path)]
    if found:
        names = ", ".join(path.name for path in found)
        yield names, f"{names}: use safetensors, npy or JSON, which run nothing when opened"


@rule("load() and answer() leave the memory as it is", bounded, applies=has_memory)
def untouched(lab: Lab) -> Wrongs:
    """Runs share a memory, at the same time."""
    if folder_fingerprint(lab.memory) != lab.as_written:
        yield "a file in it changed or came", "write all of it in write(); later runs only read it"


def _pickled(path: Path) -> bool:
    if path.suffix in PICKLES:
        return True
    with path.open("rb") as file:
        head = file.read(256)
    if head.startswith(b"\x93NUMPY"):
        return b"|O" in head  # objects, which numpy pickles
    if zipfile.is_zipfile(path):
        return any(name.endswith(".pkl") for name in zipfile.ZipFile(path).namelist())
    return head.startswith(_PICKLED)


RULES = (portable, no_pickles, untouched)
