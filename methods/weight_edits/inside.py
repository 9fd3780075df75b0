"""Inside of a model: its down projections, and what they and its layers see at a subject's end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from harness.errors import ConfigError
from methods.parametric_qa.write.sequences import Packed, Row, pack, target_logits
from methods.study.prompts import closed_book
from methods.weight_edits.facts import Cue, Fact

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from harness.prompts import Rendered

_MLP = frozenset({"mlp", "feed_forward", "ffn"})
_ROWS = 16
"""Sequences that are read at once."""


def down_projections(llm: LocalModel) -> list[str]:
    """Names of the linear layers that MLPs end with, one a layer, in the layers' order.

    Raises ConfigError for a model whose layers have none, or several.
    """
    hidden = llm.model.get_input_embeddings().weight.shape[1]
    found: dict[str, str] = {}
    for name, module in llm.model.named_modules():
        parts = name.split(".")
        if not isinstance(module, nn.Linear) or _MLP.isdisjoint(parts[:-1]):
            continue
        layer = layer_of(name)
        if layer and module.out_features == hidden and module.weight.shape[1] != hidden:
            if layer in found:
                raise ConfigError(
                    f"model '{llm.name}': '{layer}' has several down projections, as a mixture of "
                    "experts has; take a model with one MLP a layer"
                )
            found[layer] = name
    if not found:
        raise ConfigError(
            f"model '{llm.name}' has no linear down projections in modules named 'mlp'; take a "
            "model of the kind of Llama, Qwen or Mistral"
        )
    return list(found.values())


def layer_of(name: str) -> str:
    """The name of the layer that a module of this name is in; empty if in none."""
    parts = name.split(".")
    number = next((place for place, part in enumerate(parts) if part.isdigit()), None)
    return "" if number is None else ".".join(parts[: number + 1])


@dataclass(frozen=True, slots=True)
class Read:
    """Token ids that are read, where the subject's last one stands, and the ids to follow."""

    ids: tuple[int, ...]
    place: int
    target: tuple[int, ...] = ()

    @property
    def row(self) -> Row:
        """The same as a row."""
        return Row([self.ids], (), self.target)


def sequences(llm: LocalModel, fact: Fact, prefixes: Sequence[str]) -> list[Read]:
    """A fact's cues, each by itself and after every prefix; the first is the first cue alone.

    A cue whose subject cannot be found again among its tokens is left out.
    """
    found = []
    for prefix in ("", *prefixes):
        for cue in fact.cues:
            ids, (target,) = llm.pairs(_rendered(llm, cue, prefix), [f" {fact.target}"])
            place = _end_of(llm, ids, cue.subject)
            if place is not None:
                found.append(Read(tuple(ids), place, tuple(target)))
    return found


def essence(llm: LocalModel, subject: str) -> Read | None:
    """What a model says the subject is, whose distribution an edit is to keep."""
    ids = llm.encode(f"{subject} is a")
    place = _end_of(llm, ids, subject)
    # Which token follows does not matter: its distribution is looked at.
    return None if place is None else Read(tuple(ids), place, (ids[-1],))


def _rendered(llm: LocalModel, cue: Cue, prefix: str) -> Rendered:
    if not cue.asks:
        return f"{prefix} {cue.text}" if prefix else cue.text
    prompt = closed_book(cue.text)
    if prefix:
        prompt = replace(prompt, ask=f"{prefix}\n\n{prompt.ask}")
    return prompt.render(llm.prompt_style)


def _end_of(llm: LocalModel, ids: Sequence[int], subject: str) -> int | None:
    """Where among token ids the last mention of a text ends."""
    times = llm.tokenizer.decode(ids).count(subject)
    if not times:
        return None
    ends = (
        n for n in range(len(ids)) if llm.tokenizer.decode(ids[: n + 1]).count(subject) == times
    )
    return next(ends, None)


@contextmanager
def watched(module: nn.Module, call: Any, *, inputs: bool) -> Iterator[None]:
    """While open, ``call`` is given what a module takes, or gives what the module is to give."""

    def before(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        call(given[0])

    def after(_: nn.Module, __: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (call(output[0]), *output[1:])
        return call(output)

    hook = (
        module.register_forward_pre_hook(before) if inputs else module.register_forward_hook(after)
    )
    try:
        yield
    finally:
        hook.remove()


class _Passed(Exception):
    """Ends a reading whose later layers nobody asks for."""


def read_through(llm: LocalModel, layer: str, packed: Packed) -> None:
    """Have the model read rows up to the end of a layer."""

    def stop(_: Any) -> None:
        raise _Passed

    module = llm.model.get_submodule(layer)
    with torch.no_grad(), suppress(_Passed), watched(module, stop, inputs=False):
        target_logits(llm.model, packed)


def seen(llm: LocalModel, name: str, given: Sequence[Read], *, inputs: bool) -> Tensor:
    """What the module of this name takes, or gives, at the subjects' ends: [sequences, width]."""
    found: list[Tensor] = []
    for start in range(0, len(given), _ROWS):
        batch = given[start : start + _ROWS]
        packed = pack(llm.model, [replace(each, target=()).row for each in batch])
        places = columns(packed.mask, batch)

        def take(values: Tensor, places: Tensor = places) -> Tensor:
            rows = torch.arange(len(places), device=places.device)
            found.append(values[rows, places].float())
            return values

        # The hook of a layer itself stands before the one that stops.
        with watched(llm.model.get_submodule(name), take, inputs=inputs):
            read_through(llm, layer_of(name), packed)
    return torch.cat(found)


def columns(mask: Tensor, batch: Sequence[Read]) -> Tensor:
    """Where the subjects end in rows that are padded on the left: [rows]."""
    lengths = mask.sum(dim=1)
    places = torch.tensor([each.place for each in batch], device=mask.device)
    return mask.shape[1] - lengths + places
