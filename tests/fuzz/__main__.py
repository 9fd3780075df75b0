"""The fuzzer's command: ``python -m tests.fuzz [READER ...] --cases 20000``."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import sys
from time import perf_counter

import tests.conftest  # noqa: F401 (no network, one thread, no waiting for the disk)
from harness.errors import did_you_mean
from tests.fuzz.readers import READERS
from tests.fuzz.running import Found, fuzz, keep


def main() -> int:
    """Run the readers that are named, or all; 1 if any broke the rule."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("readers", nargs="*", metavar="READER", help=", ".join(READERS))
    parser.add_argument("--cases", type=int, default=20_000, help="of each; of slow ones a share")
    parser.add_argument("--random", action="store_true", help="other cases than the last time")
    given = parser.parse_args()
    for name in given.readers:
        if name not in READERS:
            parser.error(f"no reader '{name}'{did_you_mean(name, list(READERS))}")
    faulthandler.enable()  # a case that ends the process stays in the folder fuzz-*
    logging.disable(logging.CRITICAL)  # of what is damaged in every case
    failures = 0
    for name in given.readers or READERS:
        failures += _run(name, given.cases, seed=not given.random)
    return 1 if failures else 0


def _run(name: str, cases: int, *, seed: bool) -> int:
    reader, start = READERS[name], perf_counter()
    most = max(1, round(cases * reader.share))

    def tell(found: Found) -> None:
        if sys.stderr.isatty() and found.cases % 20 == 0:
            print(f"\r{name}: {found.cases:,} of {most:,}", end="", file=sys.stderr, flush=True)

    found = fuzz(reader, most, tell, seed=seed)
    seconds = perf_counter() - start
    told = f"{found.cases:,} cases, {seconds:.1f} s, {len(found.smallest)} failures"
    print(f"{name}: {told}", flush=True)
    for what, (failure, files) in found.smallest.items():
        print(f"  {what} ({found.times[what]:,} times): {failure.told}")
        print(f"  kept as {keep(name, files)}", flush=True)
    return len(found.smallest)


if __name__ == "__main__":
    sys.exit(main())
