"""Texts of the passages that runs name, where their corpus is at hand.

A corpus is the runs' own by its fingerprint alone: the file of a task may have changed since.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import registry
from harness.data.corpus import Corpus
from harness.data.dealing import pools
from harness.data.subpool import sub_pool
from harness.errors import HarnessError
from harness.records import Passage, Question
from harness.runs.manifest import Manifest, TaskConfig

LARGEST = 250_000
"""Passages of the largest corpus that is opened for a page: about five seconds."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Passages by id; ``lacking`` tells why there are none, in a sentence, and is empty else."""

    corpus: Corpus | None
    lacking: str = ""

    def get(self, id_: str) -> Passage | None:
        """The passage of an id, None where it is not known."""
        return self.corpus.get(id_) if self.corpus and id_ in self.corpus else None


def open_texts(manifest: Manifest, gold: Mapping[str, Mapping[str, Any]]) -> Texts:
    """The texts of a run's corpus. ``gold`` has its questions' gold documents, by question id."""
    task = manifest.config.task
    if task.passages is not None and task.passages > LARGEST:
        return Texts(None, f"The corpus of {task.passages:,} passages is too large to be opened.")
    found = False
    for path in _places(manifest):
        found = True
        try:
            pool = _same(Corpus.open(path), task, gold)
        except HarnessError:
            continue
        if pool is not None:
            return Texts(pool)
    why = "is not the one of these runs" if found else "is not on the machine that made this page"
    return Texts(None, f"Passages are shown by their ids: the corpus {why}.")


def _places(manifest: Manifest) -> Iterator[Path]:
    """Files that may hold the corpus: the shipped one of the task, and where it lay for the run."""
    places = []
    if registry.is_known("tasks", manifest.config.task.name):
        places.append(registry.task_folder(manifest.config.task.name) / "sample" / "corpus.jsonl")
    if isinstance(path := manifest.task_provenance.get("corpus"), str):
        places.append(Path(path))
    yield from (path for path in dict.fromkeys(places) if path.is_file())


def _same(whole: Corpus, task: TaskConfig, gold: Mapping[str, Mapping[str, Any]]) -> Corpus | None:
    """The corpus if it is the task's, or its part that is; None if neither."""
    if whole.fingerprint == task.corpus_fingerprint:
        return whole
    ids = {id_: tuple(row.get("gold_doc_ids") or ()) for id_, row in gold.items()}
    if task.passages is None or not all(each in whole for found in ids.values() for each in found):
        return None
    questions = [Question(id_, "", (), found) for id_, found in ids.items()]
    if (hand := task.dealt) is not None:
        dealt = pools(whole, questions, task.passages)
        numbered = enumerate((corpus for _, corpus in dealt), start=1)
        mine = (c.fingerprint for n, c in numbered if (n, len(dealt)) == (hand.number, hand.pools))
        # The other pools' passages are of the same file.
        return whole if task.corpus_fingerprint in mine else None
    part = sub_pool(whole, questions, task.passages)
    return part if part.fingerprint == task.corpus_fingerprint else None
