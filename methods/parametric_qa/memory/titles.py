"""Titles: how many of a code's first tokens spell its document's title. A byte a document is kept.

So a document is known to be what another one's text names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from methods.parametric_qa.memory.column import load_column, save_column

if TYPE_CHECKING:
    from harness.llm.local import LocalModel

TITLES_FILE = "titles.npy"
LONGEST = 255
"""Tokens of a title that are counted, so that a byte holds their number."""


@dataclass(frozen=True, slots=True)
class Titles:
    """``lengths`` [documents] in tokens of what codes keep of titles, in the bank's order.

    ``weight`` is what it counts that the best document names another, beside that one's score.
    """

    lengths: Tensor
    weight: float = 1.0

    @classmethod
    def of(cls, llm: LocalModel, titles: Iterable[str], codes: Iterable[Sequence[int]]) -> Self:
        """Those of documents whose codes are tokens of their texts, titles first."""
        lengths = []
        for title, code in zip(titles, codes, strict=True):
            tokens = llm.tokenizer(f"{title}:", add_special_tokens=False)["input_ids"]
            lengths.append(spelling(tokens, code) if title else 0)
        return cls(torch.tensor(lengths, dtype=torch.long))

    @classmethod
    def load(cls, folder: Path, documents: int, weight: float) -> Self:
        """Raises InputError if the file is missing, broken or of other documents."""
        path = folder / TITLES_FILE
        return cls(load_column(path, documents, LONGEST + 1, "titles"), weight)

    def save(self, folder: Path) -> None:
        """Write the lengths."""
        save_column(folder / TITLES_FILE, self.lengths)


def spelling(title: Sequence[int], code: Sequence[int]) -> int:
    """How many of the first tokens of ``code`` are of ``title``, in its order."""
    left = iter(title)
    return min(sum(1 for _ in takewhile(lambda token: token in left, code)), LONGEST)
