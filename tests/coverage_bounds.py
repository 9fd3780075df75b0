"""Bounds of coverage: ``python -m tests.coverage_bounds FILE``, of ``coverage json``; fails below.

coverage's own ``fail_under`` takes lines and branches together.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LEAST = {"lines": 95.0, "branches": 90.0}
_KEYS = {
    "lines": ("covered_lines", "num_statements"),
    "branches": ("covered_branches", "num_branches"),
}
_SHOWN = 15


def shares(totals: dict[str, Any]) -> dict[str, float]:
    """Percent of the lines and of the branches that were reached."""
    return {
        what: 100 * totals[reached] / totals[all_] if totals[all_] else 100.0
        for what, (reached, all_) in _KEYS.items()
    }


def told(found: dict[str, Any]) -> Iterator[str]:
    """The shares; where one is too low, also the files that most is left of."""
    total = shares(found["totals"])
    for what, share in total.items():
        yield f"{what}: {share:.2f} % reached, {LEAST[what]:.0f} % wanted"
    for what in (what for what, share in total.items() if share < LEAST[what]):
        reached, all_ = _KEYS[what]
        left = {
            name: file["summary"][all_] - file["summary"][reached]
            for name, file in found["files"].items()
        }
        for name in sorted(left, key=lambda name: -left[name])[:_SHOWN]:
            yield f"  {left[name]} {what} of {name}"


def is_enough(found: dict[str, Any]) -> bool:
    """Whether lines and branches are both within their bounds."""
    return all(share >= LEAST[what] for what, share in shares(found["totals"]).items())


if __name__ == "__main__":
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print("\n".join(told(report)))
    sys.exit(not is_enough(report))
