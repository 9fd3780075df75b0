"""Halving of batches that do not fit in memory: on a GPU, or on a CPU whose allocator says so.

How many rows fitted is kept as long as the model is open, so that a batch as long is not tried
whole again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from harness.errors import MachineError, describe_error
from harness.llm.device_memory import NO_LIMIT

Result = TypeVar("Result")

# torch's CPU allocator, and devices below torch's own error, raise a bare RuntimeError.
_WORDS = re.compile(r"can't allocate memory|out of memory", re.I)


@dataclass(frozen=True, slots=True)
class Limit:
    """Rows of one kind of call that fit in memory at once, as far as errors have told.

    ``rows`` are known by kind and by the power of two above the ``length`` of the longest row;
    calls of a session share them.
    """

    kind: str = ""
    length: int = 0
    whose: str = "the model"
    rows: dict[tuple[str, int], int] = field(default_factory=dict)

    @property
    def most(self) -> int:
        """Rows to try at once: shorter ones that did not fit tell of longer ones, too."""
        size = self.length.bit_length()
        known = (most for (kind, of), most in self.rows.items() if kind == self.kind and of <= size)
        return min(known, default=NO_LIMIT)

    def lower(self, rows: int) -> None:
        """Try so many rows at most from now on."""
        self.rows[self.kind, self.length.bit_length()] = rows


def halving(
    run: Callable[[list[int]], list[Result]], batch: list[int], limit: Limit | None = None
) -> list[Result]:
    """What ``run`` gives for a batch, in parts of half as many rows whenever one does not fit.

    Raises MachineError if a single row does not. Without a ``limit`` nothing is kept of it.
    """
    import torch

    limit = limit or Limit()
    done: list[Result] = []
    while len(done) < len(batch):
        part, fits = batch[len(done) :][: limit.most], False
        try:
            done += run(part)
            fits = True
        except (RuntimeError, MemoryError) as error:
            if not lacks_memory(error):
                raise
            if len(part) == 1:
                raise MachineError(_alone(limit, error)) from error
        if not fits:
            # Only here, past the handler, are the failed attempt's tensors free.
            torch.cuda.empty_cache()
            limit.lower(len(part) // 2)
    return done


def lacks_memory(error: Exception) -> bool:
    """Whether an error says that memory is used up: a GPU's, the CPU's or Python's own."""
    import torch

    told = isinstance(error, RuntimeError) and _WORDS.search(str(error)) is not None
    return told or isinstance(error, torch.OutOfMemoryError | MemoryError)


def _alone(limit: Limit, error: Exception) -> str:
    tokens = f" of {limit.length:,} tokens" if limit.length else ""
    return (
        f"{limit.whose}: one row{tokens} does not fit in memory by itself "
        f"({describe_error(error)[:200]}); free memory (end other programs on the device), make "
        "prompts shorter (fewer passages, fewer new tokens), set quantization: nf4, or take a "
        "smaller model, and run again"
    )
