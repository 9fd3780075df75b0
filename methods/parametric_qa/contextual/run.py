"""The run of a contextual training on one machine, within so many seconds whatever its speed.

Phases by the clock: the reader learns to answer from text; what it predicts is kept as the
teacher's; then encoder, reader and selection learn together. ``state.safetensors`` in the folder is
at all times the best state validated so far.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import RunFailedError
from methods.parametric_qa.contextual.draws import Draws
from methods.parametric_qa.contextual.losses import (
    Taught,
    step_losses,
    teach,
    text_loss,
    total,
)
from methods.parametric_qa.contextual.network import Frozen, Runner, compiled
from methods.parametric_qa.contextual.pace import Pace, Phase
from methods.parametric_qa.contextual.pool import Pool
from methods.parametric_qa.contextual.recipe import Recipe
from methods.parametric_qa.contextual.record import Log, Run, Say, note_measured, write_notes
from methods.parametric_qa.contextual.state import STATE, TEACHER, load_state, save_state
from methods.parametric_qa.contextual.student import Passes, Student, texts_of
from methods.parametric_qa.contextual.validation import (
    gold_loss,
    measure,
    measure_text,
    views,
)

CLIP = 1.0
CHECKPOINTS = 6
"""States that are validated, and saved if they are the best, at even distances of time."""
TEACHING = 0.06
"""Share of the time that is left, for the teacher's predictions, at most."""
FIT, MOST_SKIPPED = 0.8, 20
HELD, QUICK, OTHERS = 480, 160, 1000
"""Held-out rows at the end and in between, and passages beside theirs."""


