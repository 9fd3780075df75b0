"""Kinds of tokens: which begin a word, what they begin with, how often they tell something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

BLANKS = ("\u0120", "\u2581")
"""What stands for a blank before a word: of byte-level and of SentencePiece tokenizers."""


def begins_a_word(tokenizer: Any, vocabulary: int) -> list[bool]:
    """Of every token, whether it follows a blank or is no letter or digit itself."""
    texts = _texts(tokenizer, vocabulary)
    return [text.startswith(BLANKS) or not text[:1].isalnum() for text in texts]


def kinds(tokenizer: Any, vocabulary: int) -> list[str]:
    """Of every token, whether it begins with a digit, a capital, a small letter or another sign."""
    return [_kind(text.lstrip("".join(BLANKS))) for text in _texts(tokenizer, vocabulary)]


def _texts(tokenizer: Any, vocabulary: int) -> list[str]:
    """Tokens as the tokenizer writes them; "" for those that it does not know."""
    known = tokenizer.convert_ids_to_tokens(list(range(min(vocabulary, len(tokenizer)))))
    return [text or "" for text in known] + [""] * (vocabulary - len(known))


def _kind(text: str) -> str:
    if any(letter.isdigit() for letter in text):
        return "digit"
    if not text[:1].isalpha():
        return "sign"
    return "capital" if text[0].isupper() else "letter"


def shares(
    seen: Counter[int], told: Counter[int], kind: Sequence[str], weight: float = 20.0
) -> Tensor:
    """In what share of the passages that have a token it tells something [vocabulary].

    ``seen`` and ``told`` count gold passages; tokens that are rare there have the share of their
    kind, which counts as ``weight`` passages.
    """
    of_kind, of_those = Counter[str](), Counter[str]()
    for token, count in seen.items():
        of_kind[kind[token]] += count
        of_those[kind[token]] += told[token]
    prior = {name: of_those[name] / count for name, count in of_kind.items()}
    found = [
        (told[token] + weight * prior.get(kind[token], 0.0)) / (seen[token] + weight)
        for token in range(len(kind))
    ]
    return torch.tensor(found)
