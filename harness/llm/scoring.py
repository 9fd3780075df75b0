"""Log-probabilities of given text, from plain forward passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.llm.generation import pad_left

if TYPE_CHECKING:
    import torch

    from harness.llm.local import LocalModel


def continuation_logprobs(
    llm: LocalModel, pairs: Sequence[tuple[list[int], list[int]]]
) -> list[float]:
    """Natural-log probability of each continuation given its prompt, summed over its tokens."""
    rows = [prompt + continuation for prompt, continuation in pairs]
    result = [0.0] * len(pairs)
    for batch in llm.batches(range(len(rows)), rows):
        keep = max(len(pairs[i][1]) for i in batch) + 1
        logits = _last_logits(llm, [rows[i] for i in batch], keep)
        for index, row in zip(batch, logits, strict=True):
            targets = pairs[index][1]
            result[index] = _sum_logprobs(row, targets)
    return result


def next_token_distributions(
    llm: LocalModel, prompts: Sequence[list[int]]
) -> Iterator[torch.Tensor]:
    """The next-token probabilities [vocabulary] after each prompt."""
    for row in _last_logits(llm, prompts, 1):
        yield row[-1].softmax(dim=-1)


def _sum_logprobs(logits: torch.Tensor, targets: list[int]) -> float:
    import torch

    steps = logits[-len(targets) - 1 : -1].log_softmax(dim=-1)
    chosen = steps.gather(1, torch.tensor(targets, device=steps.device).unsqueeze(1))
    return float(chosen.sum())


def _last_logits(llm: LocalModel, rows: Sequence[list[int]], keep: int) -> torch.Tensor:
    """Float32 logits [rows, keep, vocabulary] of the last ``keep`` positions."""
    import torch

    ids, mask = pad_left(rows, llm.tokenizer.pad_token_id, llm.device)
    positions = (mask.cumsum(dim=1) - 1).clamp_min(0)
    with torch.inference_mode():
        output = llm.model(
            ids, attention_mask=mask, position_ids=positions, logits_to_keep=keep, use_cache=False
        )
    logits: torch.Tensor = output.logits.float()
    return logits
