"""Which requests go through the model together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

MAX_BATCH_TOKENS = 16_384


def length_sorted_batches(
    indices: Iterable[int], prompts: Sequence[Sequence[int]], batch_size: int
) -> Iterator[list[int]]:
    """Batches of indices by falling prompt length: little padding, and no late surprise in memory.

    A batch holds at most ``batch_size`` prompts and MAX_BATCH_TOKENS padded tokens.
    """
    order = sorted(indices, key=lambda i: (-len(prompts[i]), i))
    while order:
        longest = max(len(prompts[order[0]]), 1)
        size = max(1, min(batch_size, MAX_BATCH_TOKENS // longest))
        yield order[:size]
        order = order[size:]


def common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Length of the prefix that all prompts share, leaving at least one token to each."""
    first, last = min(prompts), max(prompts)
    limit = min(len(prompt) for prompt in prompts) - 1
    for position in range(limit):
        if first[position] != last[position]:
            return position
    return max(limit, 0)
