"""The training of shared parts, reader and selector by a recipe; resumable, seeded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness.files import writing
from harness.fingerprint import fingerprint
from methods.parametric_qa.shared.bundle import Bundle
from methods.parametric_qa.shared.encoder import DocumentEncoder, Encoder
from methods.parametric_qa.shared.gradients import checkpointed, without_dropout
from methods.parametric_qa.shared.parts import SharedParts
from methods.parametric_qa.shared.span_encoder import SpanEncoder
from methods.parametric_qa.train.checkpoint import checkpoint_state
from methods.parametric_qa.train.checks import check_entry
from methods.parametric_qa.train.curves import Curves
from methods.parametric_qa.train.features import Features
from methods.parametric_qa.train.objectives import Objectives, Ranked, nothing
from methods.parametric_qa.train.passage_codes import PassageCodes
from methods.parametric_qa.train.recipe import Recipe
from methods.parametric_qa.train.save_trained import save_trained
from methods.parametric_qa.train.start import Start, started
from methods.parametric_qa.train.train_reader import Reader
from methods.parametric_qa.train.train_selector import ranking, recall_at, train_selector
from methods.parametric_qa.train.train_stop import train_stop
from methods.parametric_qa.train.tuning import faster_dtype, trainable, tuned

if TYPE_CHECKING:
    from rich.console import Console

    from harness.data.trained_on import TrainedOn
    from harness.llm.local import LocalModel
    from methods.parametric_qa.shared.selection import Selector
    from methods.parametric_qa.train.training_data import TrainingTask


def train(
    recipe: Recipe,
    llm: LocalModel,
    tasks: Sequence[TrainingTask],
    out: Path,
    console: Console,
    before: Iterable[TrainedOn] = (),
    files: Mapping[str, str] | None = None,
) -> Path:
    """Train by ``recipe`` and write a bundle to ``out``; an interrupted training goes on.

    ``llm`` is changed by it and of no use afterwards; ``before`` is what it had learnt from, and
    ``files`` are hashes of the recipe's sources.
    ``curves.csv`` holds losses and validation.
    Earlier shared parts in ``out`` are replaced once all is trained. Raises ConfigError for a model
    that the recipe cannot train, InputError for a passage too long for an encoder, and
    RunFailedError for a loss that is NaN.
    """
    check_entry(recipe, llm.config)
    start = started(recipe, llm)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    features = Features(llm, tasks, recipe.sources)
    curves = Curves(out / "curves.csv")
    with llm.adapted(start.kept) if start is not None else nullcontext():
        bundle = _untrained(recipe, llm, features, start)
        model = _train_reader(recipe, llm, features, bundle, start, out, curves, console)
        bundle = _train_selection(recipe, features, bundle, start, curves, console)
        curves.write()
        account = _account(recipe, llm, features, curves, files or {})
        if start:
            before = (*before, start.trained)
        save_trained(llm, model, recipe, bundle, start, tasks, out, account, before)
    return out


def _untrained(
    recipe: Recipe, llm: LocalModel, features: Features, start: Start | None = None
) -> Bundle:
    """What training begins with; an encoder of ``start`` is taken if it is of the recipe's kind."""
    if start and not start.reader_alone:
        bundle = start.bundle
    else:
        parts = SharedParts.from_model(
            llm, recipe.slots, recipe.z_dim, recipe.sharpness, picks=recipe.picks
        )
        parts.salience.copy_(features.salience())
        if recipe.picks:
            parts.telling.copy_(features.telling(recipe.asking))
        bundle = Bundle.untrained(parts, recipe.selector, features.table)
    if recipe.init == "spans":
        return replace(bundle, encoder=None)
    if bundle.encoder is not None and bundle.encoder.kind == recipe.init:
        return bundle
    encoder: DocumentEncoder
    if recipe.init == "encoder":
        encoder = Encoder.from_model(llm, bundle.parts, recipe.seed)
    else:
        shape = recipe.encoder
        encoder = SpanEncoder.from_model(llm, bundle.parts, recipe.seed, shape.layers, shape.rank)
    for name, task in features.tasks.items():
        ids = list(task.corpus.ids)
        encoder.check_fits(llm, [features.tokens(name, id_) for id_ in ids], ids)
    return replace(bundle, encoder=encoder)


def _train_reader(
    recipe: Recipe,
    llm: LocalModel,
    features: Features,
    bundle: Bundle,
    start: Start | None,
    out: Path,
    curves: Curves,
    console: Console,
) -> Any:
    """Train in place; the model with what was trained of it."""
    from harness.progress import bar

    # Rows of gold memories alone need no others.
    ranked = _candidates(bundle, features) if recipe.alone < recipe.steps else nothing
    style = {} if llm.prompt_style == "completion" else {"prompt_style": llm.prompt_style}
    folder = out / f"checkpoint-{fingerprint(recipe.model_dump(mode='json') | style)[:12]}"
    with writing(folder):
        folder.mkdir(exist_ok=True)
    if llm.config.quantization is None and recipe.tuning.mode != "full":
        llm.model.to(_dtype(recipe, llm, folder))
    if llm.device.type == "cpu":
        # On short rows the fused kernel takes longer, and forty times so in bfloat16.
        llm.model.set_attn_implementation("eager")
    mode, rank = recipe.tuning.mode, recipe.tuning.rank
    model = tuned(llm.model, mode, rank, recipe.seed, start.trained_adapter if start else None)
    objectives = Objectives(features, recipe, bundle, ranked)
    if start is not None and start.further:
        objectives.start = {n: p.detach().clone() for n, p in trainable(model).items()}
    run = Reader(recipe, model, objectives)
    first = run.resume(folder, curves)
    if start is not None and first == 0:
        curves.validated(0, run.validate())
    spared = checkpointed(model) if recipe.tuning.gradient_checkpointing else nullcontext()
    with bar(console, "reader", recipe.steps, first) as shown, without_dropout(model), spared:
        for step in range(first + 1, recipe.steps + 1):
            kind, loss = run.step(step)
            curves.add(step, f"loss {kind}", loss)
            if step % recipe.validate_every == 0 or step == recipe.steps:
                curves.validated(step, run.validate())
            if step % recipe.checkpoint_every == 0 or step == recipe.steps:
                run.keep(folder, step, curves)
            shown.advance()
    for module in run.modules.values():
        module.requires_grad_(False)
    return model


