"""Time a question and peak memory of boards of growing size, with a model that takes no time.

Run as ``python -m tests.benchmarks.growth [--sizes N ...] [--method NAME]``. Everything is real but
the model: made-up questions and passages are read from files, a board is planned, answered over an
index, recorded, scored and looked through for cautions, all in one process. What a board takes
whatever its size is taken off by one of 100 questions, so a ratio is of each further question.
Small boards are run before and after the large ones.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from time import process_time
from unittest.mock import patch

from rich.console import Console

from harness.boards.config import parse_board
from harness.boards.whole import run_whole
from harness.testing.models import RuleModel
from tests.benchmarks.figures import Figure, report
from tests.peak import peak_bytes

PASSAGES, WORDS, BASE = 2_000, 60, 100
SIZES = (1_000, 10_000, 100_000)
ROUNDS = 3
SLOWER, GROWTH = 1.2, 200e6
"""Targets: of the time a question, and of bytes more at the largest size than at the smallest."""


def write_task(folder: Path, questions: int) -> dict[str, str]:
    """Files of a made-up task, by kind; every text differs."""
    chance, known = random.Random(0), [f"word{number}" for number in range(5_000)]
    rows = {
        "corpus": (
            {"id": f"d{n}", "title": f"title {n}", "text": " ".join(chance.choices(known, k=WORDS))}
            for n in range(PASSAGES)
        ),
        "questions": _questions("q", questions, chance, known),
        "train": _questions("t", 20, chance, known),
    }
    for kind, each in rows.items():
        with (folder / f"{kind}.jsonl").open("w") as file:
            file.writelines(f"{json.dumps(row)}\n" for row in each)
    return {kind: str(folder / f"{kind}.jsonl") for kind in rows}


def _questions(
    name: str, count: int, chance: random.Random, known: Sequence[str]
) -> Iterator[dict[str, object]]:
    for n in range(count):
        yield {
            "id": f"{name}{n}",
            "question": f"which {' '.join(chance.choices(known, k=10))}?",
            "golden_answers": [f"answer {n}"],
            "metadata": {"gold_doc_ids": [f"d{n % PASSAGES}"]},
        }


def seconds(questions: int, method: str) -> float:
    """Seconds of a processor that a board of so many questions takes, from its files on."""
    with tempfile.TemporaryDirectory() as place:
        values = {
            "name": "growth",
            "methods": [method],
            "tasks": [{"name": "made-up", "files": write_task(Path(place), questions)}],
            "models": ["openai:none@http://127.0.0.1:9/v1"],
            "latency": {"queries": 20},
        }
        board, console = parse_board(values, "growth"), Console(file=io.StringIO())
        with patch("harness.llm.open.open_model", lambda *_, **__: RuleModel(lambda _: "a word")):
            start = process_time()
            run_whole(board, Path(place, "runs"), console, device="cpu")
            return process_time() - start


def measure(sizes: Sequence[int], method: str, rounds: int = ROUNDS) -> Iterator[Figure]:
    """Figures of every size against the smallest, in rising order: a peak only ever grows."""
    smallest, *larger = sizes
    seconds(BASE, method)  # loads libraries, builds the index
    before = [_pair(smallest, method) for _ in range(rounds)]
    peaks, taken = {smallest: peak_bytes()}, {}
    for size in larger:
        taken[size] = seconds(size, method)
        peaks[size] = peak_bytes()
    pairs = [*before, *(_pair(smallest, method) for _ in range(rounds))]
    each = [(small - base) / (smallest - BASE) for base, small in pairs]
    base = median(base for base, _ in pairs)
    for size in larger:
        mine = (taken[size] - base) / (size - BASE)
        detail = f"{method}, {1e3 * mine:.2f} and {1e3 * median(each):.2f} ms of a processor"
        yield Figure(
            f"time of a question among {size:,}",
            f"among {smallest:,}",
            tuple(mine / one for one in each),
            target=SLOWER,
            detail=detail,
        )
        yield Figure(
            f"peak memory of {size:,} questions",
            f"of {smallest:,}",
            (peaks[size] / peaks[smallest],),
            target=1 + GROWTH / peaks[smallest],
            detail=f"{(peaks[size] - peaks[smallest]) / 1e6:+.0f} MB; target: 200 MB",
        )


def _pair(size: int, method: str) -> tuple[float, float]:
    return seconds(BASE, method), seconds(size, method)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description="boards of growing size")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--method", default="bm25")
    options = parser.parse_args()
    report(measure(options.sizes, options.method))


if __name__ == "__main__":
    main()
