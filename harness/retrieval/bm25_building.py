"""Building of a BM25 index: batches in a folder ``KEY.building`` beside it, then inverted.

A building that was stopped goes on with the batches that are whole.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from harness.cores import wanted_threads
from harness.retrieval.base import Built, Progress
from harness.retrieval.batches import Batches
from harness.retrieval.building import Note, in_turn
from harness.retrieval.inverting import SCRATCH, invert
from harness.retrieval.terms import BM25Settings
from harness.sealed import write_sealed

if TYPE_CHECKING:
    from harness.data.corpus import Corpus


def build(
    corpus: Corpus,
    settings: BM25Settings,
    work: Path,
    out: Path,
    *,
    cores: int = 1,
    progress: Progress | None = None,
) -> None:
    """Write an index into the folder ``out``, its batches into ``work``.

    With more than one of ``cores``, passages are tokenised by as many processes. Raises InputError
    if no passage holds a word to index.
    """
    batches = Batches(work, len(corpus))
    for done in batches.make(corpus, settings, cores):
        if progress:
            progress(done, len(corpus))
    invert(batches, settings, out)


def build_sealed(
    folder: Path, corpus: Corpus, settings: BM25Settings, progress: Progress | None = None
) -> Built | None:
    """Build an index as a sealed folder, with all cores; None if it is there when its turn comes.

    Of a building that was stopped, what is whole is used and its seconds count.
    """
    return in_turn(folder, lambda work: _timed(folder, work, corpus, settings, progress))


def _timed(
    folder: Path, work: Path, corpus: Corpus, settings: BM25Settings, progress: Progress | None
) -> Built:
    for half in work.glob(f"{SCRATCH}*"):
        shutil.rmtree(half)
    note, start = work / "note.json", perf_counter()
    before = Note.read(note).seconds

    def tell(done: int, total: int) -> None:
        Note(done, before + perf_counter() - start).write(note)
        if progress:
            progress(done, total)

    took = [0.0]

    def fill(out: Path) -> None:
        build(corpus, settings, work, out, cores=wanted_threads(), progress=tell)
        took[0] = perf_counter() - start
        # Before the index is there: after it, a kill would leave it without.
        Note(len(corpus), before + took[0]).write(folder.with_suffix(".json"))

    write_sealed(folder, fill)
    return Built(cached=False, seconds=before + took[0], now=took[0])
