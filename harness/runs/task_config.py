"""The questions and the corpus of loaded data, as a run's config has them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from harness.runs.dealt import Dealt
from harness.runs.manifest import TaskConfig

if TYPE_CHECKING:
    from harness.data.task import TaskData


def task_config(data: TaskData, *, tells_hops: bool = False) -> TaskConfig:
    """Of a method that is told the task's hops (``Method.reads_task``), these are a part."""
    version, hops = data.card.version, data.card.hops
    return TaskConfig(
        name=data.name,
        split=data.split,
        limit=data.limit,
        questions=len(data.questions),
        questions_fingerprint=data.questions_fingerprint,
        passages=len(data.corpus),
        corpus_fingerprint=data.corpus_fingerprint,
        train_fingerprint=data.train_fingerprint,
        **({"train_metadata": data.train_metadata} if data.train_metadata else {}),
        **({} if version == 1 else {"version": version}),
        **({"hops": hops} if tells_hops and hops else {}),
        **({"dealt": Dealt(**asdict(data.dealt))} if data.dealt else {}),
    )


def called(task: TaskConfig) -> str:
    """A task's name and, of a dealt pool, which one of how many of its size."""
    if task.dealt is None:
        return task.name
    return f"{task.name}, {task.passages:,} documents {task.dealt.number}/{task.dealt.pools}"
