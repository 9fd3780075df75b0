"""The decoder: prompts read and written on a token at a time, for a batch of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from harness.llm.batches import neighbours
from harness.llm.kvcache import KVCache, cache_name, keep_rows, parameters_of, plain_layers
from harness.llm.prefix import NO_PREFIX, Layer, SharedPrefix, shared_length, takes_gaps
from harness.llm.runtime import Runtime

Processor = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""[rows, written] token ids and [rows, vocabulary] logits to logits."""

# Copying the rows that go on costs about as much as a step; below this share it is made up for.
KEPT_SHARE = 0.75


class Decoder:
    """A model that has read a batch of prompts; ``logits`` [rows, vocabulary] are what it expects.

    ``prompts`` are token ids [length] or embeddings [length, hidden] that follow ``prefixes``, or
    a beginning that all share and no row holds: within ``beginning_apart`` (apart.py).
    """

    def __init__(
        self,
        runtime: Runtime,
        prompts: Sequence[torch.Tensor],
        prefixes: Sequence[SharedPrefix],
        room: int,
        beginning: SharedPrefix = NO_PREFIX,
    ) -> None:
        self.runtime, self.beginning = runtime, beginning
        prefixes = [NO_PREFIX] * len(prompts) if beginning.length else prefixes
        self.prefixes = prefixes
        self.width = max(p.length + len(own) for p, own in zip(prefixes, prompts, strict=True))
        parameters = parameters_of(runtime.model)
        self._takes_positions = "position_ids" in parameters
        self._cache_name = cache_name(parameters)
        layers = plain_layers(runtime.model.config)
        cache = KVCache(layers, len(prompts), self.width, room)
        self.mask = torch.zeros(len(prompts), self.width, dtype=torch.long, device=runtime.device)
        lengths = list(map(len, prompts))
        limits = runtime.batch_size, runtime.batch_tokens
        parts = (
            part
            for alike in _runs(prefixes)
            for part in neighbours(lengths, *limits, alike, runtime.batch_pairs)
        )
        self.logits = torch.cat([self._read(prompts, cache, *part) for part in parts])
        self.cache = cache.writing()
        self.rows = list(range(len(prompts)))
        """The batch's rows that are still held."""

    def row_layers(self, row: int) -> list[Layer]:
        """A copy of the keys and values of one prompt, its prefix included; before writing."""
        columns = self.mask[row].nonzero()[:, 0]
        return [
            Layer(*(part[row : row + 1, :, columns] for part in (buffers.keys, buffers.values)))
            for buffers in (layer.buffers for layer in self.cache.layers)
        ]

    def write(
        self,
        most: int,
        processors: Iterable[Processor],
        ended: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Token ids [rows, at most ``most``]; what stands after a row's end means nothing.

        ``ended`` takes [rows, written] ids and says which rows are done, [rows] booleans.
        """
        processors = list(processors)
        count, pad = len(self.rows), self.runtime.tokenizer.pad_token_id
        written = torch.full((count, most), pad, dtype=torch.long, device=self.runtime.device)
        for step in range(most):
            scores = self.logits
            if len(self.rows) < count:
                scores = scores.new_zeros(count, scores.shape[1])
                scores[self.rows] = self.logits
            for process in processors:
                scores = process(written[:, :step], scores)
            written[:, step] = scores.argmax(dim=-1)
            done = ended(written[:, : step + 1]).tolist()
            going = [row for row in self.rows if not done[row]]
            if not going or step == most - 1:
                break
            self._advance(going, written[:, step])
        return written[:, : step + 1]

    def _advance(self, going: list[int], chosen: torch.Tensor) -> None:
        """Read the tokens chosen for the rows that go on (and some that do not)."""
        if len(going) <= KEPT_SHARE * len(self.rows):
            places = [self.rows.index(row) for row in going]
            keep_rows(self.cache, places)
            self.mask, self.rows = self.mask[places], going
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], dim=1)
        ids = chosen[self.rows].unsqueeze(1)
        self.logits = self._forward(self.cache, self.mask, input_ids=ids)

    def _read(
        self,
        prompts: Sequence[torch.Tensor],
        cache: KVCache,
        first: int,
        last: int,
    ) -> torch.Tensor:
        """Read prompts ``first`` to ``last``, padded on the left to the longest of them."""
        mine, prefix = prompts[first:last], self.prefixes[first]
        longest = max(map(len, mine))
        shape = (len(mine), longest, *mine[0].shape[1:])
        inputs = torch.zeros(shape, dtype=mine[0].dtype, device=self.runtime.device)
        for row, prompt in enumerate(mine):
            inputs[row, longest - len(prompt) :] = prompt
        mask = self.mask[first:last, self.width - longest - prefix.length :]
        mask[:] = 1
        for row, prompt in enumerate(mine):
            mask[row, prefix.length : prefix.length + longest - len(prompt)] = 0
        name = "input_ids" if inputs.dim() == 2 else "inputs_embeds"
        rows = cache.reading(slice(first, last), longest, prefix)
        return self._forward(rows, mask, **{name: inputs})

    def _forward(self, cache: Any, mask: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        """Logits [rows, vocabulary] after the last column."""
        length = next(iter(inputs.values())).shape[1]
        options: dict[str, Any] = {**inputs, self._cache_name: cache}
        if self._takes_positions:
            places = (mask.cumsum(dim=1) - 1).clamp_min(0)[:, -length:]
            options["position_ids"] = places + self.beginning.length
        model, options["attention_mask"] = self.runtime.model, mask
        if self.beginning.length:
            options["beginning"] = self.beginning.cache.layers
        output = model(use_cache=True, logits_to_keep=1, **options)
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits


def read_shared(runtime: Runtime, prompts: Sequence[list[int]]) -> SharedPrefix:
    """Read what two or more prompts have in common."""
    ids = tuple(prompts[0][: shared_length(prompts)]) if prompts else ()
    if not ids:
        return NO_PREFIX
    name = cache_name(parameters_of(runtime.model))
    with torch.inference_mode():
        inputs = torch.tensor([ids], device=runtime.device)
        output = runtime.model(inputs, use_cache=True, logits_to_keep=1)
    cache = getattr(output, name, None)
    return SharedPrefix(ids, cache) if takes_gaps(cache) else NO_PREFIX


def after_prefix(model: Any, prefix: SharedPrefix, rows: int) -> dict[str, Any]:
    """What a forward pass is given so that ``rows`` rows follow a prefix; nothing is written back.

    Gradients reach the prefix's tensors.
    """
    if not prefix.length:
        return {"use_cache": False}
    cache = DynamicCache()
    for place, layer in enumerate(prefix.cache.layers):
        keys, values = (x.expand(rows, -1, -1, -1) for x in (layer.keys, layer.values))
        cache.update(keys, values, place)
    return {"use_cache": True, cache_name(parameters_of(model)): cache}


def _runs(prefixes: Sequence[SharedPrefix]) -> Iterator[tuple[int, int]]:
    """First and one past the last of runs of rows that follow the same prefix."""
    first = 0
    for _, run in groupby(prefixes, key=id):
        last = first + len(list(run))
        yield first, last
        first = last
