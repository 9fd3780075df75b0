"""What bold promises, on made-up boards whose truth is known.

``python -m tests.benchmarks.familywise`` prints, for boards of 2 to 16 rows on 50 to 1,000
questions, in how many of them a row that is as good as the best loses its bold (at most 5 % are
promised), and in how many a row that is worse by 5 points of F1 does. Three kinds of boards:
``alike``, rows that differ by luck alone; ``copies``, half of them nearly one row; ``shapes``, rows
of one mean that they reach by all or nothing or by a little everywhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist, median
from time import perf_counter

import numpy as np
import numpy.typing as npt

from harness.metrics.statistics import ALPHA, compare_all, flip, smallest_difference

Floats = npt.NDArray[np.float64]
Board = Callable[[np.random.Generator, int, int], Floats]

GAP = 0.05
ROWS, SIZES = (2, 4, 8, 16), (50, 200, 1000)


def alike(rng: np.random.Generator, rows: int, n: int) -> Floats:
    """F1 (rows, n) of rows that share each question's difficulty and differ by luck."""
    return _f1(0.8 * rng.normal(0, 1, n) + 0.6 * rng.normal(0, 1, (rows, n)))


def copies(rng: np.random.Generator, rows: int, n: int) -> Floats:
    """The same, but the first half of the rows share most of their luck."""
    luck = rng.normal(0, 1, (rows, n))
    half = rows // 2
    luck[:half] = 0.96 * rng.normal(0, 1, n) + 0.28 * luck[:half]
    return _f1(0.8 * rng.normal(0, 1, n) + 0.6 * luck)


def shapes(rng: np.random.Generator, rows: int, n: int) -> Floats:
    """Every second row is right or wrong, the others are a little right everywhere."""
    ease = rng.beta(1.5, 3.5, n)
    sure = rng.random((rows, n)) < ease
    graded = np.floor(12 * ease + rng.random((rows, n))) / 12
    return np.where((np.arange(rows) % 2 == 0)[:, np.newaxis], sure, graded)


BOARDS: dict[str, Board] = {"alike": alike, "copies": copies, "shapes": shapes}


def _f1(latent: Floats) -> Floats:
    """Zeros, ones and twelfths between."""
    return np.round(12 * np.clip(0.9 * latent + 0.1, 0, 1)) / 12


_STEPS = [NormalDist().inv_cdf((i + 0.5) / 20_000) for i in range(20_000)]
MEANS = {"alike": float(_f1(np.array(_STEPS)).mean()), "shapes": 0.3}
MEANS["copies"] = MEANS["alike"]


def worsened(rng: np.random.Generator, board: Floats, mean: float) -> Floats:
    """The board with a last row whose true mean is lower by GAP: some answers are lost."""
    board = board.copy()
    board[-1, rng.random(board.shape[1]) < GAP / mean] = 0
    return board


@dataclass(frozen=True, slots=True)
class Found:
    """Shares of boards: where a row as good as the best lost its bold, without and beside a worse
    row; where any pair of equal rows was called different; where the worse row lost its bold."""

    lost: float
    called: float
    lost_beside_worse: float
    power: float
    smallest: float | None


def simulate(kind: str, rows: int, n: int, boards: int, draws: int = 2000, seed: int = 0) -> Found:
    """Make ``boards`` of a kind and judge them as a leaderboard does."""
    rng = np.random.default_rng([seed, rows, n])
    lost, called, beside, power, smallest = 0, 0, 0, 0, []
    for number in range(boards):
        board = BOARDS[kind](rng, rows, n)
        flips = flip(board, draws, number)
        family = compare_all(flips)
        lost += bool((family.best <= ALPHA).any())
        called += bool((family.pairs <= ALPHA).any())
        smallest.append(smallest_difference(flips, family) or 1.0)
        worse = compare_all(flip(worsened(rng, board, MEANS[kind]), draws, number)).best
        beside += bool((worse[:-1] <= ALPHA).any())
        power += bool(worse[-1] <= ALPHA)
    shares = [count / boards for count in (lost, called, beside, power)]
    return Found(*shares, median(smallest))


def main() -> None:
    """Print the table as markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boards", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=2000)
    options = parser.parse_args()
    print(
        "| Boards | Rows | n | Bold lost | Pair called different | Bold lost beside a worse row | "
        "Worse row (-5 F1) not bold | Shown with 80 % |"
    )
    print("|:---|---:|---:|---:|---:|---:|---:|---:|")
    start = perf_counter()
    for kind in BOARDS:
        for rows in ROWS:
            for n in SIZES:
                found = simulate(kind, rows, n, options.boards, options.draws)
                shares = (found.lost, found.called, found.lost_beside_worse, found.power)
                cells = " | ".join(f"{100 * share:.1f} %" for share in shares)
                smallest = f"{100 * (found.smallest or 1):.1f} F1"
                print(f"| {kind} | {rows} | {n:,} | {cells} | {smallest} |", flush=True)
    print(f"\n{options.boards:,} boards a line, {perf_counter() - start:,.0f} s")


if __name__ == "__main__":
    main()
