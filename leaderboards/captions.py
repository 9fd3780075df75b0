"""The words around a table, as plain text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.errors import MACHINES_FAILURES
from harness.escape import one_line, shortened
from harness.report import NOT_COMPARABLE
from harness.runs.manifest import Hardware
from harness.runs.usage import MANY
from leaderboards.collect import Run
from leaderboards.entries import Entry
from leaderboards.external import external_lines
from leaderboards.labels import full_label, written
from leaderboards.rows import Row
from leaderboards.unanswered import why_unanswered

_REMOTE = (
    "Memory: the model answered from a server or did not say where it ran, so the memory of the "
    "harness's own process is left out."
)
_DEALT = (
    "Seconds, calls and tokens of writing and seconds of indexing are sums over the pools, latency "
    "is of the single queries of all."
)


def task_caption(
    runs: Sequence[Run],
    rows: Sequence[Row],
    hardware: Hardware,
    same_task: Sequence[Mapping[str, Any]],
) -> tuple[str, ...]:
    """Caption of one task's table; ``same_task`` are the settings of all tables of the task."""
    task = runs[0].manifest.config.task
    differing = sorted({name for other in same_task for name in _differences(other, same_task[0])})
    return (
        *task_cautions(runs, rows),
        *(
            [
                f"Not comparable with the other {task.name} tables: they differ in "
                f"{', '.join(differing)}."
            ]
            if differing
            else []
        ),
        *alternatives(runs),
        *external_lines(runs),
        *setting(runs, rows, hardware),
        *([_REMOTE] if any(run.manifest.hardware.is_remote for run in runs) else []),
        *_timed(rows),
    )


def setting(runs: Sequence[Run], rows: Iterable[Row], hardware: Hardware) -> tuple[str, ...]:
    """Model, corpus, questions, seeds, hardware and date of comparable runs."""
    task, n = runs[0].manifest.config.task, len(runs[0].question_ids)
    limit = "" if task.limit is None else f", drawn at random by hash (limit {task.limit:,})"
    size = "" if task.passages is None else f"{task.passages:,} passages, "
    if task.dealt:
        size = f"{task.dealt.pools:,} pools of {size}each question asked in one with its gold, "
    return (
        f"Corpus: {task.corpus or task.name}, {size}fingerprint {task.corpus_fingerprint[:12]}. "
        f"Questions: {n:,} of split {task.split}{limit}, "
        f"fingerprint {task.questions_fingerprint[:12]}. {_seeds(rows)}.",
        f"Model: {_model(runs)}.",
        *learnt(runs),
        *([_DEALT] if task.dealt else []),
        f"Hardware: {hardware.text}. {_origin(runs)}.",
    )


def learnt(runs: Iterable[Run]) -> tuple[str, ...]:
    """Which questions were left out because something learnt from them, and what nobody knows.

    What is to know of the demonstrations, too.
    """
    lines: dict[str, None] = {}
    for manifest in (run.manifest for run in runs):
        for shown in manifest.demonstrations:
            lines[f"Demonstrations for {manifest.config.task.name}: {shown}."] = None
        if note := manifest.task_provenance.get("left_out"):
            lines[f"Left out of {manifest.config.task.name}: {note}."] = None
        for part, count in manifest.trained_on.items():
            if count is None:
                lines[f"Nobody noted what {part} learnt from: asked questions, perhaps."] = None
    return tuple(lines)


def task_cautions(runs: Sequence[Run], rows: Sequence[Row]) -> tuple[str, ...]:
    """What of one task's caption nobody may miss."""
    return (*mishaps(runs, rows), *not_comparable(runs))


def mean_cautions(runs: Sequence[Run]) -> tuple[str, ...]:
    """What of the caption of a table of means nobody may miss."""
    return (*_refused(runs), *not_comparable(runs))


