"""How long a leaderboard takes, and how much memory: 8 methods x 4 tasks x 3,610 made-up answers.

Run as ``python -m tests.benchmarks.leaderboard [--questions N] [--methods N] [--tasks N]
[--prompt CHARACTERS]``. The runs are scored as real ones are; then the command is a process of its
own, on one core, whose processor seconds and peak resident memory are printed, libraries included.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.questions import questions_fingerprint
from harness.fingerprint import canonical_json
from harness.meters.hardware import describe_hardware
from harness.records import Question
from harness.runs.gold import gold_path, write_gold
from harness.runs.manifest import MANIFEST, Manifest, RunConfig
from harness.runs.performance import update_performance
from harness.runs.scoring import score_run
from tests.peak import PEAK_BYTES

QUESTIONS, METHODS, TASKS, PROMPT = 3_610, 8, 4, 3_000
_CHILD = (
    PEAK_BYTES
    + """
import sys, time
from harness.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(peak_bytes(), time.process_time(), file=sys.stderr)
"""
)


@dataclass(frozen=True)
class Measured:
    """What a command took: ``peak`` resident memory in bytes, ``cpu`` seconds of a processor."""

    peak: int
    cpu: float


def make_runs(root: Path, *, questions: int, methods: int, tasks: int, prompt: int) -> None:
    """Scored runs below ``root``; a method of a higher number is a little better."""
    asked = [
        Question(f"q{n:05d}", f"what is {n}?", (f"name {n} of it",), (f"d{n}",))
        for n in range(questions)
    ]
    for task in range(tasks):
        for method in range(methods):
            config = RunConfig.model_validate(_config(f"task-{task}", f"method-{method}", asked))
            write_gold(gold_path(root, config.task), asked)
            folder = config.folder(root)
            folder.mkdir(parents=True)
            with (folder / "predictions.jsonl").open("w") as file:
                for row in _predictions(asked, 100 * task + method, 0.2 + 0.03 * method, prompt):
                    file.write(canonical_json(row) + "\n")
            (folder / MANIFEST).write_text(canonical_json(_manifest(config).written()))
            update_performance(folder, latency={"seconds": [0.1] * 50, "warmup": 5})
            score_run(folder)


def measure(*arguments: str) -> Measured:
    """One command in a process of its own."""
    command = [sys.executable, "-c", _CHILD, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak, cpu = done.stderr.splitlines()[-1].split()
    return Measured(int(peak), float(cpu))


def _config(task: str, method: str, asked: list[Question]) -> dict[str, Any]:
    return {
        "task": {
            "name": task,
            "split": "dev",
            "questions": len(asked),
            "questions_fingerprint": questions_fingerprint(asked),
            "corpus_fingerprint": "c" * 64,
        },
        "method": {"name": method},
        "model": {"name": "made-up"},
        "retriever": {"kind": "bm25"},
    }


def _manifest(config: RunConfig) -> Manifest:
    values = {
        "schema_version": config.schema_version,
        "run_id": config.run_id,
        "config": config,
        "hardware": {"fingerprint": "made-up"},
        "status": "finished",
    }
    return Manifest.model_validate(values)


def _predictions(
    asked: list[Question], seed: int, skill: float, prompt: int
) -> Iterator[dict[str, Any]]:
    chance = random.Random(seed)
    for number, question in enumerate(asked):
        words = question.golden_answers[0].split()
        right = chance.random() < skill
        ids = [f"d{chance.randrange(len(asked))}" for _ in range(20)]
        ids[chance.randrange(20)] = f"d{number}"
        ids = list(dict.fromkeys(ids))
        search = {"kind": "search", "query": question.text, "retrieved_ids": ids, "scores": None}
        generate = {"kind": "generate", "prompt": "p" * prompt, "reply": "x", "cut_off": False}
        yield {
            "question_id": question.id,
            "answer": " ".join(words if right else chance.choices([*words, "other"], k=3)),
            "raw": "",
            "retrieved_ids": ids,
            "steps": [search, generate],
            "usage": {"llm_calls": 1, "retrievals": 1},
            "error": None,
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="time and memory of a leaderboard")
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    parser.add_argument("--methods", type=int, default=METHODS)
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--prompt", type=int, default=PROMPT)
    options = parser.parse_args()
    print(describe_hardware().summary)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "runs")
        make_runs(root, **vars(options))
        answers = options.questions * options.methods * options.tasks
        size = sum(path.stat().st_size for path in root.rglob("predictions.jsonl"))
        print(f"{answers:,} answers, {size / 1e6:,.0f} MB")
        out = str(Path(place, "predictions.parquet"))
        for name, *more in (["leaderboard"], ["export", "-o", out]):
            took = measure(name, str(root), *more)
            print(
                f"{name}: {took.cpu:.1f} s of a processor, peak {took.peak / 1e6:.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
