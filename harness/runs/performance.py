"""The cost of a run, ``performance.json``: times, memory, storage and calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from harness.files import read_json, write_json
from harness.runs.record import Count, Record, parse_record

if TYPE_CHECKING:
    from harness.llm.base import LanguageModel

PERFORMANCE = "performance.json"

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Write(Record):
    """Seconds that writing the method's memory took; runs that share the memory share them."""

    seconds: Amount


class Throughput(Record):
    """The batched run: questions answered and the seconds it took."""

    questions: Count
    seconds: Amount


class Usage(Record):
    """Means per question, of ``empty`` and ``cut_off`` the share of questions; None is unknown."""

    completion_tokens: Amount | None = None
    cut_off: Amount | None = None
    """Questions whose last reply was ended by the token limit."""
    empty: Amount | None = None
    """Questions that got an empty reply or have an empty answer, without an error."""
    llm_calls: Amount | None = None
    passages_cut: Amount | None = None
    passages_dropped: Amount | None = None
    prompt_tokens: Amount | None = None
    retrievals: Amount | None = None


class Storage(Record):
    """Bytes on disk, by part, for so many documents."""

    parts: dict[str, Count]
    documents: Count


class Latency(Record):
    """Seconds of each question, asked one at a time after ``warmup`` others."""

    seconds: list[Amount]
    warmup: Count = 0
    by_kind: dict[str, list[Amount]] = Field({})
    """Of each question, what one kind of work took, such as ``generate`` or ``search``."""
    same_as_batched: Count | None = None
    """Questions answered as in the batched run."""


class Memory(Record):
    """Peak bytes, as resident set (rss) or on the accelerator (vram)."""

    kind: str
    peak_bytes: Count
    reserved_bytes: Count | None = None


class Performance(Record):
    """What a run cost; each part is absent until it is measured."""

    write: Write | None = None
    throughput: Throughput | None = None
    usage: Usage | None = None
    storage: Storage | None = None
    latency: Latency | None = None
    memory: Memory | None = None
    retries: Count | None = None
    """Requests sent again because a server failed, in all sessions; absent without any."""


def read_performance(folder: Path) -> Performance:
    """What a run cost; an empty record before anything was measured. Raises InputError."""
    path = folder / PERFORMANCE
    return parse_record(path, read_json(path), Performance) if path.exists() else Performance()


def add_throughput(folder: Path, questions: int, seconds: float) -> None:
    """Add a session's answers; sessions of an interrupted run add up."""
    before = read_performance(folder).throughput or Throughput(questions=0, seconds=0.0)
    total = Throughput(
        questions=before.questions + questions, seconds=round(before.seconds + seconds, 3)
    )
    update_performance(folder, throughput=total)


@contextmanager
def counting_retries(folder: Path, llm: LanguageModel) -> Iterator[None]:
    """Add the requests that were sent again meanwhile to those of earlier sessions."""
    before = llm.retries
    try:
        yield
    finally:
        if llm.retries > before:
            known = read_performance(folder).retries or 0
            update_performance(folder, retries=known + llm.retries - before)


def update_performance(folder: Path, **parts: Any) -> None:
    """Put parts, as records or mappings, into performance.json atomically; the others stay."""
    known = read_performance(folder).written()
    write_json(folder / PERFORMANCE, Performance.model_validate(known | parts).written())
