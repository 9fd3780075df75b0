"""Moments: the mean of keys' outer products over text, which says how far keys are from others."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.errors import InputError
from harness.fingerprint import sample_by_hash
from harness.progress import bar
from methods.parametric_qa.shared.parts import save_tensors
from methods.parametric_qa.write.sequences import Row, pack
from methods.weight_edits.inside import layer_of, read_through, watched

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.llm.local import LocalModel

PIECE = 256
"""Tokens of a passage that are read."""
_BATCH, KEPT_EVERY = 4, 8
"""Passages read at once, and batches after which the sums are kept; what a kill may cost."""


def sampled(llm: LocalModel, corpus: Corpus, tokens: int) -> list[tuple[int, ...]]:
    """Token ids of passages, by the hash of ids, until there are so many tokens; all if fewer."""
    found: list[tuple[int, ...]] = []
    ids = sorted(corpus.ids)
    for id_ in sample_by_hash(ids, len(ids), str):
        if sum(map(len, found)) >= tokens:
            break
        text = llm.runtime.encoder.ids(corpus.get(id_).contents, whole=False)
        found.append((*llm.begins, *text)[:PIECE])
    return found


def moments(
    llm: LocalModel, names: Sequence[str], texts: Sequence[tuple[int, ...]], scratch: Path | None
) -> dict[str, Tensor]:
    """The mean of k kᵀ over all tokens, for keys k [in] of each down projection: [in, in].

    In float32. An interrupted count goes on from ``scratch`` and ends in the same bytes.
    """
    from rich.console import Console

    place = None if scratch is None else scratch / "moments.safetensors"
    first, sums = _kept(place, names)
    batches = [texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH)]
    with bar(Console(stderr=True), "keys of passages", len(batches), first) as shown:
        for number, batch in enumerate(batches[first:], first + 1):
            _add(llm, names, batch, sums)
            if place is not None and (number % KEPT_EVERY == 0 or number == len(batches)):
                _keep(place, number, sums)
            shown.advance()
    count = sum(map(len, texts))
    return {name: (sums[name] / count).float() for name in names}


def _add(
    llm: LocalModel, names: Sequence[str], batch: Sequence[tuple[int, ...]], sums: dict[str, Tensor]
) -> None:
    packed = pack(llm.model, [Row([ids], (), ()) for ids in batch])
    read = packed.mask.bool()

    def add(name: str, keys: Tensor) -> None:
        own = keys[read].float()
        product = (own.T @ own).double().cpu()
        sums[name] = sums[name] + product if name in sums else product

    with ExitStack() as hooks:
        for name in names:
            module = llm.model.get_submodule(name)
            hooks.enter_context(watched(module, partial(add, name), inputs=True))
        read_through(llm, layer_of(names[-1]), packed)


def _keep(place: Path, number: int, sums: dict[str, Tensor]) -> None:
    save_tensors(place, {**sums, "batches": torch.tensor(number)})


def _kept(place: Path | None, names: Sequence[str]) -> tuple[int, dict[str, Tensor]]:
    from safetensors.torch import load_file

    if place is None or not place.exists():
        return 0, {}
    found = load_file(place)
    if set(found) != {*names, "batches"}:
        raise InputError(f"{place}: holds sums of other layers; delete the folder")
    return int(found.pop("batches")), found
