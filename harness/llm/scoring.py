"""Log-probabilities of given text, from plain forward passes.

Methods compare them with thresholds and with each other, so they must not depend on who else is in
the batch: in float32 every text is read alone. On a CPU that costs nothing from about 150 tokens on
and 30 % of the speed at 24 to 64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from harness.errors import ConfigError
from harness.llm.halving import halving
from harness.llm.prefix import NO_PREFIX, SharedPrefix
from harness.llm.requests import NextTokenProbs, NextTokenRequest, ScoreRequest, Scores
from harness.llm.runtime import Runtime

if TYPE_CHECKING:
    import torch


Pair = tuple[list[int], list[int]]
"""Token ids of a prompt and of its continuation."""


def score_all(runtime: Runtime, requests: Sequence[ScoreRequest]) -> Iterator[tuple[int, Scores]]:
    """Score every continuation; a request is yielded once its last one is known."""
    pairs: list[Pair] = []
    owners: list[int] = []
    prefixes: list[SharedPrefix] = []
    for index, request in enumerate(requests):
        prompt, after = runtime.pairs(request.prompt, request.continuations)
        pairs += [(prompt, continuation) for continuation in after]
        owners += [index] * len(request.continuations)
        prefixes += [_prefix(runtime, request, prompt)] * len(request.continuations)
    known: list[dict[int, float]] = [{} for _ in requests]
    run = partial(_score_batch, runtime, pairs, prefixes)
    rows = [prompt + continuation for prompt, continuation in pairs]
    for batch in _batches(runtime, rows, prefixes):
        limit = runtime.limit("score", (len(rows[i]) for i in batch))
        for pair, logprob in zip(batch, halving(run, batch, limit), strict=True):
            mine = known[owners[pair]]
            mine[pair] = logprob
            if len(mine) == len(requests[owners[pair]].continuations):
                yield owners[pair], _scores(pairs, mine, prefixes[pair])
    yield from ((i, Scores((), ())) for i, r in enumerate(requests) if not r.continuations)


def next_token_all(
    runtime: Runtime, requests: Sequence[NextTokenRequest]
) -> Iterator[tuple[int, NextTokenProbs]]:
    """The probability of each string's first token after each request's prompt."""
    prompts, firsts, prefixes = [], [], []
    for request in requests:
        prompt, after = runtime.pairs(request.prompt, request.strings)
        prompts.append(prompt)
        firsts.append(first_tokens(runtime.name, request.strings, after))
        prefixes.append(_prefix(runtime, request, prompt))
    run = partial(_next_token_batch, runtime, prompts, firsts, prefixes)
    for batch in _batches(runtime, prompts, prefixes):
        limit = runtime.limit("next token", (len(prompts[i]) for i in batch))
        yield from zip(batch, halving(run, batch, limit), strict=True)


def _prefix(
    runtime: Runtime, request: ScoreRequest | NextTokenRequest, prompt: list[int]
) -> SharedPrefix:
    if request.prefix is None:
        return NO_PREFIX
    request.prefix.check(runtime.model, runtime.name)
    return request.prefix.first(request.prefix.shared(prompt))


def _batches(
    runtime: Runtime, rows: Sequence[list[int]], prefixes: Sequence[SharedPrefix]
) -> Iterator[list[int]]:
    if runtime.exact:
        yield from ([index] for index in range(len(rows)))
        return
    alike: dict[int, list[int]] = {}
    for index, prefix in enumerate(prefixes):
        alike.setdefault(id(prefix), []).append(index)
    for indices in alike.values():
        yield from runtime.batches(indices, rows)


def _score_batch(
    runtime: Runtime,
    pairs: Sequence[Pair],
    prefixes: Sequence[SharedPrefix],
    batch: Sequence[int],
) -> list[float]:
    keep = max(len(pairs[i][1]) for i in batch) + 1
    rows = [pairs[i][0] + pairs[i][1] for i in batch]
    logits = _last_logits(runtime, rows, keep, prefixes[batch[0]])
    return [_sum_logprobs(row, pairs[i][1]) for i, row in zip(batch, logits, strict=True)]


def _next_token_batch(
    runtime: Runtime,
    prompts: Sequence[list[int]],
    firsts: Sequence[dict[str, int]],
    prefixes: Sequence[SharedPrefix],
    batch: Sequence[int],
) -> list[NextTokenProbs]:
    prefix = prefixes[batch[0]]
    logits = _last_logits(runtime, [prompts[i] for i in batch], 1, prefix)
    probs = logits[:, -1].softmax(dim=-1)
    return [
        NextTokenProbs(
            {text: float(row[at]) for text, at in firsts[i].items()},
            len(prompts[i]) - len(prefix.ids),
            prefix.length,
        )
        for i, row in zip(batch, probs, strict=True)
    ]


def _scores(pairs: Sequence[Pair], logprobs: dict[int, float], prefix: SharedPrefix) -> Scores:
    order = sorted(logprobs)
    return Scores(
        tuple(logprobs[i] for i in order),
        tuple(len(pairs[i][1]) for i in order),
        sum(len(pairs[i][0]) - len(prefix.ids) for i in order),
        prefix.length * len(order),
    )


def first_tokens(model: str, strings: Sequence[str], after: Sequence[list[int]]) -> dict[str, int]:
    """Each string's first token. Raises ConfigError for strings that begin with the same one."""
    first = {text: ids[0] for text, ids in zip(strings, after, strict=True)}
    if len(set(first.values())) < len(first):
        raise ConfigError(
            f"strings {list(first)} share a first token in '{model}' and cannot be told "
            "apart by next-token probability"
        )
    return first


def _sum_logprobs(logits: torch.Tensor, targets: list[int]) -> float:
    import torch

    steps = logits[-len(targets) - 1 : -1].log_softmax(dim=-1)
    chosen = steps.gather(1, torch.tensor(targets, device=steps.device).unsqueeze(1))
    return float(chosen.sum())


def _last_logits(
    runtime: Runtime, rows: Sequence[list[int]], keep: int, prefix: SharedPrefix
) -> torch.Tensor:
    """Float32 logits [rows, keep, vocabulary] of the last ``keep`` positions."""
    import torch

    from harness.llm.decoding import after_prefix

    left = [row[len(prefix.ids) :] for row in rows]
    ids, mask = pad_left(left, runtime.tokenizer.pad_token_id, runtime.device)
    mask = torch.cat([mask.new_ones(len(rows), prefix.length), mask], dim=1)
    positions = (mask.cumsum(dim=1) - 1).clamp_min(0)[:, prefix.length :]
    with torch.inference_mode():
        output = runtime.model(
            ids,
            attention_mask=mask,
            position_ids=positions,
            logits_to_keep=keep,
            **after_prefix(runtime.model, prefix, len(rows)),
        )
    logits: torch.Tensor = output.logits.float()
    return logits


def pad_left(
    rows: Sequence[Sequence[int]], pad: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both [rows, longest], padded on the left."""
    import torch

    longest = max(len(row) for row in rows)
    ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return ids.to(device), mask.to(device)