def mishaps(runs: Sequence[Run], rows: Sequence[Row]) -> Iterator[str]:
    """What a reader of the scores must know first: what a server did, what looks broken."""
    yield from _refused(runs)
    asked = runs[0].manifest.config.task.asked
    lost = asked - len(runs[0].question_ids)
    if lost:
        some = [row for row in rows if row.unanswered]
        names = ", ".join(f"{row.label} {row.unanswered:,}" for row in some)
        why, fix = why_unanswered(only_external=all(row.external for row in some))
        yield (
            f"Incomplete: {lost:,} of {asked:,} questions are left out of every row, because {why} "
            f"in some ({names}).{fix}"
        )
    if any(row.retries for row in rows):
        yield (
            "Retries: requests that were sent again because the server failed; latency and "
            "throughput contain the wait."
        )
    for row in rows:
        doubts = list(_doubts(row, asked * len(row.seeds)))
        if doubts:
            yield f"Caution, {row.label}: {'; '.join(doubts)}."


def not_comparable(runs: Iterable[Run]) -> tuple[str, ...]:
    """A line of caution where questions are of the slices that ship with the tasks."""
    return (NOT_COMPARABLE,) if any(r.manifest.is_of_shipped_slice for r in runs) else ()


def mean_caption(runs: Sequence[Run], rows: Sequence[Row]) -> tuple[str, ...]:
    """Caption of a table of means over tasks."""
    sizes = {
        f"{run.manifest.config.task.name} ({run.manifest.config.task.split}, "
        f"{len(run.question_ids):,} questions, "
        f"corpus {run.manifest.config.task.corpus_fingerprint[:12]})"
        for run in runs
    }
    hardware = sorted({run.manifest.hardware.text for run in runs})
    return (
        *mean_cautions(runs),
        *alternatives(runs),
        *external_lines(runs),
        f"Every task counts the same: {', '.join(sorted(sizes))}. {_seeds(rows)}.",
        f"Model: {_model(runs)}.",
        *learnt(runs),
        f"Hardware: {'; '.join(hardware)}. {_origin(runs)}. Timings, memory and storage are in the "
        "tables of the tasks.",
    )


def row_notes(rows: Sequence[Row], hardware: Hardware) -> list[str]:
    """Tell which rows failed at what, which remember a part of the corpus alone, and which were
    timed on other hardware than the table's."""
    return [
        *(failed(row) for row in rows if row.failures),
        *(
            f"{row.label}: its memory has no room for {row.cost.documents_left_out:,} of the "
            "corpus's documents."
            for row in rows
            if row.cost.documents_left_out
        ),
        *(
            f"\u2021 {row.label}: measured on other hardware ({row.cost.elsewhere}) than the "
            f"table's ({hardware.text}), so its latency, throughput and memory are left out."
            for row in rows
            if row.cost.elsewhere
        ),
    ]


def failed(row: Row | Entry) -> str:
    """Tell how many questions a row failed on, and at what, where that is known."""
    kinds = f": {_counts(row.failures)}" if row.failures else ""
    return f"{row.label}: {row.errors:,} failed and count as wrong{kinds}.{_machines(row.failures)}"


def _machines(kinds: Mapping[str, int]) -> str:
    """What to do about failures that earlier releases took for the method's."""
    if MACHINES_FAILURES.isdisjoint(kinds):
        return ""
    return " A machine that lacked memory is no fault of the method: run again with --retry-errors."


def _counts(kinds: Mapping[str, int]) -> str:
    """Kinds of errors, the most frequent first: ``ServerError 2, ValueError 1``."""
    ordered = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{shortened(one_line(kind), 60)} {count:,}" for kind, count in ordered)


def missing(methods: Mapping[str, Collection[str]]) -> str:
    """Name the methods that some of the tasks lack: ``ircot (no hotpotqa); ...``."""
    gaps = {
        name: [task for task, present in methods.items() if name not in present]
        for name in sorted(set().union(*methods.values()))
    }
    return "; ".join(f"{name} (no {', '.join(tasks)})" for name, tasks in gaps.items() if tasks)


