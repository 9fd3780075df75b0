"""Token ids as a model expects them: what a tokenizer adds to a text, and how a text goes on.

A continuation is encoded together with its prompt, never alone: a tokenizer that puts a space
before every text would give it a token that nobody writes, and " Yes" would be two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from harness.errors import ConfigError
from harness.llm.batches import common_prefix

# What stands before a token to be found: no word goes on from a line's end or a colon.
_BEFORE = ("\n", ":")
_NO_TOKEN = -1


@dataclass(frozen=True, slots=True)
class Encoder:
    """A tokenizer, and the token ids that it puts before and after every text."""

    tokenizer: Any
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    """What must not stay: a model that has read its end token has nothing to go on from."""

    @classmethod
    def of(cls, tokenizer: Any) -> Self:
        """The encoder of a tokenizer, by what it adds to nothing and to a letter."""
        empty, text = tokenizer("")["input_ids"], tokenizer("a")["input_ids"]
        begins = _alike(empty, text)
        ends = _alike(empty[begins:][::-1], text[begins:][::-1])
        return cls(tokenizer, tuple(empty[:begins]), tuple(empty[len(empty) - ends :]))

    def ids(self, text: str, *, whole: bool = True) -> list[int]:
        """Token ids of a text that goes on; ``whole`` puts first what the tokenizer puts there."""
        ids: list[int] = list(self.tokenizer(text, add_special_tokens=whole)["input_ids"])
        ends = len(self.ends) if whole else 0
        return ids[: len(ids) - ends] if ends and tuple(ids[-ends:]) == self.ends else ids

    def pairs(
        self, prompt: str, continuations: Sequence[str], *, whole: bool = True
    ) -> tuple[list[int], list[list[int]]]:
        """Ids of a prompt and of each text after it. Raises ConfigError for a text without any."""
        before, added = self.ids(prompt, whole=whole), self.tokenizer.get_added_vocab()
        read = []
        for text in continuations:
            own = added.get(text)
            ids = self.ids(prompt + text, whole=whole) if own is None else [*before, own]
            if ids == before:
                raise ConfigError(f"continuation {text!r} has no tokens")
            read.append(ids)
        return parted(before, read)

    def token_id(self, text: str) -> int | None:
        """The id of ``text`` if it is one token, as spelt in the vocabulary or within a text."""
        own: int | None = self.tokenizer.get_added_vocab().get(text)
        if own is not None:
            return own
        spelt: int | None = self.tokenizer.convert_tokens_to_ids(text)
        if spelt is not None and self.tokenizer.convert_ids_to_tokens(spelt) == text:
            return spelt
        for before in _BEFORE:
            ids = self.ids(before + text)
            if ids and ids[:-1] == self.ids(before) and ids[-1] != self.tokenizer.unk_token_id:
                return ids[-1]
        return None


def parted(prompt: list[int], wholes: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """A prompt's ids up to where a continuation changes them, and all that follows.

    ``wholes`` are the ids of the prompt with each continuation. Where "Answer: " and "Yes" become
    "Answer:" and " Yes", the space counts to every continuation, so that all of them are asked
    after the same ids; lm-eval moves spaces likewise.
    """
    length = common_prefix([[*prompt, _NO_TOKEN], *map(list, wholes)])
    return prompt[:length], [list(whole[length:]) for whole in wholes]


def _alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    least = min(len(one), len(other))
    return next((place for place, (x, y) in pairs if x != y), least)
