"""Batches: the requests that go through the model together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.llm.device_memory import NO_LIMIT


def length_sorted_batches(
    indices: Iterable[int],
    prompts: Sequence[Sequence[int]],
    batch_size: int,
    batch_tokens: int,
    batch_pairs: int = NO_LIMIT,
) -> Iterator[list[int]]:
    """Batches of indices by falling prompt length: little padding, and no late surprise in memory.

    A batch holds at most ``batch_size`` prompts, ``batch_tokens`` padded tokens and ``batch_pairs``
    pairs of tokens that attend to each other.
    """
    order = sorted(indices, key=lambda i: (-len(prompts[i]), i))
    while order:
        longest = max(len(prompts[order[0]]), 1)
        size = max(1, min(batch_size, batch_tokens // longest, batch_pairs // longest**2))
        yield order[:size]
        order = order[size:]


def neighbours(
    lengths: Sequence[int],
    batch_size: int,
    batch_tokens: int,
    rows: tuple[int, int],
    batch_pairs: int = NO_LIMIT,
) -> Iterator[tuple[int, int]]:
    """First and one past the last of runs of rows that may be read together, in the order given.

    Only ``rows`` (first, one past the last) are parted. A run has at most ``batch_size`` rows,
    ``batch_tokens`` padded tokens and ``batch_pairs`` pairs of them, or is one row.
    """
    first, end = rows
    while first < end:
        last, longest = first + 1, lengths[first]
        while last < end and last - first < batch_size:
            longest = max(longest, lengths[last])
            padded = longest * (last - first + 1)
            if padded > batch_tokens or padded * longest > batch_pairs:
                break
            last += 1
        yield first, last
        first = last


def common_prefix(prompts: Sequence[list[int]]) -> int:
    """Length of the prefix that all prompts share, leaving at least one token to each."""
    # In dictionary order the first and the last differ at least as early as any other two.
    first, last = min(prompts), max(prompts)
    limit = min(len(prompt) for prompt in prompts) - 1
    for position in range(limit):
        if first[position] != last[position]:
            return position
    return max(limit, 0)
