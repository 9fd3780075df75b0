"""Dealt pools: the runs over all pools of one size, joined to one run over all questions.

Questions that were dealt into several pools (``harness.data.dealing``) were answered in as many
runs. All that reads runs (``read_runs``) has them as one: its questions are those of all pools,
paired by their ids with any other method's, and its costs are those of all pools together
(``dealt_costs``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import InputError
from harness.fingerprint import canonical_json, fingerprint
from harness.runs.dealt import Dealt
from harness.runs.manifest import FINISHED, INCOMPLETE, RUNNING, Manifest, TaskConfig
from leaderboards.collect import Floats, Found, Run, Unfinished, collect
from leaderboards.cost import common_hardware
from leaderboards.dealt_costs import joined_costs
from leaderboards.labels import of_any_revision

_FIRST = 1
"""The revision of a retriever whose config has none."""


def read_runs(runs_dir: Path, *, strict: bool = False) -> Found:
    """The runs below a folder as ``collect`` reads them, those over pools of one size as one.

    Raises what ``collect`` does, and InputError if all that ended are some pools of a size.
    """
    found = collect(runs_dir, strict=strict)
    runs, unfinished = joined(found.runs, found.unfinished)
    if not runs:
        raise InputError(
            f"{runs_dir}: no finished run, since each lacks some of its pools; run the same board "
            "again"
        )
    return Found(runs, unfinished, found.notes)


def size_of(settings: Mapping[str, Any]) -> str:
    """The corpus of a table, by its size: ``20 documents``, ``pools of 4 documents``.

    Empty if the runs do not tell.
    """
    documents = settings.get("task.passages")
    if documents is None:
        return ""
    pools = "pools of " if settings.get("task.dealt") else ""
    return f"{pools}{documents:,} documents"


def joined(
    runs: Sequence[Run], unfinished: Sequence[Unfinished]
) -> tuple[list[Run], list[Unfinished]]:
    """All runs and unfinished ones, those over pools of one size as one of either kind.

    They are one finished run once every pool's is.
    """
    whole = [run for run in runs if _dealt(run.manifest) is None]
    left = [each for each in unfinished if _dealt(each.manifest) is None]
    for members in _sets([*runs, *unfinished]):
        ended = [each for each in members if isinstance(each, Run)]
        others = [each for each in members if isinstance(each, Unfinished)]
        parts = {number: run for run in reversed(ended) if (number := _number(run.manifest))}
        ordered = [parts[number] for number in sorted(parts)]
        first = max((each.manifest for each in members), key=_revision)
        versions = {run.metrics_version for run in ordered}
        if len(ordered) == _pools(first) and len(versions) == 1:
            whole.append(_joined(ordered))
        else:
            answered = sum(len(run.question_ids) for run in ordered)
            answered += sum(each.answered for each in others)
            manifest = _manifest(first, [run.manifest for run in ordered], RUNNING)
            left.append(Unfinished(manifest, answered))
    return whole, left


def _sets(found: Iterable[Run | Unfinished]) -> Iterator[list[Run | Unfinished]]:
    """What lies over the pools of one size.

    A retriever's first revision is also that of pools whose letters a later one leaves as they
    are, so these belong to any.
    """
    sets: dict[str, dict[int, list[Run | Unfinished]]] = {}
    for each in found:
        if _dealt(each.manifest) is not None:
            alike = sets.setdefault(_key(each.manifest), {})
            alike.setdefault(_revision(each.manifest), []).append(each)
    for alike in sets.values():
        first = alike.pop(_FIRST, [])
        yield from ([*later, *first] for later in alike.values() or [[]])


def _revision(manifest: Manifest) -> int:
    revision = (manifest.config.retriever or {}).get("revision", _FIRST)
    return revision if isinstance(revision, int) else _FIRST


def _dealt(manifest: Manifest) -> Dealt | None:
    return manifest.config.task.dealt


def _number(manifest: Manifest) -> int:
    dealt = _dealt(manifest)
    return (dealt.number or 0) if dealt else 0


def _pools(manifest: Manifest) -> int:
    dealt = _dealt(manifest)
    return dealt.pools if dealt else 1


def _key(manifest: Manifest) -> str:
    """What the runs of all pools share: everything but their questions and their corpus."""
    config, dealt = manifest.config, _dealt(manifest)
    task = {
        "name": config.task.name,
        "split": config.task.split,
        "limit": config.task.limit,
        "passages": config.task.passages,
        "train": config.task.train_fingerprint,
        "dealt": dealt and dealt.together(),
    }
    model = {**config.model.written(), "name": config.model.called}
    row = [of_any_revision(manifest), model, config.seed, manifest.schema_version]
    return canonical_json([task, *row])


def _joined(parts: Sequence[Run]) -> Run:
    ids = [id_ for run in parts for id_ in run.question_ids]
    order = np.array(sorted(range(len(ids)), key=ids.__getitem__))
    names = sorted({name for run in parts for name in run.scores})
    is_incomplete = any(not run.manifest.is_finished for run in parts)
    manifests = [run.manifest for run in parts]
    hardware = common_hardware(parts)
    called = max(manifests, key=_revision)
    manifest = _manifest(called, manifests, INCOMPLETE if is_incomplete else FINISHED)
    return replace(
        parts[0],
        manifest=manifest.model_copy(update={"hardware": hardware}),
        performance=joined_costs(parts, hardware),
        question_ids=tuple(ids[place] for place in order),
        scores={name: _column(parts, name)[order] for name in names},
        errors=sum(run.errors for run in parts),
        unanswered=frozenset[str]().union(*(run.unanswered for run in parts)),
        failures=dict(sum((Counter(run.failures) for run in parts), Counter())),
        predictions_sha256=fingerprint([run.predictions_sha256 for run in parts]),
        unchecked=next((run.unchecked for run in parts if run.unchecked), ""),
        parts=tuple(parts),
    )


def _column(parts: Iterable[Run], name: str) -> Floats:
    """A score of all questions; NaN in runs in which no answer has it."""
    return np.concatenate(
        [run.scores.get(name, np.full(len(run.question_ids), np.nan)) for run in parts]
    )


def _manifest(first: Manifest, parts: Sequence[Manifest], status: str) -> Manifest:
    """The manifest of all pools: their questions, and a corpus that is the sequence of theirs."""
    config, dealt = first.config, _dealt(first)
    assert dealt is not None  # see joined
    corpora = [part.config.task.corpus_fingerprint for part in parts]
    task = config.task.written() | {
        "questions": dealt.questions,
        "questions_fingerprint": dealt.questions_fingerprint,
        "corpus_fingerprint": fingerprint(corpora),
        "dealt": dealt.together(),
    }
    whole = config.model_copy(update={"task": TaskConfig.model_validate(task)})
    shown = tuple(dict.fromkeys(line for part in parts for line in part.demonstrations))
    return first.model_copy(update={"config": whole, "status": status, "demonstrations": shown})
