"""Parts of a board, of equally many questions, for jobs that know nothing of each other.

All questions stand in a line, run after run in the board's order, and each part is a stretch of it:
whole runs, and a shard of the runs at its ends. ``memory-harness merge`` puts them together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from harness.errors import ConfigError
from harness.fingerprint import fingerprint
from harness.method import writes_memory
from harness.runs.plan import RunPlan
from harness.runs.shard import Shard
from harness.runs.write_phase import memory_path


class Part(NamedTuple):
    """One of ``parts``, by its number from 1."""

    number: int
    parts: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """``2/8`` of a command line. Raises ConfigError."""
        found = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", text)
        if found is None or int(found[1]) > int(found[2]):
            raise ConfigError(
                f"--part {text}: write it as NUMBER/PARTS with numbers from 1, such as 1/8"
            )
        return cls(int(found[1]), int(found[2]))


def deal_out(plans: Sequence[RunPlan], part: Part) -> list[RunPlan]:
    """The runs of a part, those of which it is to ask some questions as shards of them.

    Runs that share a memory are not cut, for it would be written in both parts: all of them are in
    the part that the middle of their questions falls into.
    """
    different = {plan.config.run_id: plan for plan in plans}
    board = fingerprint([[name, len(plan.data.questions)] for name, plan in different.items()])[:12]
    together: dict[str, list[RunPlan]] = {}
    for plan in different.values():
        together.setdefault(_memory(plan) or plan.config.run_id, []).append(plan)
    total = sum(len(plan.data.questions) for plan in different.values())
    begin, end = (total * number // part.parts for number in (part.number - 1, part.number))
    mine, place = list[RunPlan](), 0
    for runs in together.values():
        size = sum(len(plan.data.questions) for plan in runs)
        first, last = max(begin - place, 0), min(end - place, size)
        if _memory(runs[0]) is not None:
            mine += runs if begin <= place + size // 2 < end else []
        elif first < last:
            shard = Shard(number=part.number, parts=part.parts, board=board, begin=first, end=last)
            mine.append(runs[0] if last - first == size else _shard(runs[0], shard))
        place += size
    return mine


def _memory(plan: RunPlan) -> str | None:
    """What stands for the memory that a run's method writes, if it does."""
    cls = type(plan.method)
    return str(memory_path(Path(), plan.config, cls)) if writes_memory(cls) else None


def _shard(plan: RunPlan, shard: Shard) -> RunPlan:
    # What a shard takes says nothing of its run.
    return replace(plan, shard=shard, measuring=replace(plan.measuring, timings=False))
