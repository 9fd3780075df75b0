"""What passes through one layer of a model, and the reading of rows from that layer on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.errors import ConfigError
from methods.parametric_qa.write.sequences import Row, pack, row_losses, target_logits
from methods.study.params import Precision, products_in
from methods.study.training import Losses, losses_by_reading

if TYPE_CHECKING:
    from harness.llm.local import LocalModel

MLP = frozenset({"mlp", "feed_forward", "ffn"})
"""What a model's MLPs are called."""
MOST_KEPT = 2**31
"""Bytes of states that are kept; rows that come to more are read whole in every step."""
BATCH = 8
"""Rows that are read together."""
_CLOSE = 0.02
"""Nats a token by which the losses of both ways of reading may differ."""

Kept = Mapping[int, Tensor]
"""What of each row enters a block [length, hidden], by the row's ``id``."""


class ReachedError(Exception):
    """Ends a forward pass at the layer that was looked at."""


@dataclass(frozen=True, slots=True)
class Passed:
    """What of one row enters the MLP's block, the MLP itself, and leaves it: [length, hidden]."""

    row: Row
    block: Tensor
    entered: Tensor
    left: Tensor


def mlp_name(llm: LocalModel, depth: float) -> str:
    """The name of the MLP at this depth, from 0, the first layer's, to 1, the last's.

    Raises ConfigError if the model has none of a known name.
    """
    names = mlp_names(llm)
    if not names:
        raise ConfigError(
            f"model '{llm.name}' has no layer of the names {', '.join(sorted(MLP))}, which a "
            "memory layer could stand in for; take another model"
        )
    return names[round(depth * (len(names) - 1))]


def mlp_names(llm: LocalModel) -> list[str]:
    """The names of a model's MLPs, the first layer's first."""
    modules: list[str] = [name for name, _ in llm.model.named_modules()]
    return [name for name in modules if name.rpartition(".")[2] in MLP]


def mlp_of(llm: LocalModel, layer: int) -> str | None:
    """The name of a layer's MLP; None where there is no one of a known name."""
    names = [name for name in mlp_names(llm) if name.split(".")[-2] == str(layer)]
    return names[0] if len(names) == 1 else None


def first_layer(llm: LocalModel, depth: float) -> int:
    """The number of the first of the last layers that are this share of all."""
    count = len(llm.model.get_decoder().layers)
    return count - max(1, round(depth * count))


class Keeper:
    """What of rows enters an MLP's block, as far as there is room."""

    def __init__(self) -> None:
        self.kept: dict[int, Tensor] = {}
        self._room = MOST_KEPT

    def keep(self, row: object, block: Tensor) -> bool:
        """Keep a row's, unless there is no room for it or was none before."""
        self._room -= block.nbytes
        if self._room >= 0:
            self.kept[id(row)] = block
        return self._room >= 0


def states(llm: LocalModel, name: str, rows: Sequence[Row]) -> Iterator[Passed]:
    """What passes through an MLP of each row, the shortest first; read no further than that.

    Raises ConfigError for a module whose output is no tensor, such as a mixture of experts.
    """
    order = sorted(rows, key=lambda row: row.length)
    for first in range(0, len(order), BATCH):
        batch = order[first : first + BATCH]
        *passed, mask = _pass(llm, name, batch)
        for number, row in enumerate(batch):
            yield Passed(row, *(part[number][mask[number]] for part in passed))


@torch.no_grad()
def _pass(llm: LocalModel, name: str, rows: Sequence[Row]) -> list[Tensor]:
    """The parts of ``Passed`` [rows, length, hidden], and which places are no padding."""
    seen: dict[str, Any] = {}

    def before(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen["block"] = inputs[0] if inputs else named["hidden_states"]

    def after(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        seen.update(entered=inputs[0], left=output)
        raise ReachedError

    packed, mlp = pack(llm.model, rows), llm.model.get_submodule(name)
    block = llm.model.get_submodule(name.rpartition(".")[0])
    hooks = [
        block.register_forward_pre_hook(before, with_kwargs=True),
        mlp.register_forward_hook(after),
    ]
    try:
        target_logits(llm.model, packed)
    except ReachedError:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    parts = [seen[part] for part in ("block", "entered", "left")]
    if not all(isinstance(part, Tensor) and part.shape == packed.inputs.shape for part in parts):
        raise ConfigError(
            f"model '{llm.name}': its '{name}' gives more than hidden states, so a memory layer "
            "cannot stand in for it; take a model without experts"
        )
    return [parts[0], parts[1].float(), parts[2].float(), packed.mask.bool()]


@contextmanager
def from_block(
    llm: LocalModel,
    name: str,
    kept: Kept,
    rows: Sequence[Row],
    precision: Precision = "float32",
) -> Iterator[Losses]:
    """The losses of rows, read from an MLP's block on; of all rows, unless they are not kept.

    While open, the model lacks the blocks below. A model that does more to its inputs than to
    pass them on, or whose blocks are no list, is read whole: the losses of both are compared.
    """
    losses, trial = _losses(llm.model, kept, precision), rows[:2]

    def whole(batch: Sequence[Row]) -> Tensor:
        return losses_by_reading(llm.model, batch, precision)

    if not all(id(row) in kept for row in rows):
        yield whole
        return
    with without_below(llm, name, lambda: whole(trial), lambda: losses(trial)) as cut:
        yield losses if cut else whole


@contextmanager
def without_below(
    llm: LocalModel, name: str, whole: Callable[[], Tensor], above: Callable[[], Tensor]
) -> Iterator[bool]:
    """The model without the blocks below an MLP's; whole, and False, where that is not the same.

    ``above`` gives losses with what enters the block, ``whole`` those of the same rows as they
    are read by the whole model.
    """
    holder, own = _list_of(llm.model, name)
    if holder is None:
        yield False
        return
    blocks, number = getattr(holder, own), int(name.split(".")[-2])
    with torch.no_grad():
        expected = whole()
    try:
        setattr(holder, own, nn.ModuleList(list(blocks)[number:]))
        with torch.no_grad():
            found = above()
        if (found - expected).abs().max() <= _CLOSE:
            yield True
            return
    finally:
        setattr(holder, own, blocks)
    yield False


def _list_of(model: nn.Module, name: str) -> tuple[nn.Module | None, str]:
    """The module that holds the list of an MLP's block, and the list's name there."""
    where = name.split(".")[:-2]
    holder = model.get_submodule(".".join(where[:-1])) if where else None
    is_list = holder is not None and isinstance(getattr(holder, where[-1]), nn.ModuleList)
    return (holder if is_list else None), where[-1] if where else ""


def _losses(model: Any, kept: Kept, precision: Precision) -> Losses:
    def losses(rows: Sequence[Row]) -> Tensor:
        packed = pack(model, rows)
        length = packed.mask.shape[1]
        parts = [kept[id(row)] for row in rows]
        inputs = torch.stack([F.pad(part, (0, 0, length - len(part), 0)) for part in parts])
        packed = replace(packed, inputs=inputs)
        with products_in(precision, packed.mask.device):
            logits = target_logits(model, packed)
        return row_losses(logits, packed.targets)

    return losses
