"""What a bridge is worth on held-out train questions: their answers after a vector, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from harness.llm.requests import GenerateRequest
from harness.metrics.answer import token_f1
from harness.metrics.statistics.pairs import compare_pair
from methods.parametric_qa.write.sequences import pack, row_losses, target_logits
from methods.xrag.material import Asked, Material, Vectors, others
from methods.xrag.prompts import reading_prompt

if TYPE_CHECKING:
    from torch import Tensor

    from harness.llm.local import LocalModel
    from harness.retrieval.encoders import Encoder
    from methods.parametric_qa.train.training_data import TrainingTask
    from methods.xrag.bridge import Bridge

MAX_TOKENS, BATCH = 32, 16
MOST = 240
"""Held-out questions that a bridge is measured on."""
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
    llm: LocalModel, bridge: Bridge, encoder: Encoder, tasks: Sequence[TrainingTask]
) -> dict[str, Any]:
    """F1 and loss of held-out answers after the gold passage's vector, another one's and none.

    JSON-able; of at most ``MOST`` questions, in turn from each task. ``against`` pairs the first
    with the others, question by question: the mean difference in F1 and its interval.
    """
    vectors = Vectors(tasks, encoder)
    material = Material(llm, tasks, 0, 0, 0)
    asked = material.validation[:MOST]
    if not asked:
        return {"questions": 0, "f1": {}, "loss": {}, "against": {}}
    read = {OWN: asked, OTHER: others(asked), NONE: None}
    scores = {
        name: _score(llm, material, asked, _bridged(bridge, vectors, shown))
        for name, shown in read.items()
    }
    pairs = {name: compare_pair(scores[name].f1, scores[OWN].f1) for name in (OTHER, NONE)}
    return {
        "questions": len(asked),
        "tasks": {task.name: sum(x.task is task for x in asked) for task in tasks},
        "f1": {name: round(score.mean_f1, 4) for name, score in scores.items()},
        "loss": {name: round(score.mean_loss, 4) for name, score in scores.items()},
        "against": {
            name: {
                "difference": round(pair.difference, 4),
                "interval": [round(pair.interval.low, 4), round(pair.interval.high, 4)],
                "p_value": round(pair.p_value, 5),
            }
            for name, pair in pairs.items()
        },
    }


def _bridged(bridge: Bridge, vectors: Vectors, read: Sequence[Asked] | None) -> Tensor | None:
    """What the model reads [questions, hidden]."""
    if read is None:
        return None
    with torch.no_grad():
        return bridge(torch.stack([vectors.plain(each.task, each.passage) for each in read]))


def _score(
    llm: LocalModel, material: Material, asked: Sequence[Asked], read: Tensor | None
) -> Score:
    segments = [()] * len(asked) if read is None else [(one,) for one in read.split(1)]
    count = int(read is not None)
    prompts = [reading_prompt(each.question.text, count) for each in asked]
    stop = ("\n",) if llm.prompt_style == "completion" else ()
    requests = [
        GenerateRequest(
            prompt.render(llm.prompt_style), MAX_TOKENS, stop, soft_prompts=shown, one_line=True
        )
        for prompt, shown in zip(prompts, segments, strict=True)
    ]
    said = dict(llm.generate(requests))
    f1 = [token_f1(said[n].first_line, x.question.golden_answers) for n, x in enumerate(asked)]
    return Score(f1, answer_losses(llm, material, asked, read).tolist())


def answer_losses(
    llm: LocalModel, material: Material, asked: Sequence[Asked], read: Tensor | None
) -> Tensor:
    """Of golden answers [questions], in nats a token, after what is read [questions, hidden]."""
    found = [torch.empty(0)]
    with torch.no_grad():
        for start in range(0, len(asked), BATCH):
            part = asked[start : start + BATCH]
            rows = [material.answering(each, int(read is not None)) for each in part]
            if read is not None:
                shown = read[start : start + BATCH].split(1)
                rows = [replace(row, memories=[x]) for row, x in zip(rows, shown, strict=True)]
            packed = pack(llm.model, rows)
            found.append(row_losses(target_logits(llm.model, packed), packed.targets).cpu())
    return torch.cat(found)
