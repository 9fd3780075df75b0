"""How long a leaderboard takes, and how much memory: 8 methods x 4 tasks x 3,610 made-up answers.

Run as ``python -m tests.benchmarks.leaderboard [--questions N] [--methods N] [--tasks N]
[--prompt CHARACTERS]``. The runs are scored as real ones are; then the command is a process of its
own, on one core, whose processor seconds and peak resident memory count, libraries included.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

from harness.data.questions import questions_fingerprint
from harness.fingerprint import canonical_json, file_sha256
from harness.records import Question
from harness.runs.gold import gold_path, write_gold
from harness.runs.manifest import MANIFEST, Manifest, RunConfig
from harness.runs.performance import update_performance
from harness.runs.scoring import score_run
from tests.benchmarks.figures import Figure, divided, report
from tests.peak import PEAK_BYTES

QUESTIONS, METHODS, TASKS, PROMPT = 3_610, 8, 4, 3_000
SECONDS, BYTES, ROUNDS = 10.0, 1e9, 3
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


def read_once(root: Path) -> None:
    """The floor: the answers' hash, which tells whether they were edited, and every score."""
    for path in sorted(root.rglob("predictions.jsonl")):
        file_sha256(path)
        with (path.parent / "scores.jsonl").open("rb") as file:
            for line in file:
                json.loads(line)


def compare(root: Path, few: Path, out: Path, answers: int) -> Iterator[Figure]:
    """Figures of both commands over ``root``; memory against runs of few questions, ``few``."""
    for name, *more in (["leaderboard"], ["export", "-o", str(out)]):
        took, floors = [], []
        for _ in range(ROUNDS):
            start = process_time()
            read_once(root)
            floors.append(process_time() - start)
            took.append(measure(name, str(root), *more))
        least = measure(name, str(few), *more).peak
        seconds, peak = median(each.cpu for each in took), max(each.peak for each in took)
        yield Figure(
            f"{name} of {answers:,} answers, time",
            "reading every file once",
            divided([each.cpu for each in took], floors),
            target=SECONDS / median(floors),
            detail=f"{seconds:.1f} s of a processor; target: {SECONDS:.0f} s",
        )
        yield Figure(
            f"{name} of {answers:,} answers, peak memory",
            "of as many runs of 10",
            tuple(each.peak / least for each in took),
            target=BYTES / least,
            detail=f"{peak / 1e6:.0f} MB; target: 1 GB",
        )


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description="time and memory of a leaderboard")
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    parser.add_argument("--methods", type=int, default=METHODS)
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--prompt", type=int, default=PROMPT)
    options = vars(parser.parse_args())
    with tempfile.TemporaryDirectory() as place:
        root, few = Path(place, "runs"), Path(place, "few")
        make_runs(root, **options)
        make_runs(few, **{**options, "questions": 10})
        answers = options["questions"] * options["methods"] * options["tasks"]
        report(compare(root, few, Path(place, "predictions.parquet"), answers))


if __name__ == "__main__":
    main()