def _dtype(recipe: Recipe, llm: LocalModel, folder: Path) -> torch.dtype:
    """Of the frozen weights; what was measured to be faster once stays so until the end."""
    name = checkpoint_state(folder).get("dtype") or recipe.dtype
    return faster_dtype(llm.device) if name == "auto" else getattr(torch, name)


def _candidates(bundle: Bundle, features: Features) -> Ranked:
    """Free passages that are found for each train question, best first.

    Those of token codes by words, as reading finds them; others by the untrained selector and
    their span means in any case, since codes of an untrained encoder mean nothing.
    """
    if bundle.parts.config.picks:
        return features.found
    codes = PassageCodes(features, bundle.parts)
    found: dict[tuple[str, str], list[str]] = {}
    for name, task in features.tasks.items():
        free = set(task.free)
        ranked = ranking(bundle.selector, codes, features, name, task.train)
        found |= {(name, id_): [p for p in ids if p in free] for id_, ids in ranked.items()}
    return lambda task, question: found.get((task, question.id), ())


def _final_codes(features: Features, bundle: Bundle, console: Console) -> PassageCodes:
    """What the reader will read; an encoder takes one forward pass for each passage."""
    from harness.progress import bar

    total = sum(len(task.corpus) for task in features.tasks.values())
    with bar(console, "codes of passages", total) as shown:
        return PassageCodes(features, bundle.parts, bundle.encoder, shown.advance)


def _train_selection(
    recipe: Recipe,
    features: Features,
    bundle: Bundle,
    start: Start | None,
    curves: Curves,
    console: Console,
) -> Bundle:
    """The bundle with its selector trained in place, and with a stop rule if one is learned."""
    selects, stops = recipe.selection.steps or not start, recipe.stop == "learned"
    # A rule of before is of the codes of before.
    bundle = replace(bundle, stop=None)
    if not selects and not stops:
        return bundle
    codes = _final_codes(features, bundle, console)
    if selects:
        _train_selector(recipe, features, bundle.selector, codes, curves, console)
    if not stops:
        return bundle
    rule = train_stop(bundle, codes, features, curves, recipe.selection.steps)
    return replace(bundle, stop=rule)


def _train_selector(
    recipe: Recipe,
    features: Features,
    selector: Selector,
    codes: PassageCodes,
    curves: Curves,
    console: Console,
) -> None:
    from harness.progress import bar

    _measure_selection(selector, codes, features, curves, 0)
    with bar(console, "selector", recipe.selection.steps) as shown:

        def record(step: int, loss: float) -> None:
            curves.add(step, "selector loss", loss)
            shown.advance()

        train_selector(selector, codes, features, recipe.selection, recipe.seed, record)
    _measure_selection(selector, codes, features, curves, recipe.selection.steps)


def _measure_selection(
    selector: Selector, codes: PassageCodes, features: Features, curves: Curves, step: int
) -> None:
    """Recall@5 on validation questions over each task's whole pool."""
    for name, task in features.tasks.items():
        ranked = ranking(selector, codes, features, name, task.validation)
        curves.add(step, f"validation recall@5 {name}", recall_at(ranked, task.validation, 5))


def _account(
    recipe: Recipe,
    llm: LocalModel,
    features: Features,
    curves: Curves,
    files: Mapping[str, str],
) -> dict[str, Any]:
    from harness.meters.hardware import describe_hardware
    from harness.runs.provenance import harness_version

    tasks = {n: t for n, t in features.tasks.items() if n not in recipe.sources}
    sources = {
        name: {
            "train questions": len(features.tasks[name].train),
            "held out": len(features.tasks[name].validation),
            "passages": len(features.tasks[name].corpus),
            "sha256": files.get(name),
        }
        for name in recipe.sources
    }
    return {
        "prompt_style": llm.prompt_style,
        "recipe": recipe.model_dump(mode="json"),
        "training": {
            "train questions": {n: len(t.train) for n, t in tasks.items()},
            "free passages": {n: len(t.free) for n, t in tasks.items()},
            "corpora": {n: t.corpus.fingerprint for n, t in tasks.items()},
            **({"sources": sources} if sources else {}),
            "dtype": str(llm.model.dtype).removeprefix("torch."),
            "seconds": round(curves.seconds),
            "hardware": describe_hardware().record(str(llm.device)),
            "harness": harness_version(),
            "date": datetime.now(UTC).date().isoformat(),
        },
    }
