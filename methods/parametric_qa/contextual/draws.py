"""Draws of a contextual training: which passages and questions a step has, and what rows show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from methods.parametric_qa.contextual.pool import Array, Pool
from methods.parametric_qa.contextual.recipe import Recipe
from methods.parametric_qa.shared.contextual import Size

GOLD, HARD = 0.4, 0.3
"""Shares of a step's passages that answer its questions, and that BM25 takes for such."""
EACH = 3
"""Questions of one passage in a step, at most."""


@dataclass(frozen=True, slots=True)
class Step:
    """Numbers of passages, of rows, and for each row where its gold is among the passages."""

    passages: list[int]
    rows: list[int]
    gold: list[list[int]]

    def fewer(self, most: int) -> Step:
        """The step with so many of its questions, at most."""
        return Step(self.passages, self.rows[:most], self.gold[:most])


class Draws:
    """Seeded draws over a pool; held-out rows and their passages are never drawn.

    ``part`` is the share of the recipe's numbers that fits into memory.
    """

    def __init__(self, pool: Pool, recipe: Recipe) -> None:
        self.pool, self.recipe = pool, recipe
        self.source = np.random.default_rng(recipe.seed)
        self.part = 1.0
        self.train = np.flatnonzero(~pool.held_out)
        held = {int(g) for n in np.flatnonzero(pool.held_out) for g in pool.gold[int(n)]}
        self.free = np.array([n for n in range(len(pool.passages)) if n not in held])
        self.held = held
        chances = pool.weights[self.train].astype(np.float64)
        self.chances = chances / chances.sum()
        self.asked: dict[int, list[int]] = {}
        for n in self.train.tolist():
            for g in pool.gold[n].tolist():
                self.asked.setdefault(g, []).append(n)

    def rows(self, count: int) -> list[int]:
        """Numbers of train rows, by weight."""
        found: list[int] = self.source.choice(self.train, size=count, p=self.chances).tolist()
        return found

    def step(self) -> Step:
        """Passages that answer questions, passages that seem to, others; and their questions."""
        total = max(2, int(self.recipe.documents * self.part))
        chosen: dict[int, None] = {}
        drawn = self.rows(total)
        for row in drawn:
            if len(chosen) >= GOLD * total:
                break
            chosen |= dict.fromkeys(self.pool.gold[row].tolist())
        for row in drawn:
            if len(chosen) >= (GOLD + HARD) * total:
                break
            hard = [n for n in self.pool.hard[row].tolist() if n not in self.held]
            if hard:
                chosen[int(self.source.choice(hard))] = None
        while len(chosen) < min(total, len(self.free)):
            chosen[int(self.source.choice(self.free))] = None
        passages = list(chosen)
        places = {number: place for place, number in enumerate(passages)}
        return self._with_rows(passages, places)

    def _with_rows(self, passages: list[int], places: dict[int, int]) -> Step:
        found: dict[int, None] = {}
        for number in passages:
            rows = self.asked.get(number, [])
            if len(rows) > EACH:
                rows = self.source.choice(rows, size=EACH, replace=False).tolist()
            found |= dict.fromkeys(rows)
        whole = [n for n in found if all(g in places for g in self.pool.gold[n].tolist())]
        self.source.shuffle(whole)
        rows = whole[: max(1, int(self.recipe.questions * self.part))]
        return Step(passages, rows, [[places[g] for g in self.pool.gold[n].tolist()] for n in rows])

    def size(self) -> Size:
        """What codes are rounded to."""
        shares = np.array([size.share for size in self.recipe.sizes])
        return self.recipe.sizes[int(self.source.choice(len(shares), p=shares / shares.sum()))]

    def memories(self) -> int:
        """How many memories the rows of a step read."""
        counts = list(self.recipe.memories)
        shares = np.array(list(self.recipe.memories.values()))
        return int(self.source.choice(counts, p=shares / shares.sum()))

    def shown(self, gold: Sequence[int], ranked: Sequence[int], count: int) -> list[int]:
        """The memories of a row, best last: its gold among what is ranked best, or none."""
        draw = self.source.random()
        if draw < self.recipe.no_memory:
            return []
        if count > 1 and draw < self.recipe.no_memory + self.recipe.unforced:
            return list(ranked[:count][::-1])
        kept = list(self.source.permutation(gold)[:count])
        others = [n for n in ranked if n not in gold]
        found = [int(n) for n in [*kept, *others[: count - len(kept)]]]
        if self.source.random() < self.recipe.ordered:
            order = {n: place for place, n in enumerate(ranked)}
            return sorted(found, key=lambda n: -order.get(n, len(order)))
        return [int(n) for n in self.source.permutation(found)]

    def span(self, passage: Array, end: int) -> tuple[Array, int]:
        """Tokens of a passage to be recalled, and how many of them are predicted.

        From the beginning, or from anywhere after a few tokens that say where.
        """
        most, lead = self.recipe.span, self.recipe.lead
        begin = 0
        if len(passage) > lead + 1 and self.source.random() < 0.7:
            begin = int(self.source.integers(1, len(passage) - lead))
        tokens = passage[begin : begin + most].astype(np.int64)
        if begin + most >= len(passage):
            tokens = np.append(tokens, end)
        return tokens, len(tokens) - (lead if begin else 0)
