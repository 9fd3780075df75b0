"""Writing: a document's code is optimised until the frozen model reads the document out of it.

Each document has its own code, so documents share a batch without sharing anything else: the loss
is a sum of per-document means, and every code is moved as it would be alone, up to rounding (the
default model's losses differed by up to 2e-3 nats a token after 3 steps).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from math import isfinite
from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from harness.errors import InputError, RunFailedError
from harness.llm.batches import length_sorted_batches
from harness.llm.halving import halving
from harness.llm.weights import model_fingerprint
from harness.progress import Bar, bar
from methods.parametric_qa.memory.batch_store import BatchStore
from methods.parametric_qa.prompts import recall_prompt
from methods.parametric_qa.shared.gradients import checkpointed, without_dropout
from methods.parametric_qa.write.sequences import Row, end_token, pack, row_losses, target_logits

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from harness.llm.local import LocalModel
    from methods.parametric_qa.shared.parts import SharedParts

CPU_TOKENS, GPU_TOKENS = 1024, 4096
"""Tokens of a batch. The logits of each, and their gradient, are as wide as the vocabulary."""
BETAS = (0.9, 0.9)
GAIN = 1e-3
"""Nats a token by which a loss must fall to count as a gain."""


class WriteSettings(BaseModel):
    """How codes are optimised."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(120, ge=0, le=1000, description="of Adam, at most")
    learning_rate: float = Field(
        0.3, gt=0, description="in standard deviations of each of a code's numbers"
    )
    anchor: float = Field(
        0.0, ge=0, description="weight of the squared distance to the initial code, so measured"
    )
    stop_below: float = Field(0.0, ge=0, description="loss in nats a token at which to stop")
    patience: int | None = Field(None, ge=1, description="steps without gain after which to stop")
    batch_tokens: int | None = Field(None, ge=1, description="tokens of a batch; None: by device")
    checkpointing: bool = Field(False, description="compute layers twice to save memory")


@dataclass(frozen=True, slots=True)
class DocumentReport:
    """Steps taken, and reconstruction loss (nats a token) of the first code and of the kept one.

    The losses are None if no step was asked for: then nothing is computed.
    """

    steps: int
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class Written:
    """Codes [documents, slots, z_dim], float32 on the CPU, and what became of each document."""

    codes: Tensor
    reports: tuple[DocumentReport, ...]


_Result = tuple[Tensor, DocumentReport]


def check_lengths(
    llm: LocalModel, slots: int, documents: Sequence[Sequence[int]], names: Sequence[str]
) -> None:
    """Raise InputError for the first document that does not fit the window beside its memory."""
    if llm.window is None:
        return
    asked = sum(map(len, llm.parts(recall_prompt())))
    room = llm.window - asked - slots - 2  # the memory's mark and the text's end token
    for document, name in zip(documents, names, strict=True):
        if len(document) > room:
            raise InputError(
                f"document {name!r} has {len(document)} tokens; beside a memory of {slots} slots "
                f"the window of '{llm.name}' ({llm.window}) leaves room for {room}; split it"
            )


def optimise(
    llm: LocalModel,
    parts: SharedParts,
    documents: Sequence[Sequence[int]],
    codes: Tensor,
    settings: WriteSettings,
    *,
    names: Sequence[str] | None = None,
    scratch: Path | None = None,
    console: Console | None = None,
) -> Written:
    """Lower the reconstruction loss of each document's code; nothing else changes.

    ``documents`` are token ids, ``codes`` [documents, slots, z_dim] where they begin. ``parts``
    are on the model's device. The loss is the mean negative log-likelihood in nats of a document's
    tokens and of an end token, given the memory alone; the best code seen is kept. Finished
    batches are kept in ``scratch``, so that an interrupted call goes on with the same results.
    Raises InputError for a document too long for the window, and RunFailedError naming the
    document (``names``, else its number) whose loss is NaN.
    """
    names = names or [str(number) for number in range(len(documents))]
    shape = (len(documents), parts.config.slots, parts.config.z_dim)
    if tuple(codes.shape) != shape or len(names) != len(documents):
        raise ValueError(f"codes are {tuple(codes.shape)} and names {len(names)} for {shape}")
    check_lengths(llm, parts.config.slots, documents, names)
    codes = codes.detach().float().cpu()
    if settings.steps == 0 or not documents:
        return Written(codes, (DocumentReport(0, None, None),) * len(documents))
    end = end_token(llm)
    asked = llm.parts(recall_prompt())
    job = _Job(llm, parts, asked, [[*ids, end] for ids in documents], codes, settings, names)
    with without_dropout(llm.model, parts):
        kept = BatchStore(scratch, job.identity()) if scratch is not None else None
        results = _all_batches(job, kept, console)
    ordered = [results[number] for number in range(len(documents))]
    return Written(torch.stack([code for code, _ in ordered]), tuple(r for _, r in ordered))


@dataclass(frozen=True, slots=True)
class _Job:
    """What all batches of a call have in common; ``targets`` end with the end token.

    ``asked`` are the token ids before and after the memory.
    """

    llm: LocalModel
    parts: SharedParts
    asked: Sequence[Sequence[int]]
    targets: Sequence[Sequence[int]]
    codes: Tensor
    settings: WriteSettings
    names: Sequence[str]

    def batches(self) -> Iterator[list[int]]:
        """Document numbers, longest first, by the tokens that the model reads."""
        on_cpu = self.llm.device.type == "cpu"
        tokens = self.settings.batch_tokens or (CPU_TOKENS if on_cpu else GPU_TOKENS)
        beside = sum(map(len, self.asked)) + 1 + self.parts.config.slots
        read = [range(len(target) + beside) for target in self.targets]
        return length_sorted_batches(range(len(read)), read, tokens, tokens)

    def identity(self) -> list[object]:
        """Everything that the results depend on."""
        return [
            model_fingerprint(self.llm.model),
            [str(self.llm.model.dtype), str(self.llm.device)],
            self.parts.fingerprint(),
            self.settings.model_dump(),
            list(map(list, self.asked)),
            list(map(list, self.targets)),
            sha256(self.codes.numpy().tobytes()).hexdigest(),
        ]


