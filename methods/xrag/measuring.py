"""What a bridge is worth on held-out train questions: their answers after a vector, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from harness.llm.requests import GenerateRequest
from harness.metrics.answer import token_f1
from harness.metrics.statistics.intervals import difference_ci
from harness.metrics.statistics.resampling import RESAMPLES, Floats, drawn_sums
from methods.parametric_qa.write.sequences import pack, row_losses, target_logits
from methods.xrag.material import Asked, Material, Vectors, others
from methods.xrag.prompts import reading_prompt

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from harness.retrieval.encoders import Encoder
    from methods.parametric_qa.train.training_data import TrainingTask
    from methods.xrag.bridge import Bridge

MAX_TOKENS, BATCH = 32, 16
Segments = Sequence[Tensor]
OWN, OTHER, NONE = "own vector", "another's vector", "no vector"


@dataclass(frozen=True, slots=True)
class Score:
    """Of each question: the F1 of what is answered, and the loss of the golden answer a token."""

    f1: list[float]
    loss: list[float]

    @property
    def mean_f1(self) -> float:
        """Over questions."""
        return sum(self.f1) / len(self.f1)

    @property
    def mean_loss(self) -> float:
        """In nats a token, over questions."""
        return sum(self.loss) / len(self.loss)


def measure(
    llm: LocalModel, bridge: Bridge, encoder: Encoder, tasks: Sequence[TrainingTask], most: int
) -> dict[str, Any]:
    """F1 and loss of held-out answers after the gold passage's vector, another one's and none.

    JSON-able; of at most ``most`` questions, in turn from each task. ``against`` pairs the first
    with the others, question by question: mean differences in F1 and in loss, each with its
    interval.
    """
    vectors = Vectors(tasks, encoder)
    material = Material(llm, tasks, 0, 0, 0)
    asked = material.validation[:most]
    if not asked:
        return {"questions": 0, "f1": {}, "loss": {}, "against": {}}
    read = {OWN: asked, OTHER: others(asked), NONE: None}
    scores = {
        name: _score(llm, material, asked, _bridged(bridge, vectors, shown))
        for name, shown in read.items()
    }
    return {
        "questions": len(asked),
        "tasks": {task.name: sum(x.task is task for x in asked) for task in tasks},
        "f1": {name: round(score.mean_f1, 4) for name, score in scores.items()},
        "loss": {name: round(score.mean_loss, 4) for name, score in scores.items()},
        "against": {name: _against(scores[OWN], scores[name]) for name in (OTHER, NONE)},
    }


def _against(own: Score, other: Score) -> dict[str, Any]:
    """What the own vector gives more than another, paired by question."""
    return {
        "f1": _paired(own.f1, other.f1, difference_ci),
        "loss": _paired(own.loss, other.loss, _drawn_ci),
    }


def _paired(
    own: list[float], other: list[float], interval: Callable[[Floats], tuple[float, float]]
) -> dict[str, Any]:
    differences = np.subtract(own, other)
    low, high = interval(differences)
    mean = float(differences.mean())
    return {"difference": round(mean, 4), "interval": [round(low, 4), round(high, 4)]}


def _drawn_ci(differences: Floats) -> tuple[float, float]:
    """A percentile bootstrap interval (95 %) of the mean: a loss has no upper bound."""
    means = drawn_sums(differences[np.newaxis], RESAMPLES, 0)[0] / len(differences)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _bridged(bridge: Bridge, vectors: Vectors, read: Sequence[Asked] | None) -> Segments | None:
    """What the model reads, [1, hidden] of each."""
    if read is None:
        return None
    with torch.no_grad():
        plain = [vectors.plain(each.task, each.passage) for each in read]
        return bridge.segments(torch.stack(plain))


def _score(
    llm: LocalModel, material: Material, asked: Sequence[Asked], read: Segments | None
) -> Score:
    shown: list[tuple[Tensor, ...]] = [()] * len(asked)
    if read is not None:
        shown = [(one,) for one in read]
    count = int(read is not None)
    prompts = [reading_prompt(each.question.text, count) for each in asked]
    stop = ("\n",) if llm.prompt_style == "completion" else ()
    requests = [
        GenerateRequest(
            prompt.render(llm.prompt_style), MAX_TOKENS, stop, soft_prompts=each, one_line=True
        )
        for prompt, each in zip(prompts, shown, strict=True)
    ]
    said = dict(llm.generate(requests))
    f1 = [token_f1(said[n].first_line, x.question.golden_answers) for n, x in enumerate(asked)]
    return Score(f1, answer_losses(llm, material, asked, read).tolist())


def answer_losses(
    llm: LocalModel, material: Material, asked: Sequence[Asked], read: Segments | None
) -> Tensor:
    """Of golden answers [questions], in nats a token, after what is read, [1, hidden] of each."""
    found = [torch.empty(0)]
    with torch.no_grad():
        for start in range(0, len(asked), BATCH):
            part = asked[start : start + BATCH]
            rows = [material.answering(each, int(read is not None)) for each in part]
            if read is not None:
                shown = read[start : start + BATCH]
                rows = [replace(row, memories=[x]) for row, x in zip(rows, shown, strict=True)]
            packed = pack(llm.model, rows)
            found.append(row_losses(target_logits(llm.model, packed), packed.targets).cpu())
    return torch.cat(found)
