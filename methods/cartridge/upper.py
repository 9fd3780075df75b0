"""Upper layers of a model: rows are read from the first on that a cartridge trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from torch import Tensor, nn

from harness.llm.apart import takes
from harness.llm.keyvalues import KeyValues
from harness.llm.prefix import SharedPrefix
from harness.progress import bar
from methods.cartridge.network import Lesson, loss_of, target_logits
from methods.study.passing import BATCH, Keeper, ReachedError, mlp_of, without_below

if TYPE_CHECKING:
    from harness.llm.local import LocalModel

Reader = Callable[[SharedPrefix, Sequence[Lesson]], list[Tensor]]
"""Logits [length of the target, vocabulary] of each lesson after a prefix."""


@contextmanager
def reader_of(
    llm: LocalModel, start: KeyValues, first: int, lessons: Sequence[Lesson]
) -> Iterator[Reader]:
    """Reads lessons after a cartridge that is trained from layer ``first`` on.

    What enters that layer stays the same while the cartridge is trained, so it is read once.
    While open, the model lacks the layers below. A model whose blocks are no list, or that does
    more to its inputs than to pass them on, reads whole rows, and so it is where the states of
    all rows find no room.
    """

    def whole(prefix: SharedPrefix, batch: Sequence[Lesson]) -> list[Tensor]:
        return target_logits(llm, prefix, [lesson.row.read for lesson in batch])

    takes(llm.model)  # found out by reading, so while the model is whole and nothing stops it
    name = mlp_of(llm, first) if first else None
    entered = {} if name is None else _entered(llm, start, name, lessons)
    if name is None or len(entered) < len(lessons):
        yield whole
        return

    def above(prefix: SharedPrefix, batch: Sequence[Lesson]) -> list[Tensor]:
        rows, states = [x.row.read for x in batch], [entered[id(x)] for x in batch]
        return target_logits(llm, prefix, rows, states)

    def losses(read: Reader) -> Tensor:
        trial = lessons[:2]
        found = zip(read(start.first(0), trial), trial, strict=True)
        return torch.stack([loss_of([x], [each], "answers") for x, each in found])

    with without_below(llm, name, lambda: losses(whole), lambda: losses(above)) as cut:
        yield above if cut else whole


@torch.no_grad()
def _entered(
    llm: LocalModel, start: KeyValues, name: str, lessons: Sequence[Lesson]
) -> dict[int, Tensor]:
    """What of each lesson enters an MLP's block [length, hidden], by its ``id``, after the start.

    Not of all, if they find no room.
    """
    keeper = Keeper()
    order = sorted(lessons, key=lambda lesson: lesson.row.length)
    with bar(Console(stderr=True), "states of rows", len(order)) as shown:
        for place in range(0, len(order), BATCH):
            batch = order[place : place + BATCH]
            for lesson, row in zip(batch, _pass(llm, start, name, batch), strict=True):
                own = row[len(row) - (lesson.row.length - 1) :].clone()
                if not keeper.keep(lesson, own):
                    return keeper.kept
            shown.advance(len(batch))
    return keeper.kept


def _pass(llm: LocalModel, start: KeyValues, name: str, lessons: Sequence[Lesson]) -> Tensor:
    """What enters an MLP's block [rows, length, hidden]; read no further than that."""
    seen: list[Tensor] = []

    def before(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen.append(inputs[0] if inputs else named["hidden_states"])
        raise ReachedError

    block = llm.model.get_submodule(name.rpartition(".")[0])
    hook = block.register_forward_pre_hook(before, with_kwargs=True)
    try:
        target_logits(llm, start.first(0), [lesson.row.read for lesson in lessons])
    except ReachedError:
        pass
    finally:
        hook.remove()
    return seen[0]
