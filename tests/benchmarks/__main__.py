"""The bench suite: each benchmark in a process of its own, all figures in a file of the day.

Run as ``make bench``, or ``python -m tests.benchmarks [NAME ...] [--again] [--out FOLDER]``. What
was measured today is not measured again unless ``--again`` says so, so a suite that was stopped
goes on where it was. Its exit status is 1 if a benchmark failed; a target that is missed is shown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic

from harness.errors import HarnessError
from harness.runs.provenance import git_commit
from tests.benchmarks.figures import FIGURES, MANY
from tests.benchmarks.record import FOLDER, Bench, Measured

SUITE: dict[str, tuple[str, ...]] = {
    "growth": (),
    "throughput": (),
    "flashrag": (),
    "leaderboard": (),
    "overhead": (),
    "bm25": ("--passages", "100000"),
    "dense": (),
    "mixed_batches": (),
    "writing": (),
    "importing": ("--rows", "100000"),
    "published": ("--rows", "100000"),
}
"""Arguments of each benchmark: what takes minutes, not an hour."""


def measure(name: str) -> Measured | None:
    """Run one benchmark; None if it failed, which its own output then says."""
    arguments = ["-m", f"tests.benchmarks.{name}", *SUITE[name]]
    start = monotonic()
    with tempfile.TemporaryDirectory(prefix="memory-harness-bench-") as place:
        figures = Path(place, "figures.json")
        environment = {**os.environ, FIGURES: str(figures)}
        done = subprocess.run([sys.executable, *arguments], env=environment, check=False)
        if done.returncode or not figures.exists():
            return None
        found = tuple(MANY.validate_json(figures.read_bytes()))
    return Measured(
        benchmark=name,
        command=f"python {' '.join(arguments)}",
        commit=git_commit() or "unknown",
        seconds=round(monotonic() - start, 1),
        figures=found,
    )


def run(names: list[str], folder: Path, *, again: bool) -> list[str]:
    """Measure what is left of today; the names of the benchmarks that failed."""
    failed = []
    for name in names:
        bench = Bench.begun(folder)
        if bench.find(name) and not again:
            print(f"== {name}: measured today", flush=True)
            continue
        print(f"== {name}", flush=True)
        found = measure(name)
        if found is None:
            failed.append(name)
        else:
            bench.having(found).write(folder)
    return failed


def main() -> int:
    """Run the suite and print its table."""
    parser = argparse.ArgumentParser(description="the bench suite")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SUITE))
    parser.add_argument("--again", action="store_true", help="measure anew what today has")
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in SUITE]:
        parser.error(f"no benchmark '{unknown[0]}'; there are {', '.join(SUITE)}")
    try:
        failed = run(options.names or list(SUITE), options.out, again=options.again)
    except KeyboardInterrupt:
        print("\nstopped; what is finished is kept, and the same command goes on", file=sys.stderr)
        return 130
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    bench = Bench.begun(options.out)
    print(f"\n{bench.table()}\n{bench.path(options.out)}")
    for name in failed:
        print(f"error: benchmark '{name}' failed, see above", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
