"""Pages: which documents of a bank are parts of one, by their title. A number a document is kept.

What a page says is what its documents say, so nothing else is stored: its scores are made of
theirs when a question is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from methods.parametric_qa.memory.column import load_column, save_column

PAGES_FILE = "pages.npy"


@dataclass(frozen=True, slots=True)
class Pages:
    """``numbers`` [documents] of the pages that a bank's documents are of, from 0, in its order.

    ``weight`` is what a page's score counts beside a document's own.
    """

    numbers: Tensor
    weight: float = 1.0

    @classmethod
    def of(cls, titles: Iterable[str]) -> Self:
        """Documents of one title are of one page; one without a title is a page of its own."""
        known: dict[str, int] = {}
        numbers = [
            known.setdefault(title or f"\0{place}", len(known))
            for place, title in enumerate(titles)
        ]
        return cls(torch.tensor(numbers, dtype=torch.long))

    @classmethod
    def load(cls, folder: Path, documents: int, weight: float) -> Self:
        """Raises InputError if the file is missing, broken or of other documents."""
        # No more pages than documents: each document is of one.
        most = max(documents, 1)
        return cls(load_column(folder / PAGES_FILE, documents, most, "pages"), weight)

    def save(self, folder: Path) -> None:
        """Write the numbers."""
        save_column(folder / PAGES_FILE, self.numbers)

    @property
    def count(self) -> int:
        """How many pages there are."""
        return int(self.numbers.max()) + 1 if len(self.numbers) else 0

    def joined(self, texts: Sequence[str]) -> list[str]:
        """The texts [pages] of each page's documents, one after the other."""
        found: list[list[str]] = [[] for _ in range(self.count)]
        for number, text in zip(self.numbers.tolist(), texts, strict=True):
            found[number].append(text)
        return list(map(" ".join, found))

    def highest(self, values: Tensor) -> Tensor:
        """Of values [documents, any], the highest one of each page [pages, any]."""
        found = values.new_full((self.count, values.shape[1]), -torch.inf)
        places = self.numbers[:, None].expand_as(values)
        return found.scatter_reduce_(0, places, values, "amax")

    def added(self, own: Tensor, whole: Tensor) -> Tensor:
        """Scores [documents] plus ``weight`` times those of their pages [pages].

        In float64, so that documents which are pages of their own rank as without.
        """
        return own.double() + self.weight * whole.double()[self.numbers]
