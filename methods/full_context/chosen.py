"""Chosen passages: those of a pool that a model has room for, in the order it reads them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from harness.errors import ConfigError, InputError
from harness.files import read_json, write_json
from harness.prompts import Prompt, passage_line
from harness.records import Passage

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.llm.base import LanguageModel

Order = Literal["corpus", "shuffled"]

FILE = "passages.json"
# Lines that are counted one by one come to a little more or less than all together.
_SLACK = 1.1


@dataclass(frozen=True, slots=True)
class Chosen:
    """Passages in the order in which they are read, and how many of the pool are not."""

    passages: tuple[Passage, ...]
    left_out: int

    def save(self, folder: Path) -> None:
        """Write their texts."""
        rows = [[p.id, p.title, p.text] for p in self.passages]
        write_json(folder / FILE, {"left_out": self.left_out, "passages": rows})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote. Raises InputError for another file."""
        found = read_json(folder / FILE)
        try:
            passages = tuple(Passage(*row) for row in found["passages"])
            return cls(passages, found["left_out"])
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{folder / FILE}: not the passages of a context ({error!r}); delete the memory's "
                "folder and run again"
            ) from error


@dataclass(frozen=True, slots=True)
class Room:
    """What a model has room for: ``budget`` tokens of passages at most, beside all else."""

    llm: LanguageModel
    empty: Prompt
    """The prompt without passages and without a question."""
    beside: int
    """Tokens of the question and of what is written."""
    budget: int | None = None

    def choose(self, corpus: Corpus, order: Order, seed: int, most: int | None = None) -> Chosen:
        """As many passages as fit, from the first on, ``most`` at most.

        Raises ConfigError if none does, or if a budget is given that nobody can count.
        """
        tokens = self.llm.count_tokens(self.empty.render(self.llm.prompt_style))
        if self.budget is not None and tokens is None:
            raise ConfigError(
                f"budget = {self.budget}: '{self.llm.name}' does not count tokens; name its "
                "tokenizer, or leave the budget out"
            )
        longest = None if self.budget is None or tokens is None else tokens + self.budget
        likely = tuple(self._likely(corpus, order, seed, tokens))[:most]
        prompt = replace(self.empty, passages=likely, longest=longest)
        fitted = self.llm.fit(prompt, self.beside)
        kept = likely[: len(likely) - fitted.dropped]
        if fitted.cut or not kept:
            raise ConfigError(
                f"not one passage fits whole into what '{self.llm.name}' has room for; raise the "
                "budget, lower room, or take a model with a longer window"
            )
        return Chosen(kept, len(corpus) - len(kept))

    def tokens(self, chosen: Chosen) -> int | None:
        """Tokens that passages add to a prompt; None if nobody counts them."""
        style = self.llm.prompt_style
        counts = [
            self.llm.count_tokens(prompt.render(style))
            for prompt in (self.empty.with_passages(chosen.passages), self.empty)
        ]
        return None if counts[0] is None or counts[1] is None else counts[0] - counts[1]

    def _likely(
        self, corpus: Corpus, order: Order, seed: int, tokens: int | None
    ) -> Iterator[Passage]:
        """Passages from the first on until surely no more fit: a pool may be of millions."""
        limits = [self.budget, self.llm.window]
        known = [limit for limit in limits if limit is not None and tokens is not None]
        left = _SLACK * min(known) if known else None
        for position in _positions(len(corpus), order, seed):
            passage = corpus[position]
            yield passage
            if left is not None:
                left -= self.llm.count_tokens(passage_line(passage)) or 0
                if left < 0:
                    return


def _positions(count: int, order: Order, seed: int) -> Iterator[int]:
    """Places of a pool in the order they are read; of a shuffled one each by a draw of its own."""
    if order == "corpus":
        yield from range(count)
        return
    source = random.Random(f"{seed} full-context order")  # noqa: S311
    moved: dict[int, int] = {}
    # Fisher and Yates, remembering only what was moved: a shuffle that may end early.
    for first in range(count):
        other = source.randrange(first, count)
        yield moved.get(other, other)
        moved[other] = moved.pop(first, first)
