"""Refusals that a run's plan tells, before any model is loaded and any index built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.boards.needs import check_needs
from harness.data.demonstrations import check_shots
from harness.errors import CapabilityError, ConfigError, InputError
from harness.llm.backends import most, withheld
from harness.llm.requests import Capability
from harness.metrics import try_metrics
from harness.runs.manifest import MANIFEST, read_manifest
from harness.runs.write_phase import is_written, memory_path

if TYPE_CHECKING:
    from harness.data.task import TaskData
    from harness.llm.model_config import ModelConfig
    from harness.method import Method
    from harness.runs.plan import RunPlan


@dataclass(slots=True)
class Expected:
    """A model by its entry: the most that it may offer once it is open."""

    name: str
    capabilities: frozenset[Capability]
    trained_for: frozenset[str]

    @classmethod
    def of(cls, config: ModelConfig) -> Expected:
        """The most of its kind."""
        offered = most(config.kind) - withheld(config)
        return cls(config.name, offered, frozenset(config.trained_for))

    def has_token(self, text: str) -> bool:
        """Only an open model knows."""
        return True


def check_plan(plan: RunPlan, root: Path) -> None:
    """Raise InputError for data that are not enough, CapabilityError for a model of another kind.

    ConfigError for a task that the method cannot be asked and for a folder in ``root`` that holds
    another shard, HarnessError for an encoder that cannot be got, for a prebuilt index that is not
    of the corpus, for files of the method that are missing or do not fit the model, and for what
    would stop the writing of a memory that ``root`` lacks.
    """
    from harness.retrieval.open import check_retriever

    _check_shard(plan, plan.config.folder(root))
    check_data(plan.method, plan.data)
    check_needs(plan.config.method.name, plan.method, Expected.of(plan.model))
    plan.method.check_entry(plan.model)
    if plan.method.retriever_name is not None:
        settings = plan.method.retriever_settings
        check_retriever(plan.method.retriever_name, plan.data.corpus, settings)
    takes = plan.model.kind == "transformers" or "adapters" in Expected.of(plan.model).capabilities
    if plan.method.adapter is not None and not takes:
        raise CapabilityError(
            f"model '{plan.model.name}' cannot take the method's adapter "
            f"('{plan.method.adapter}'); only a local transformers model can, or one in vLLM with "
            "max_lora_rank"
        )
    if not is_written(memory_path(root, plan.config, type(plan.method))):
        plan.method.check_write(plan.data.train)


def _check_shard(plan: RunPlan, folder: Path) -> None:
    if plan.shard is None or not (folder / MANIFEST).exists():
        return
    manifest = read_manifest(folder)
    if not manifest.has_ended and manifest.shard != plan.shard:
        held = manifest.shard.text if manifest.shard else "an unfinished run of all questions"
        raise ConfigError(f"{folder}: holds {held}, not {plan.shard.text}; give each part an --out")


def check_data(method: Method, data: TaskData) -> None:
    """Raise InputError for too few train questions, no gold or a metric that cannot score.

    ConfigError for a wrong task.
    """
    check_shots(data, method.params.shots)
    if method.reads_gold and not any(question.gold_doc_ids for question in data.questions):
        raise InputError(
            f"task '{data.name}': no question names its gold passages (gold_doc_ids), which "
            f"'{method.card.title}' reads; mark them, or leave this method out"
        )
    method.check_task(data.card)
    try_metrics(data.card.metrics, data.questions[0].golden_answers)