def _doubts(row: Row, answers: int) -> Iterator[str]:
    if row.errors >= MANY * answers:
        yield f"{_share(row.errors / answers)} of the questions failed and count as wrong"
    if (row.cost.empty or 0) >= MANY:
        yield f"{_share(row.cost.empty)} got an empty reply or have an empty answer"
    if (row.cost.cut_off or 0) >= MANY:
        yield f"{_share(row.cost.cut_off)} have a last reply that the token limit cut off"


def _share(value: float | None) -> str:
    return f"{100 * (value or 0):.0f} %"


def _refused(runs: Sequence[Run]) -> Iterator[str]:
    """Name what the model's server refused, so that it was sent in another form or not at all."""
    rows: dict[str, set[str]] = {}
    for run in runs:
        for name in run.manifest.model_provenance.get("adapted", ()):
            rows.setdefault(str(name), set()).add(full_label(run.manifest))
    if not rows:
        return
    everything = {full_label(run.manifest) for run in runs}
    named = [
        _adapted(name) + ("" if labels == everything else f" in {', '.join(sorted(labels))}")
        for name, labels in sorted(rows.items())
    ]
    yield f"Adapted to what the model's server takes: {'; '.join(named)}."


def _adapted(name: str) -> str:
    """``temperature 0 as 0.01`` as it is; a parameter's name alone is one that was left out."""
    if name == "seed":
        return "no seed (not seeded)"
    return name if " as " in name else f"no {name}"


def alternatives(runs: Iterable[Run]) -> Iterator[str]:
    """What Recall is where one gold document is enough."""
    manifests = [run.manifest for run in runs]
    names = {m.config.task.name for m in manifests if m.scoring.gold == "any"}
    if names:
        yield (
            f"Any gold document gives the answer in {', '.join(sorted(names))}, so Recall there "
            "says whether one was found."
        )


def _model(runs: Sequence[Run]) -> str:
    model = runs[0].manifest.config.model
    shown = {k: v for k, v in model.model_dump().items() if k != "name" and v not in (None, "")}
    settings = written({k: v for k, v in shown.items() if v is not False})
    revisions = {run.manifest.model_provenance.get("revision") for run in runs} - {None}
    parts = [model.called, f"({settings})" if settings else ""]
    text = " ".join(filter(None, parts))
    return f"{text}, revision {', '.join(sorted(map(str, revisions)))}" if revisions else text


def _timed(rows: Iterable[Row]) -> Iterator[str]:
    """How many questions the latencies are of, and how far passes over them differ."""
    costs = [row.cost for row in rows]
    noise = max((c.latency_noise for c in costs if c.latency_noise is not None), default=None)
    spread = "" if noise is None else f", which differ by up to {_share(noise)} between passes"
    if queries := max((cost.latency_queries for cost in costs), default=0):
        yield f"Latency: of up to {queries:,} queries{spread}."


def _seeds(rows: Iterable[Row]) -> str:
    seeds = sorted({seed for row in rows for seed in row.seeds})
    return f"{'Seed' if len(seeds) == 1 else 'Seeds'}: {', '.join(map(str, seeds))}"


def _origin(runs: Sequence[Run]) -> str:
    metrics_version = runs[0].metrics_version
    manifests = [run.manifest for run in runs]
    dates = sorted({manifest.created[:10] for manifest in manifests} - {""})
    when = " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "unknown date"
    versions = ", ".join(sorted({manifest.harness.text for manifest in manifests}))
    formats = f"run schema {manifests[0].schema_version}, metrics {metrics_version}"
    return f"Runs of {when}, memory-harness {versions}, {formats}"


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    names = (n for n in one.keys() | other.keys() if one.get(n) != other.get(n))
    return ["pools" if n == "task.dealt" else n.removeprefix("task.") for n in names]