def _all_batches(job: _Job, kept: BatchStore | None, console: Console | None) -> dict[int, _Result]:
    from rich.console import Console

    batches, steps = list(job.batches()), job.settings.steps
    results: dict[int, _Result] = {}
    for number in range(len(batches)):
        tensors = kept.load(number) if kept is not None else None
        results |= _from_tensors(tensors) if tensors is not None else {}
    total, done = len(job.targets) * steps, len(results) * steps
    shown_on = console or Console(stderr=True)
    with bar(shown_on, "writing memories, steps of documents", total, done) as progress:
        run = partial(_fitting, job, progress)
        for number, batch in enumerate(batches):
            if batch[0] not in results:
                found = dict(zip(batch, halving(run, batch), strict=True))
                if kept is not None:
                    kept.save(number, _to_tensors(found))
                results |= found
    return results


def _to_tensors(results: dict[int, _Result]) -> dict[str, Tensor]:
    codes, reports = zip(*results.values(), strict=True)
    rows = zip(results, reports, strict=True)
    numbers = [[number, report.steps, report.before, report.after] for number, report in rows]
    return {"codes": torch.stack(codes), "reports": torch.tensor(numbers, dtype=torch.float64)}


def _from_tensors(tensors: dict[str, Tensor]) -> dict[int, _Result]:
    return {
        int(number): (code, DocumentReport(int(steps), before, after))
        for code, (number, steps, before, after) in zip(
            tensors["codes"], tensors["reports"].tolist(), strict=True
        )
    }


def _fitting(job: _Job, progress: Bar, batch: list[int]) -> list[_Result]:
    """Optimise a batch, with checkpointing if it is asked for or does not fit without."""
    if not job.settings.checkpointing:
        try:
            return _write_batch(job, batch, progress.advance)
        except torch.OutOfMemoryError:
            pass
        torch.cuda.empty_cache()
    with checkpointed(job.llm.model):
        return _write_batch(job, batch, progress.advance)


def _write_batch(job: _Job, batch: list[int], advance: Callable[[int], None]) -> list[_Result]:
    """Optimise documents together; one that stops leaves the model's batch."""
    scale = job.parts.code_std
    start = job.codes[batch].to(scale.device) / scale
    latent = nn.Parameter(start.clone())
    adam = torch.optim.Adam([latent], lr=job.settings.learning_rate, betas=BETAS)
    best = [_Best(job, number) for number in batch]
    active = list(range(len(batch)))
    for step in range(job.settings.steps + 1):
        last = step == job.settings.steps
        with torch.set_grad_enabled(not last):
            targets = [job.targets[batch[row]] for row in active]
            losses, objective = _losses(job, latent[active], start[active], targets)
        noted = zip(active, losses.tolist(), objective.tolist(), strict=True)
        going = [row for row, a, b in noted if best[row].note(step, a, b, latent[row])]
        advance(sum(job.settings.steps - step for row in active if row not in going))
        if last or not going:
            break
        places = [active.index(row) for row in going]
        (latent.grad,) = torch.autograd.grad(objective[places].sum(), [latent])
        adam.step()
        advance(len(going))
        active = going
    return [one.result() for one in best]


def _losses(
    job: _Job, latent: Tensor, start: Tensor, targets: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor]:
    """Reconstruction losses [rows], and those with the anchor, which are minimised."""
    memories = job.parts.memory(latent * job.parts.code_std)
    both = zip(memories, targets, strict=True)
    rows = [Row(job.asked, [memory], target) for memory, target in both]
    packed = pack(job.llm.model, rows)
    losses = row_losses(target_logits(job.llm.model, packed), packed.targets)
    moved = (latent - start).square().mean(dim=(1, 2)).to(losses.device)
    return losses, losses + job.settings.anchor * moved


class _Best:
    """The best code of a document so far, and whether it is worth going on."""

    def __init__(self, job: _Job, number: int) -> None:
        self.job, self.number = job, number
        self.code = job.codes[number]
        self.steps, self.first, self.loss, self.mark_step = 0, 0.0, 0.0, 0
        self.lowest = self.mark = float("inf")

    def note(self, step: int, loss: float, objective: float, latent: Tensor) -> bool:
        """Take in the code after ``step`` steps; whether the document goes on."""
        settings = self.job.settings
        self.steps = step
        if not isfinite(objective):
            raise RunFailedError(
                f"document {self.job.names[self.number]!r}: its loss became {objective} at step "
                f"{step} of writing; lower the learning rate ({settings.learning_rate:g}) or use "
                "float32; finished batches are kept"
            )
        if step == 0:
            self.first = loss
        if objective < self.lowest:
            self.lowest, self.loss = objective, loss
            if step > 0:
                self.code = latent.detach() * self.job.parts.code_std
        if objective < self.mark - GAIN:
            self.mark, self.mark_step = objective, step
        return loss >= settings.stop_below and step - self.mark_step != settings.patience

    def result(self) -> _Result:
        return self.code.cpu(), DocumentReport(self.steps, self.first, self.loss)
