"""The stop rule's training: after which first rounds all gold documents are among the chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from methods.parametric_qa.choose import covered, enough_covered
from methods.parametric_qa.shared.stop import StopRule, round_figures
from methods.parametric_qa.train.features import in_turn

if TYPE_CHECKING:
    from harness.records import Question
    from methods.parametric_qa.shared.bundle import Bundle
    from methods.parametric_qa.train.curves import Curves
    from methods.parametric_qa.train.features import Features
    from methods.parametric_qa.train.passage_codes import PassageCodes

CHOSEN = (1, 2, 3)
"""How many documents a first round chooses; each question is learned from with each."""
MOST = 1000
"""Train questions that are learned from, in turn from each task."""


@dataclass(frozen=True, slots=True)
class Round:
    """A first round: its figures, what the fixed rule says, and whether all gold is chosen."""

    figures: list[float]
    fixed: bool
    enough: bool


def train_stop(
    bundle: Bundle, codes: PassageCodes, features: Features, curves: Curves, step: int
) -> StopRule | None:
    """The rule of train questions among the free passages; None without any.

    How often it is right on validation questions, among all passages, is noted beside the fixed
    rule's.
    """
    taught = in_turn({name: task.train for name, task in features.tasks.items()}, MOST)
    rounds = _rounds(bundle, codes, features, taught, free=True)
    if not rounds:
        return None
    rule = StopRule.fit([r.figures for r in rounds], [r.enough for r in rounds])
    for name, task in features.tasks.items():
        held = _rounds(bundle, codes, features, [(name, q) for q in task.validation], free=False)
        if held:
            right = sum(rule.stops(r.figures) == r.enough for r in held) / len(held)
            curves.add(step, f"validation stop {name}", right)
            fixed = sum(r.fixed == r.enough for r in held) / len(held)
            curves.add(step, f"validation stop by the fixed rule {name}", fixed)
    return rule


def _rounds(
    bundle: Bundle,
    codes: PassageCodes,
    features: Features,
    asked: Sequence[tuple[str, Question]],
    *,
    free: bool,
) -> list[Round]:
    """First rounds of each question; ``free``: among passages that no evaluated question needs."""
    found = []
    for name in dict.fromkeys(task for task, _ in asked):
        task = features.tasks[name]
        ids = list(task.free if free else task.corpus.ids)
        with torch.inference_mode():
            groups = [ids[start : start + 256] for start in range(0, len(ids), 256)]
            keys = torch.cat([bundle.selector.keys(codes.of(name, group)) for group in groups])
            for question in (q for other, q in asked if other == name):
                tokens = features.question_embeddings(question.text)
                scores = bundle.selector.scores(tokens, keys)
                best = scores.argsort(descending=True, stable=True)[: max(CHOSEN)].tolist()
                for count in CHOSEN:
                    chosen = [ids[row] for row in best[:count]]
                    memories = bundle.parts.up(codes.of(name, chosen)).flatten(0, 1)
                    left = int((~covered(tokens, memories)).sum())
                    figures = round_figures(len(tokens), left, scores, len(chosen))
                    fixed = enough_covered(len(tokens), left)
                    found.append(Round(figures, fixed, set(question.gold_doc_ids) <= set(chosen)))
    return found
