"""What the leaderboard needs to know of a run's ``manifest.json`` and ``performance.json``.

Fields that the leaderboard does not know are kept: in a task's or a model's settings they still
tell runs apart that must not share a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from harness.fingerprint import canonical_json

Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class TaskConfig(_Record):
    """The questions and the corpus of a run. ``limit`` None means all questions."""

    name: str
    split: str
    limit: Count | None = None
    questions_fingerprint: str
    corpus_fingerprint: str
    questions: Count
    passages: Count | None = None
    corpus: str | None = None

    @property
    def asked(self) -> int:
        """Number of questions the run asks."""
        return self.questions if self.limit is None else min(self.limit, self.questions)


class MethodConfig(_Record):
    """A method and all its parameters, defaults included."""

    name: str
    params: dict[str, Any] = {}


class ModelConfig(_Record):
    """A language model and its settings."""

    name: str


class RunConfig(_Record):
    """Everything that determines a run's predictions."""

    task: TaskConfig
    method: MethodConfig
    model: ModelConfig
    seed: int = 0


class MethodCard(_Record):
    """A method's own description; an oracle is shown gold that no real system has."""

    title: str = ""
    oracle: bool = False


class Hardware(_Record):
    """Where a run was timed."""

    fingerprint: str
    summary: str = ""
    threads: int | None = None
    device: str = ""

    @property
    def text(self) -> str:
        """One line for a caption."""
        plural = "" if self.threads == 1 else "s"
        threads = "" if self.threads is None else f"{self.threads} thread{plural}"
        return ", ".join(filter(None, (self.summary or self.fingerprint, self.device, threads)))

    @property
    def key(self) -> str:
        """Timings are compared only between runs with equal keys."""
        return canonical_json([self.fingerprint, self.device, self.threads])


class Harness(_Record):
    """The program that made the run."""

    version: str = "unknown"
    git_commit: str | None = None

    @property
    def text(self) -> str:
        """Version and commit for a caption."""
        return f"{self.version} ({self.git_commit[:7]})" if self.git_commit else self.version


class Manifest(_Record):
    """One run: how it was made and whether it is finished."""

    schema_version: int
    run_id: str
    status: str
    config: RunConfig
    method_card: MethodCard = MethodCard()
    non_default_params: dict[str, Any] = {}
    hardware: Hardware
    harness: Harness = Harness()
    model_provenance: dict[str, Any] = {}
    created: str = ""

    def comparable(self, metrics_version: int | None) -> Mapping[str, Any]:
        """Settings, by dotted name, in which all rows of one table must agree."""
        config = self.config
        parts = {"task": config.task.model_dump(), "model": config.model.model_dump()}
        flat = {f"{part}.{k}": v for part, values in parts.items() for k, v in values.items()}
        versions = {"schema_version": self.schema_version, "metrics_version": metrics_version}
        return flat | versions

    def identity(self) -> Mapping[str, Any]:
        """Settings that make a row: the method and whatever is not task, model or seed."""
        return self.config.model_dump(exclude={"task", "model", "seed"})


class Throughput(_Record):
    """The batched run: questions answered and the seconds it took."""

    questions: Count
    seconds: Amount


class Latency(_Record):
    """Seconds of each question, asked one at a time after ``warmup`` others."""

    seconds: list[Amount]
    warmup: Count = 0
    by_kind: dict[str, list[Amount]] = {}
    """Of each question, what one kind of work took, such as ``generate`` or ``search``."""


class Memory(_Record):
    """Peak bytes, as resident set (rss) or on the accelerator (vram)."""

    kind: str
    peak_bytes: Count


class Storage(_Record):
    """Bytes on disk, by part, for so many documents."""

    parts: dict[str, Count]
    documents: Count


class Usage(_Record):
    """Means per question."""

    llm_calls: Amount | None = None
    retrievals: Amount | None = None
    prompt_tokens: Amount | None = None
    completion_tokens: Amount | None = None


class Performance(_Record):
    """What a run cost; each part is absent until it is measured."""

    throughput: Throughput | None = None
    latency: Latency | None = None
    memory: Memory | None = None
    storage: Storage | None = None
    usage: Usage | None = None
