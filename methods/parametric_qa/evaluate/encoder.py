"""What an encoder adds to span codes, on train questions that its training held out.

Each question is asked with the memory of its gold passage: written by the encoder, of span means,
and another question's; and with none. The reader, the prompt and the bank's rounding are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness.boards.changing.asking import circumstances
from harness.errors import ConfigError
from harness.files import read_json
from harness.llm.requests import GenerateRequest
from harness.metrics.answer import exact_match, token_f1
from methods.parametric_qa.memory.quantise import quantised
from methods.parametric_qa.prompts import reading_prompt
from methods.parametric_qa.reader import check_shared
from methods.parametric_qa.shared.bundle import Bundle, adapter_of
from methods.parametric_qa.shared.parts import CONFIG_FILE, SharedParts
from methods.parametric_qa.train.features import Features
from methods.parametric_qa.train.recipe import Recipe
from methods.parametric_qa.train.row_sources import source_tasks
from methods.parametric_qa.train.training_data import read_training_tasks
from methods.parametric_qa.write.codes import first_codes
from methods.parametric_qa.write.sequences import Row, pack, target_logits, token_losses
from methods.recipes import parsed

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from harness.llm.model_config import ModelConfig
    from harness.records import Question
    from methods.parametric_qa.train.training_data import TrainingTask

BATCH = 16
LONGEST = 32
"""Tokens of an answer."""
Views = Mapping[str, Sequence[tuple[Tensor, ...]]]
"""What is read for each question, by view: memories [1 + slots, hidden]."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question: nats of its golden answer (summed over ``tokens``), EM and F1, by view."""

    task: str
    id: str
    tokens: int
    nats: dict[str, float]
    em: dict[str, float]
    f1: dict[str, float]


@dataclass(frozen=True, slots=True)
class EncoderEvaluation:
    """Where the figures come from, and a record a question."""

    facts: dict[str, Any]
    questions: list[Asked]

    def rows(self) -> list[dict[str, Any]]:
        """The records, flat."""
        return [
            {
                **{key: value for key, value in asdict(record).items() if key in ("task", "id")},
                "tokens": record.tokens,
                **{f"nats {view}": round(value, 5) for view, value in record.nats.items()},
                **{f"em {view}": value for view, value in record.em.items()},
                **{f"f1 {view}": round(value, 5) for view, value in record.f1.items()},
            }
            for record in self.questions
        ]


@dataclass(frozen=True, slots=True)
class Trained:
    """Shared parts with an encoder, and what they were trained on."""

    shared: str
    bundle: Bundle
    recipe: Recipe
    tasks: list[TrainingTask]


def read_trained(shared: str, rows: Path | None, model: ModelConfig) -> Trained:
    """All that is asked without the model; ``rows`` is the folder of the recipe's sources.

    Raises ConfigError for shared parts without an encoder or an account of their training, or of
    another style than the model's.
    """
    bundle = check_shared(shared, model)
    if bundle is None or bundle.folder is None or bundle.encoder is None:
        raise ConfigError(f"shared parts '{shared}' have no encoder; train one (init)")
    recipe = _recipe(bundle.folder)
    tasks = read_training_tasks(recipe.tasks) + source_tasks(recipe.sources, recipe.tasks, rows)
    return Trained(shared, bundle, recipe, tasks)


def evaluate_encoder(llm: LocalModel, trained: Trained, questions: int) -> EncoderEvaluation:
    """Ask at most ``questions`` held-out questions, in turn from each task and source.

    Raises ConfigError for shared parts of another model.
    """
    bundle, recipe = trained.bundle, trained.recipe
    assert bundle.folder is not None  # it was read
    bundle.parts.check_model(llm.model, llm.name)
    features = Features(llm, trained.tasks)
    asked = features.validation(questions)
    with llm.adapted(adapter_of(bundle.folder)), torch.no_grad():
        views = _views(llm, bundle, features, asked)
        nats = {view: answer_nats(llm, features, asked, read) for view, read in views.items()}
        written = {view: _answers(llm, asked, views[view]) for view in ("encoder", "spans")}
    facts = {
        "model": llm.name,
        "shared": trained.shared,
        "recipe": recipe.name,
        "sources": {name: sum(task == name for task, _ in asked) for name in features.tasks},
        **circumstances(),
    }
    return EncoderEvaluation(facts, _records(asked, nats, written))


def _recipe(folder: Path) -> Recipe:
    path = folder / CONFIG_FILE
    values = read_json(path).get("recipe")
    if values is None:
        raise ConfigError(f"{path}: no recipe, so nobody knows which questions were held out")
    return parsed(Recipe, values, str(path))


def _views(
    llm: LocalModel, bundle: Bundle, features: Features, asked: Sequence[tuple[str, Question]]
) -> Views:
    """Memories of each question's first gold passage, by who wrote them."""
    documents = [features.tokens(task, q.gold_doc_ids[0]) for task, q in asked]
    names = [q.gold_doc_ids[0] for _, q in asked]
    made = {}
    for view, init in (("encoder", "encoder"), ("spans", "spans")):
        codes = first_codes(llm, bundle.parts, bundle.encoder, documents, names, init, 0)
        made[view] = _memories(bundle.parts, codes)
    others = [*made["encoder"][1:], *made["encoder"][:1]]
    return {**made, "other": others, "none": [()] * len(asked)}


def _memories(parts: SharedParts, codes: Tensor) -> list[tuple[Tensor, ...]]:
    return [(memory,) for memory in parts.memory(quantised(codes, "int8"))]


def answer_nats(
    llm: LocalModel,
    features: Features,
    asked: Sequence[tuple[str, Question]],
    read: Sequence[tuple[Tensor, ...]],
) -> list[tuple[int, float]]:
    """Tokens and summed nats of each golden answer, after the memories read for its question."""
    rows = []
    for (task, question), memories in zip(asked, read, strict=True):
        prompt = reading_prompt(question.text, len(memories))
        answer = f" {features.answer(task, question)}"
        _, (reply,) = llm.pairs(prompt.render(llm.prompt_style), [answer])
        rows.append(Row(llm.parts(prompt), memories, reply))
    found = []
    for start in range(0, len(rows), BATCH):
        packed = pack(llm.model, rows[start : start + BATCH])
        losses = token_losses(target_logits(llm.model, packed), packed.targets)
        counts = (packed.targets != -100).sum(dim=1)
        found += list(zip(counts.tolist(), losses.sum(dim=1).tolist(), strict=True))
    return found


def _answers(
    llm: LocalModel, asked: Sequence[tuple[str, Question]], read: Sequence[tuple[Tensor, ...]]
) -> list[str]:
    requests = [
        GenerateRequest(
            reading_prompt(question.text, len(memories)).render(llm.prompt_style),
            max_tokens=LONGEST,
            soft_prompts=memories,
            one_line=True,
        )
        for (_, question), memories in zip(asked, read, strict=True)
    ]
    replies = dict(llm.generate(requests))
    return [replies[number].first_line for number in range(len(requests))]


def _records(
    asked: Sequence[tuple[str, Question]],
    nats: Mapping[str, Sequence[tuple[int, float]]],
    written: Mapping[str, Sequence[str]],
) -> list[Asked]:
    records = []
    for n, (task, question) in enumerate(asked):
        golds = question.golden_answers
        records.append(
            Asked(
                task,
                question.id,
                nats["encoder"][n][0],
                {view: values[n][1] for view, values in nats.items()},
                {view: exact_match(texts[n], golds) for view, texts in written.items()},
                {view: token_f1(texts[n], golds) for view, texts in written.items()},
            )
        )
    return records