def train(
    recipe: Recipe,
    pool: Pool,
    frozen: Frozen,
    decode: Callable[[Sequence[int]], str],
    out: Path,
    pace: Pace,
    say: Say,
    *,
    compile_layers: bool = False,
) -> Run:
    """Train until the pace's time is over, validate and save; see the module."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    torch.set_float32_matmul_precision("high")
    student = Student(frozen, recipe).to(frozen.embed.device)
    runner = Runner(frozen, compiled()) if compile_layers else Runner(frozen)
    passes = Passes(frozen, student, pool.meta["start"], runner)
    run = Run(recipe, pool, passes, Draws(pool, recipe), pace, out, say, decode)
    say(f"{len(run.draws.train)} rows, {len(pool.passages)} passages, {passes.device}")
    taught = _teacher(run) if recipe.teacher else None
    _begin(run)
    _student(run, taught)
    _finish(run)
    return run


def _optimizer(run: Run, adapters: Sequence[nn.Module], own: Sequence[nn.Parameter]) -> Any:
    recipe = run.recipe
    groups = [
        {"params": [p for a in adapters for p in a.parameters()], "lr": recipe.learning_rate},
        {"params": list(own), "lr": recipe.own_learning_rate},
    ]
    kept = [group for group in groups if group["params"]]
    fused = run.passes.device.type == "cuda"
    return torch.optim.AdamW(kept, weight_decay=0.0, betas=(0.9, 0.98), fused=fused)


def _steps(
    run: Run, phase: Phase, optimizer: Any, losses: Callable[[], dict[str, Tensor]]
) -> Iterator[None]:
    """Steps until the phase is over; yields after each."""
    rates = [group["lr"] for group in optimizer.param_groups]
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    log = Log(run, phase)
    while not phase.over:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * phase.rate
        optimizer.zero_grad(set_to_none=True)
        fits = False
        found: dict[str, Tensor] = {}
        # Memory is freed once the error, which holds the step's tensors, is gone.
        with suppress(torch.OutOfMemoryError):
            found = losses()
            total(found, run.recipe).backward()  # type: ignore[no-untyped-call]
            fits = True
        if not fits:
            del found
            _smaller(run)
            continue
        norm = float(torch.nn.utils.clip_grad_norm_(weights, CLIP))
        if isfinite(norm):
            optimizer.step()
        else:
            run.skipped += 1
        run.steps += 1
        log.step(found)
        yield


def _smaller(run: Run) -> None:
    """Go on with smaller steps: this one did not fit into memory."""
    run.draws.part *= FIT
    run.skipped += 1
    if run.skipped > MOST_SKIPPED:
        raise RunFailedError(
            f"{run.skipped} steps did not fit into memory; lower the recipe's sizes"
        )
    gc.collect()
    torch.cuda.empty_cache()
    run.say(
        f"{run.pace.seconds:6.1f} s: out of memory, now {run.draws.part:.2f} of the recipe's rows"
    )


def _teacher(run: Run) -> Taught:
    """Tune the reader on text, keep what it is and what it predicts."""
    recipe, begin = run.recipe, run.pace.seconds
    end = begin + recipe.teacher * (run.pace.training - begin)
    phase = Phase(run.pace, begin, end, recipe.warmup, last=0.1)
    optimizer = _optimizer(run, [run.passes.student.reader], [])

    def losses() -> dict[str, Tensor]:
        return {
            "text": text_loss(
                run.passes,
                run.pool,
                run.draws.rows(max(1, int(recipe.teacher_rows * run.draws.part))),
            )
        }

    for _ in _steps(run, phase, optimizer, losses):
        pass
    held = [n for n in range(len(run.pool.held_out)) if run.pool.held_out[n]][:HELD]
    note_measured(run, measure_text(run.passes, run.pool, held, run.decode))
    save_state(run.out / TEACHER, {"reader": run.passes.student.reader})
    began = run.pace.seconds
    latest = began + TEACHING * (run.pace.training - began)
    rows = run.draws.source.permutation(run.draws.train).tolist()
    batch = 4 * recipe.teacher_rows
    taught, done = teach(run.passes, run.pool, rows, batch, lambda: run.pace.seconds < latest)
    took = run.pace.seconds - began
    run.say(f"{run.pace.seconds:6.1f} s: predictions of {done} rows by the teacher, {took:.1f} s")
    return taught


@torch.no_grad()
def _begin(run: Run) -> None:
    """Maps that suit the hidden states that the encoder has before it is trained."""
    passes, student = run.passes, run.passes.student
    texts = texts_of(run.pool.passages, run.draws.free[:64].tolist())
    hidden = passes.states(passes.encoder(), texts, student.tokens)
    student.begin(hidden.flatten(0, 1), passes.frozen.embed)


def _student(run: Run, taught: Taught | None) -> None:
    student, pace = run.passes.student, run.pace
    own = [
        p for name, p in student.named_parameters() if not name.startswith(("reader", "encoder"))
    ]
    optimizer = _optimizer(run, [student.reader, student.encoder], own)
    phase = Phase(pace, pace.seconds, pace.training, run.recipe.warmup)

    def losses() -> dict[str, Tensor]:
        return step_losses(run.passes, run.pool, run.draws, run.recipe, taught, phase.done)

    checked = 0
    for _ in _steps(run, phase, optimizer, losses):
        if phase.done * CHECKPOINTS >= checked + 1:
            checked += 1
            _check(run)


def _check(run: Run) -> None:
    """Validate quickly; save if it is the best so far."""
    began = run.pace.seconds
    seen = views(run.passes, run.pool, run.draws.free.tolist(), QUICK, 0)
    loss = gold_loss(run.passes, run.pool, seen, run.recipe.sizes[0])
    run.note("validation loss gold", loss)
    kept = loss < run.best or run.saved < 0
    if kept:
        run.best, run.saved = loss, run.steps
        save_state(run.out / STATE, {"": run.passes.student})
    write_notes(run, {})
    run.say(
        f"{run.pace.seconds:6.1f} s, step {run.steps}: validation loss {loss:.3f}"
        f"{', saved' if kept else ''} ({run.pace.seconds - began:.1f} s)"
    )


def _finish(run: Run) -> None:
    _check(run)
    if run.saved != run.steps:
        load_state(run.out / STATE, run.passes.student)
    found: dict[str, float] = {}
    seen = views(run.passes, run.pool, run.draws.free.tolist(), HELD, OTHERS)
    for size in run.recipe.sizes:
        if run.pace.left < 0.02 * run.pace.budget:
            break
        part = measure(run.passes, run.pool, seen, [size], run.decode, all_kinds=not found)
        found |= part
        note_measured(run, part)
    write_notes(run, found)
