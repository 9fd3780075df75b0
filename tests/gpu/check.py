"""The GPU check: what only a GPU can show, in at most six minutes on a machine with one.

    make gpu-check                                   # or
    python -m tests.gpu.check [--out FOLDER] [--device cuda]

It downloads nothing. Without a GPU it goes the same ways on the CPU with tiny models, in less than
a minute, and its report says so. On a bare machine that has torch and transformers, what else it
imports (``NEEDED``) must be brought along. It writes gpu-check.json and gpu-check.md, prints the
latter, and ends with 1 if a check failed.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.gpu.models import Folders
    from tests.gpu.report import Found

NEEDED = {
    "torch": "torch",
    "transformers": "transformers",
    "pydantic": "pydantic",
    "yaml": "PyYAML",
    "rich": "rich",
    "psutil": "psutil",
    "filelock": "filelock",
    "bm25s": "bm25s",
    "Stemmer": "PyStemmer",
    "sentence_transformers": "sentence-transformers",
    "faiss": "faiss-cpu",
    "peft": "peft",
    "jinja2": "jinja2",
}
"""Modules that the check imports, and the packages that bring them."""


def main(arguments: list[str] | None = None) -> int:
    """Run every check and write the report; 1 if one failed, 2 if a package is missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.check", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/gpu-check"))
    parser.add_argument("--device", help="cpu, cuda or cuda:N; default: a GPU if there is one")
    chosen = parser.parse_args(arguments)
    missing = [package for module, package in NEEDED.items() if not _is_there(module)]
    if missing:
        print(f"gpu-check: needs {', '.join(missing)}; install them", file=sys.stderr)
        return 2
    from harness.meters.hardware import default_device
    from tests.gpu.report import write_report

    device, start = chosen.device or default_device(), perf_counter()
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as work:
        found = run_checks(device, Path(work))
    print(write_report(chosen.out, _about(device, perf_counter() - start), found))
    return 0 if all(one.passed for one in found.values()) else 1


def run_checks(device: str, work: Path) -> dict[str, Found]:
    """What every check found; one that raises has failed and stops no other."""
    from tests.gpu.models import SEED, Folders
    from tests.gpu.report import Found

    folders, found = Folders.build(work), {}
    for name, check in _checks().items():
        start = perf_counter()
        try:
            one = check(device, folders)
        except Exception as error:
            line = " ".join(f"{type(error).__name__}: {error}".split())
            one = Found(False, "unknown", 0, SEED, {"error": line})
        seconds = round(perf_counter() - start, 1)
        found[name] = replace(one, facts={**one.facts, "took_s": seconds})
        print(f"{name}: {'passed' if one.passed else 'FAILED'}, {seconds} s", file=sys.stderr)
    return found


def _checks() -> dict[str, Callable[[str, Folders], Found]]:
    from tests.gpu.clock import check_latency
    from tests.gpu.generation import check_generation
    from tests.gpu.memory import check_halving, check_peak
    from tests.gpu.prefix import check_prefix
    from tests.gpu.runs import check_runs
    from tests.gpu.speed import check_speed

    return {
        "generation equals the CPU's": check_generation,
        "out of memory halves batches": check_halving,
        "peak memory": check_peak,
        "latency waits for the device": check_latency,
        "one run of each method": check_runs,
        "Llama-3.1-8B's shape": check_speed,
        "prompts kept between calls": check_prefix,
    }


def _about(device: str, seconds: float) -> dict[str, Any]:
    from harness.meters.hardware import describe_hardware
    from harness.runs.provenance import git_commit

    return {
        "device": device,
        "hardware": describe_hardware().summary,
        "date": datetime.now(UTC).date().isoformat(),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "commit": git_commit(),
        "seconds": seconds,
    }


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


if __name__ == "__main__":
    sys.exit(main())
