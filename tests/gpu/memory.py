"""Memory: batches that do not fit are halved, and the meter shows what torch allocated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch

from harness.llm import generation
from harness.meters.memory import PeakMemory, release_memory, tree_rss
from tests.gpu.models import SEED, Folders, load, replies, requests
from tests.gpu.report import Found

BLOCK = 256 * 2**20
# Bytes that an allocator may round up to, and that a process's own work may take meanwhile.
VRAM_SLACK, RSS_SLACK = 2 * 2**20, 64 * 2**20
MOST_ROWS = 2


def check_halving(device: str, folders: Folders) -> Found:
    """The same replies where only a part of the batch fits into what is left of the memory.

    On a GPU the memory is filled but for a third of what the whole batch took. A CPU has no such
    error of its own: there it is raised for more than two rows, and the path is the same.
    """
    on_gpu = device != "cpu"
    llm = load(folders.random, device)
    asked = requests(32 if on_gpu else 6, 400 if on_gpu else 20, 4)
    with _watched() as plain, PeakMemory(device) as memory:
        base = torch.cuda.memory_allocated(device) if on_gpu else 0
        wanted = replies(llm, asked)
    facts: dict[str, Any] = {"real_out_of_memory": on_gpu, "rows_unhindered": _rows(plain)}
    if on_gpu:
        whole = memory.record()["peak_bytes"] - base
        left = whole // 3
        filler = _filled(device, left)
        facts |= {"bytes_of_the_batch": whole, "bytes_left": left, "bytes_filled": len(filler)}
        with _watched() as tries:
            found = replies(llm, asked)
        del filler
        torch.cuda.empty_cache()
    else:
        with _watched(_refuse) as tries:
            found = replies(llm, asked)
    failed = [rows for rows, fitted in tries if not fitted]
    facts |= {"rows_that_fitted": _rows(tries), "rows_that_did_not": failed}
    passed = found == wanted and bool(failed) and sum(_rows(tries)) >= len(asked)
    return Found(passed, "tiny Llama of random weights", len(asked), SEED, facts)


def check_peak(device: str, folders: Folders) -> Found:
    """The meter's peak is the size of a block that is gone, above what was there before."""
    on_gpu = device != "cpu"
    release_memory()
    before = torch.cuda.memory_allocated(device) if on_gpu else tree_rss()
    with PeakMemory(device) as memory:
        block = torch.ones(BLOCK, dtype=torch.uint8, device=device)
        memory._stop.wait(0.2)
        del block
    record = memory.record()
    seen, slack = record["peak_bytes"] - before, VRAM_SLACK if on_gpu else RSS_SLACK
    facts = {**record, "block_bytes": BLOCK, "seen_bytes": seen, "slack_bytes": slack}
    passed = abs(seen - BLOCK) <= slack
    if on_gpu:
        facts["torch_peak_bytes"] = torch.cuda.memory_stats(device)["allocated_bytes.all.peak"]
        passed &= facts["torch_peak_bytes"] == record["peak_bytes"]
    return Found(passed, "none", 1, SEED, facts)


def _filled(device: str, left: int) -> torch.Tensor:
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    return torch.empty(max(free - left, 1), dtype=torch.uint8, device=device)


@contextmanager
def _watched(before: Callable[[int], None] = lambda _: None) -> Iterator[list[tuple[int, bool]]]:
    """Rows of every batch that is tried, and whether it fitted."""
    tries: list[tuple[int, bool]] = []
    decode = generation._decode

    def watched(runtime: Any, prompts: Any, *rest: Any) -> Any:
        try:
            before(len(prompts))
            found = decode(runtime, prompts, *rest)
        except torch.OutOfMemoryError:
            tries.append((len(prompts), False))
            raise
        tries.append((len(prompts), True))
        return found

    with mock.patch.object(generation, "_decode", watched):
        yield tries


def _refuse(rows: int) -> None:
    if rows > MOST_ROWS:
        raise torch.OutOfMemoryError("raised by the check")


def _rows(tries: list[tuple[int, bool]]) -> list[int]:
    return [rows for rows, fitted in tries if fitted]
