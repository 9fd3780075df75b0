"""The cost of a run, ``performance.json``: times, memory, storage and calls."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Annotated, Any

from pydantic import Field

from harness.errors import InputError
from harness.files import read_json, write_json
from harness.records import StorageReport
from harness.runs.manifest import MANIFEST, read_manifest
from harness.runs.record import Count, Record, parse_record
from harness.runs.seal import is_sound, sealed, without_seal

PERFORMANCE = "performance.json"

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Write(Record):
    """What writing the method's memory took, in all sessions; runs that share the memory share it.

    Calls and tokens are those that ``write`` awaited: None where it awaits nothing, and of runs of
    earlier releases. Tokens are None where the model's server did not count them, too.
    """

    seconds: Amount
    processes: Count | None = None
    """Of its board, that shared the cores meanwhile; left out where it was one."""
    llm_calls: Count | None = None
    retrievals: Count | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None


class ColdStart(Record):
    """Seconds until a method that is built can be asked, by part; a part that it lacks is absent.

    Files may be in the system's cache, and libraries that an earlier run loaded are loaded already,
    unless the run was measured in a process of its own.
    """

    model: Amount
    index: Amount | None = None
    """Opening the retriever, building left out."""
    memory: Amount | None = None
    """Loading what the method wrote."""

    @property
    def seconds(self) -> float:
        """All parts."""
        return self.model + (self.index or 0.0) + (self.memory or 0.0)


class Index(Record):
    """Building of the retriever's index; a memory that the method writes is ``Write``."""

    cached: bool
    """Whether an earlier session, or somebody else, had built it."""
    seconds: Amount | None = None
    """What building took, whenever that was; None if nobody noted it."""


class Throughput(Record):
    """The batched run: questions answered and the seconds it took."""

    questions: Count
    seconds: Amount


class Usage(Record):
    """Means per question, of ``empty`` and ``cut_off`` the share of questions; None is unknown.

    Of the questions that did not fail; earlier releases counted what failed ones had come to.
    """

    completion_tokens: Amount | None = None
    cut_off: Amount | None = None
    """Questions whose last reply was ended by the token limit."""
    empty: Amount | None = None
    """Questions that got an empty reply or have an empty answer, without an error."""
    llm_calls: Amount | None = None
    passages_cut: Amount | None = None
    passages_dropped: Amount | None = None
    prefix_tokens: Amount | None = None
    """Positions of key/value prompts before what was read; absent where there are none."""
    prompt_tokens: Amount | None = None
    retrievals: Amount | None = None


class Storage(Record):
    """Bytes on disk, by part, for so many documents."""

    parts: dict[str, Count]
    documents: Count
    left_out: Count = 0
    """Documents of the corpus that the memory has no room for; left out where it holds all."""

    @classmethod
    def of(cls, report: StorageReport) -> Storage:
        """A method's own account."""
        out = {"left_out": report.left_out} if report.left_out else {}
        return cls(parts=dict(report.parts), documents=report.documents, **out)


class Prefix(Record):
    """Key/value prompts that stand before the questions' own, as they were used while timed."""

    positions: Count
    """Of a question's prefix, the largest."""
    bytes: Count
    """Of its keys and values in memory."""
    seconds: Amount | None = None
    """To read its text once; absent where all of it is trained."""
    first_token: list[Amount | None] = Field([])
    """Of the first timed questions, where each read the text itself."""


class Latency(Record):
    """Seconds of each question, asked one at a time after ``warmup`` others.

    How they were asked stands in the manifest (``timing``).
    """

    seconds: list[Amount]
    question_ids: list[str] = Field([])
    """Of the timed questions; unknown of runs of earlier releases."""
    warmup: Count = 0
    first_token: list[Amount | None] = Field([])
    """Until the first token of a question's last reply; left out where no model tells."""
    again: list[list[Amount | None]] = Field([])
    """Further passes over the first of the questions; None where one was not answered again."""
    isolated: bool = False
    """Whether it was measured in a process that ran nothing else."""
    by_kind: dict[str, list[Amount]] = Field({})
    """Of each question, what one kind of work took, such as ``generate`` or ``search``."""
    same_as_batched: Count | None = None
    """Questions answered as in the batched run."""

    @property
    def passes(self) -> int:
        """How often the first questions were timed."""
        return 1 + len(self.again)

    @property
    def spreads(self) -> list[float]:
        """Of each question timed again: its slowest pass over its first, less its fastest."""
        found = []
        for first, *others in zip(self.seconds, *self.again, strict=False):
            known = [first, *(each for each in others if each is not None)]
            if len(known) > 1 and first > 0:
                found.append((max(known) - min(known)) / first)
        return found

    @property
    def noise(self) -> float | None:
        """Median of the spreads: by what share a query's time changed by itself; None unknown."""
        return median(self.spreads) if self.spreads else None


class Memory(Record):
    """Peak bytes, as resident set (rss) or on the accelerator (vram)."""

    kind: str
    peak_bytes: Count
    reserved_bytes: Count | None = None
    baseline_bytes: Count | None = None
    """In use with the model alone, before index and memory; of isolated runs."""


class Performance(Record):
    """What a run cost; each part is absent until it is measured."""

    write: Write | None = None
    index: Index | None = None
    cold_start: ColdStart | None = None
    throughput: Throughput | None = None
    usage: Usage | None = None
    storage: Storage | None = None
    latency: Latency | None = None
    prefix: Prefix | None = None
    memory: Memory | None = None
    retries: Count | None = None
    """Requests sent again because a server failed, in all sessions; absent without any."""


def read_performance(folder: Path) -> Performance:
    """What a run cost; an empty record before anything was measured.

    Raises InputError, also for figures that were edited or are another run's. Files of earlier
    releases have no seal that would tell.
    """
    path = folder / PERFORMANCE
    if not path.exists():
        return Performance()
    values = read_json(path)
    figures = without_seal(values) if isinstance(values, dict) else values
    record = parse_record(path, figures, Performance)
    if not is_sound(values, _run_id(folder)):
        raise InputError(
            f"{path}: changed since it was measured, or of another run; restore it, or delete it "
            "and run the same board again to have it measured anew"
        )
    return record


def update_performance(folder: Path, **parts: Any) -> None:
    """Put parts, as records or mappings, into performance.json atomically; the others stay."""
    known = read_performance(folder).written()
    values = Performance.model_validate(known | parts).written()
    write_json(folder / PERFORMANCE, sealed(values, _run_id(folder)))


def _run_id(folder: Path) -> str | None:
    """The run that figures stand beside."""
    is_there = (folder / MANIFEST).exists()
    return read_manifest(folder, any_schema=True).run_id if is_there else None
