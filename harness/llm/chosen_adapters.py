"""Adapters that single requests choose: LoRAs beside the weights while these are answered.

A layer's output gains the sum of the chosen adapters' products, each with its own scale, as if
their changes had been added to the weights. These are never touched, so there is nothing to undo,
and rounded or shared ones take adapters as well. peft would build its layers anew for every folder.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from harness.errors import InputError
from harness.escape import one_line
from harness.files import read_object
from harness.llm.adapters import FILES, check_adapter, check_plain
from harness.llm.runtime import Runtime

if TYPE_CHECKING:
    import torch

MOST_BYTES = 2**30
"""Of adapters that are kept; the one used least recently goes first."""
_START, _DOWN, _UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
_NOT_SUMMED = ("use_dora", "alpha_pattern", "rank_pattern", "use_rslora")


class Request(Protocol):
    """What is asked of a model, and the adapters that it chooses."""

    @property
    def adapters(self) -> tuple[Path, ...]:
        """Folders of LoRAs."""


R = TypeVar("R", bound=Request)
Result = TypeVar("Result")
Work = Callable[[Runtime, Sequence[R]], Iterator[tuple[int, Result]]]


@dataclass(frozen=True, slots=True)
class Low:
    """A layer's change: ``up`` [out, rank] times ``down`` [rank, in], the scale in ``up``."""

    down: torch.Tensor
    up: torch.Tensor

    @property
    def bytes(self) -> int:
        """What it takes."""
        return self.down.nbytes + self.up.nbytes


Adapter = dict[str, Low]
"""The changes of an adapter by the name of the layer."""


class ChosenAdapters:
    """The adapters of a model that requests chose lately, each read from its folder once."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes, self.reads = most_bytes, 0
        self._kept: OrderedDict[tuple[str, int, int], Adapter] = OrderedDict()

    def answer(
        self, runtime: Runtime, requests: Sequence[R], work: Work[R, Result]
    ) -> Iterator[tuple[int, Result]]:
        """What ``work`` gives for requests: those whose adapters agree go together.

        Nothing read with adapters is kept for another request.
        """
        groups: dict[tuple[Path, ...], list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(request.adapters, []).append(index)
        for folders, indices in groups.items():
            mine = [requests[i] for i in indices]
            if not folders:
                results = work(runtime, mine)
            else:
                changes = _joined([self._load(runtime, folder) for folder in folders])
                results = _beside(runtime.model, changes, work(replace(runtime, kept=None), mine))
            for place, result in results:
                yield indices[place], result

    def _load(self, runtime: Runtime, folder: Path) -> Adapter:
        check_adapter(folder)
        state = (folder / FILES[1]).stat()
        # A memory that was updated may have another adapter at the same place.
        key = (str(folder), state.st_mtime_ns, state.st_size)
        if key not in self._kept:
            self.reads += 1
            self._kept[key] = _read(runtime, folder)
            while len(self._kept) > 1 and _bytes(self._kept) > self.most_bytes:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def _bytes(kept: OrderedDict[Any, Adapter]) -> int:
    return sum(low.bytes for adapter in kept.values() for low in adapter.values())


def _read(runtime: Runtime, folder: Path) -> Adapter:
    """An adapter's changes, on the model's device. Raises InputError if they do not fit it."""
    from safetensors.torch import load_file

    check_plain(folder, _NOT_SUMMED)
    path = folder / FILES[1]
    alpha = read_object(folder / FILES[0]).get("lora_alpha")
    if not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise InputError(f"{folder / FILES[0]}: 'lora_alpha' is no number; save the adapter again")
    tensors = load_file(path, device=str(runtime.device))
    layers = sorted({name.removesuffix(_DOWN).removesuffix(_UP) for name in tensors})
    base = _base(runtime.model)
    found: Adapter = {}
    for layer in layers:
        down, up = tensors.get(layer + _DOWN), tensors.get(layer + _UP)
        name = one_line(layer.removeprefix(_START))
        if down is None or up is None or not _are_pair(down, up):
            raise InputError(f"{path} holds {name}, which is no pair of LoRA weights of a layer")
        _check_fits(path, base, name, (up.shape[0], down.shape[1]))
        scale = alpha / down.shape[0]
        found[name] = Low(down.to(base.dtype), (scale * up.float()).to(base.dtype))
    return found


def _are_pair(down: torch.Tensor, up: torch.Tensor) -> bool:
    return down.ndim == up.ndim == 2 and 0 < down.shape[0] == up.shape[1]


def _check_fits(path: Path, base: Any, name: str, shape: tuple[int, int]) -> None:
    try:
        layer = base.get_submodule(name)
    except AttributeError:
        raise InputError(
            f"{path}: the model has no layer '{name}'; take the one it is for"
        ) from None
    sizes = getattr(layer, "out_features", None), getattr(layer, "in_features", None)
    if sizes != shape:
        raise InputError(
            f"{path}: a change of '{name}' is {list(shape)}, the layer {list(sizes)}; take the "
            "model that the adapter was trained for, and adapters of linear layers alone"
        )


def _joined(adapters: Sequence[Adapter]) -> Adapter:
    """The sum of adapters as one: ranks side by side."""
    import torch

    if len(adapters) == 1:
        return adapters[0]
    names = dict.fromkeys(name for adapter in adapters for name in adapter)
    parts = {name: [a[name] for a in adapters if name in a] for name in names}
    return {
        name: Low(torch.cat([p.down for p in own]), torch.cat([p.up for p in own], dim=1))
        for name, own in parts.items()
    }


def _base(model: Any) -> Any:
    """The transformers model, without what peft puts around it."""
    return model.get_base_model() if hasattr(model, "peft_config") else model


def _beside(
    model: Any, changes: Adapter, results: Iterator[tuple[int, Result]]
) -> Iterator[tuple[int, Result]]:
    """The results, worked out with the changes; whoever takes them has the model without."""
    while True:
        with _added(_base(model), changes):
            try:
                result = next(results)
            except StopIteration:
                return
        yield result


@contextmanager
def _added(model: Any, changes: Adapter) -> Iterator[None]:
    hooks = [
        model.get_submodule(name).register_forward_hook(partial(_add, low))
        for name, low in changes.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _add(
    low: Low, _layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor
) -> torch.Tensor:
    from torch.nn.functional import linear

    return output + linear(linear(inputs[0], low.down), low.up)
