"""The retrofit: keys, and a map in the MLP's place, from what passes through the MLP.

Forward passes over a background of passages and closed forms; nothing of the model is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from harness.errors import ConfigError
from harness.progress import bar
from methods.memory_layer.kept import Retrofit, keep, kept, linear_of, read
from methods.memory_layer.network import Keys
from methods.parametric_qa.write.sequences import Row

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.llm.local import LocalModel

HALF = 32
"""Dimensions of a half query, at most; it is one of four parts of what is left of a state."""
_ROUNDS, _RIDGE = 8, 0.03


def background_rows(llm: LocalModel, background: Corpus, tokens: int) -> list[Row]:
    """The first passages that come to so many tokens, one row each: its beginning."""
    from methods.study.rows import text_rows

    rows: list[Row] = []
    for passage in background:
        rows += text_rows(llm, [passage])[:1]
        tokens -= rows[-1].length
        if tokens <= 0:
            break
    return rows


def retrofit(
    llm: LocalModel,
    name: str,
    rows: Sequence[Row],
    *,
    heads: int,
    half_keys: int,
    k: int,
    replaced: bool,
    seed: int,
    place: Path | None = None,
) -> Retrofit:
    """Keys for an MLP of this name and, if it is to be replaced, a linear map, from a background.

    An interrupted one goes on from ``place``, a folder for exactly this one, and ends in the same
    bytes. Raises ConfigError if the background has fewer tokens than there are half keys.
    """
    if (made := kept(place, k, llm.device)) is not None:
        return made
    passed = []
    with bar(Console(stderr=True), "background", len(rows)) as shown:
        for one in read(llm, name, rows, place):
            passed.append(one)
            shown.advance()
    entered = torch.cat([one.entered for one in passed])
    left = torch.cat([one.left for one in passed])
    if len(entered) < half_keys:
        raise ConfigError(
            f"half_keys = {half_keys}, but the background has {len(entered)} tokens; raise "
            "background_tokens, name a larger background, or lower half_keys"
        )
    keys = keys_of(entered, heads, half_keys, k, seed)
    linear = linear_map(entered, left) if replaced else None
    missed = None
    if linear is not None:
        spread = (left - left.mean(dim=0)).square().mean()
        missed = round(float((left - linear(entered)).square().mean() / spread), 4)
    seen = torch.zeros(keys.slots, device=entered.device)
    for one in passed:
        seen += accesses(keys, one.entered) > 0
    # Of the usual token: the first of a text may be a thousand times as large.
    scale = float(left.square().mean(dim=1).sqrt().median())
    made = Retrofit(keys, scale, seen, len(rows), linear, missed)
    if place is not None:
        keep(place, made)
    return made


def accesses(keys: Keys, hidden: Tensor) -> Tensor:
    """How often each slot is found by hidden states [tokens, hidden]: float32 [slots]."""
    slots, _ = keys(hidden)
    return torch.bincount(slots.flatten(), minlength=keys.slots).float()


def keys_of(hidden: Tensor, heads: int, half_keys: int, k: int, seed: int) -> Keys:
    """Keys that share hidden states [tokens, hidden] evenly among themselves.

    A query is a rotation of the states' whitened principal components, another one for each head;
    the half keys are centres of half queries (spherical k-means).
    """
    chance = torch.Generator().manual_seed(seed)
    mean, half = hidden.mean(dim=0), min(HALF, hidden.shape[1] // 4)
    spread, axes = torch.linalg.eigh((hidden - mean).T @ (hidden - mean) / len(hidden))
    wide = 4 * half
    whitened = axes[:, -wide:] / spread[-wide:].clamp_min(1e-6 * float(spread[-1])).sqrt()
    turns = [torch.randn(wide, wide, generator=chance).to(hidden.device) for _ in range(heads)]
    turned = [whitened @ torch.linalg.qr(turn)[0][:, : 2 * half] for turn in turns]
    project = torch.stack([part.T.reshape(2, half, -1) for part in turned])
    empty = torch.zeros(heads, 2, half_keys, half, device=hidden.device)
    queries = Keys(mean, project, empty, k).queries(hidden)
    codes = [
        torch.stack([_centres(queries[:, head, part], half_keys, chance) for part in range(2)])
        for head in range(heads)
    ]
    return Keys(mean, project.contiguous(), torch.stack(codes), k)


def _centres(points: Tensor, count: int, chance: torch.Generator) -> Tensor:
    """Centres of points of length 1 [points, half], of length 1 too: [count, half]."""
    drawn = torch.randperm(len(points), generator=chance)[:count].to(points.device)
    centres = points[drawn]
    for _ in range(_ROUNDS):
        nearest = (points @ centres.T).argmax(dim=1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        # One that nothing is nearest to stays where it was.
        centres = torch.where(sums.any(dim=1, keepdim=True), F.normalize(sums, dim=1), centres)
    return centres


def linear_map(entered: Tensor, left: Tensor) -> nn.Linear:
    """The affine map nearest to what an MLP did [tokens, hidden], by ridge regression."""
    centred, wanted = entered - entered.mean(dim=0), left - left.mean(dim=0)
    square = centred.T @ centred
    ridge = _RIDGE * square.diagonal().mean() * torch.eye(len(square), device=square.device)
    weight = torch.linalg.solve(square + ridge, centred.T @ wanted).T
    bias = left.mean(dim=0) - weight @ entered.mean(dim=0)
    return linear_of(weight.contiguous(), bias)
