"""The plan of a run: its config with the loaded things that it names, and what is left to do."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.trained_on import TrainedOn
from harness.llm.model_config import ModelConfig
from harness.method import Method
from harness.runs.gold import gold_path
from harness.runs.manifest import RunConfig, is_finished, read_manifest
from harness.runs.measuring import USUAL, Measuring
from harness.runs.performance import read_performance
from harness.runs.predictions import has_errors, read_predictions
from harness.runs.resources import ONE_CPU, Resources
from harness.runs.shard import Shard
from harness.runs.stamp import PREDICTIONS, is_scored
from harness.runs.task_config import called
from harness.runs.unanswered import read_unanswered

if TYPE_CHECKING:
    from harness.data.task import TaskData
    from harness.records import Query, Question


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A run that is to exist: its config, and the loaded things the config names."""

    config: RunConfig
    method: Method
    model: ModelConfig
    data: TaskData
    measuring: Measuring = USUAL
    window: int = 128
    retry_errors: bool = False
    """Ask again what is recorded as an error, in finished runs too."""
    trained: tuple[TrainedOn, ...] = ()
    """What the method's and the model's parts were trained on, none of it asked."""
    demonstrations: tuple[str, ...] = ()
    """What to know of the demonstrations, each the end of a sentence."""
    board: str | None = None
    """A board of this run alone, as JSON, for a process of its own; None if it needs none."""
    reply_megabytes: int = 0
    """Of replies that are kept across runs and not asked again; 0: none are."""
    asks: bool = True
    """False where another process has asked, and all that is left is measuring."""
    shard: Shard | None = None
    """The questions that are asked here; None for all."""
    resources: Resources = ONE_CPU
    """What a worker on a cluster needs for it."""

    @property
    def label(self) -> str:
        """What progress bars and messages call this run."""
        method = ":".join([self.config.method.name, *map(str, self.method.variant.values())])
        return f"{called(self.config.task)} / {method}"

    @property
    def asked(self) -> tuple[Question, ...]:
        """The questions that are asked here, in the run's order."""
        questions = self.data.questions
        return questions if self.shard is None else questions[self.shard.begin : self.shard.end]

    def left(self, answered: AbstractSet[str], failed: AbstractSet[str]) -> list[Query]:
        """What is still to be asked, or to be asked again, of a run with these answers."""
        settled = answered - failed if self.retry_errors else answered
        return [question.query for question in self.asked if question.id not in settled]

    @property
    def is_timed(self) -> bool:
        """Whether the time of answering in batches is recorded."""
        return self.measuring.timings and not self.reply_megabytes

    def is_complete(self, root: Path) -> bool:
        """Whether nothing is left to do: answered, measured and scored."""
        return self.is_answered(root) and self.is_measured(root)

    def is_answered(self, root: Path) -> bool:
        """Whether nothing is left to do but measuring."""
        folder = self.config.folder(root)
        if self.shard is not None and not is_finished(folder):
            return self._is_shard_answered(folder)
        return (
            is_finished(folder)
            and gold_path(root, self.config.task).exists()
            and self._is_scored_alike(folder)
            and is_scored(folder)
            and not (self.retry_errors and has_errors(folder / "predictions.jsonl"))
        )

    def _is_shard_answered(self, folder: Path) -> bool:
        path = folder / PREDICTIONS
        # Its costs are noted last.
        if not path.exists() or read_performance(folder).usage is None or read_unanswered(folder):
            return False
        failed = {row["question_id"]: row.get("error") for _, row in read_predictions(path)}
        is_there = all(question.id in failed for question in self.asked)
        return is_there and not (self.retry_errors and any(failed.values()))

    def _is_scored_alike(self, folder: Path) -> bool:
        manifest, asked = read_manifest(folder), self.data.card.scored_by
        return {name: getattr(manifest, name) for name in asked} == asked

    def is_measured(self, root: Path) -> bool:
        """Whether nothing is left to measure."""
        latency = read_performance(self.config.folder(root)).latency
        return self.measuring.is_done(latency, len(self.data.questions))
