"""Picks: the tokens of a text that are its code, whole words, those that tell the most.

An extract of the text and no learnt vector: a slot is one row of the model's own embedding matrix,
and what is stored of it is the row's number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from methods.parametric_qa.shared.parts import SharedParts


def picked(
    parts: SharedParts, documents: Sequence[Sequence[int]], slots: int | None = None
) -> Tensor:
    """Token ids [documents, slots], in the order of each text; as many slots as ``parts`` have if
    None.

    Where all words have room, those that the text has again are kept again, if parts are filled;
    the number of the vocabulary, which is no token's, fills the rest.
    """
    telling, begins = parts.telling.tolist(), parts.begins.tolist()
    empty, slots = parts.config.vocabulary, slots or parts.config.slots
    rows = []
    for tokens in documents:
        first, again = _words(tokens, begins)
        best = [
            word
            for words in ((first, again) if parts.config.filled else (first,))
            for word in sorted(words, key=lambda word: -max(telling[tokens[at]] for at in word))
        ]
        kept = sorted(_that_fit(best, slots))
        rows.append([tokens[place] for place in kept] + [empty] * (slots - len(kept)))
    return torch.tensor(rows, dtype=torch.long).reshape(len(documents), slots)


def numbers_of(parts: SharedParts, table: Tensor, ids: Tensor) -> Tensor:
    """Codes [..., z_dim] of token ids [...] by their embeddings [vocabulary, hidden]; zeros where
    there is no token. ``down`` gets gradients."""
    codes: Tensor = parts.down(table[ids.clamp_max(len(table) - 1)])
    return codes * (ids < len(table))[..., None]


def _words(
    tokens: Sequence[int], begins: Sequence[bool]
) -> tuple[list[list[int]], list[list[int]]]:
    """Places of the tokens of each word, where it stands first, and where it does again."""
    words: list[list[int]] = []
    for place, token in enumerate(tokens):
        if not words or begins[token]:
            words.append([])
        words[-1].append(place)
    known: set[tuple[int, ...]] = set()
    first, again = list[list[int]](), list[list[int]]()
    for word in words:
        spelt = tuple(tokens[place] for place in word)
        (again if spelt in known else first).append(word)
        known.add(spelt)
    return first, again


def _that_fit(words: Sequence[Sequence[int]], slots: int) -> list[int]:
    """Places of the tokens of as many words, the first ones before others, as have room."""
    kept: list[int] = []
    for word in words:
        if len(kept) + len(word) <= slots:
            kept += word
    return kept
