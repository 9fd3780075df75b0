"""Codes of all passages that a selector is trained on and measured on, computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from methods.parametric_qa.shared.encoder import DocumentEncoder, encoder_codes
from methods.parametric_qa.shared.picks import picked

if TYPE_CHECKING:
    from methods.parametric_qa.shared.parts import SharedParts
    from methods.parametric_qa.train.features import Features

GROUP = 256
"""Passages that are taken together."""


class PassageCodes:
    """Codes of every passage of every task, as parts and encoder are when this is made.

    Held in float16, which is as exact as a bank's, or as tokens. ``advance`` is told how many were
    added. Raises InputError for a passage that is too long for the encoder.
    """

    def __init__(
        self,
        features: Features,
        parts: SharedParts,
        encoder: DocumentEncoder | None = None,
        advance: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._features, self._parts = features, parts
        self._rows: dict[str, dict[str, int]] = {}
        self._codes: dict[str, Tensor] = {}
        for name, task in features.tasks.items():
            ids = list(task.corpus.ids)
            groups = [ids[start : start + GROUP] for start in range(0, len(ids), GROUP)]
            codes = []
            for group in groups:
                with torch.no_grad():
                    codes.append(_coded(features, parts, encoder, name, group))
                advance(len(group))
            self._rows[name] = {id_: row for row, id_ in enumerate(ids)}
            self._codes[name] = torch.cat(codes)

    def of(self, task: str, ids: Sequence[str]) -> Tensor:
        """Codes float32 [ids, slots, z_dim] of some passages of a task."""
        rows = self._rows[task]
        return self._exact(self._codes[task][[rows[id_] for id_ in ids]])

    def groups(self, task: str) -> Iterator[Tensor]:
        """Codes float32 [up to GROUP, slots, z_dim] of all passages, in the corpus's order."""
        for codes in torch.split(self._codes[task], GROUP):
            yield self._exact(codes)

    def _exact(self, held: Tensor) -> Tensor:
        if not self._parts.config.picks:
            return held.float()
        with torch.no_grad():
            return self._features.numbers(self._parts, held.long())


def _coded(
    features: Features,
    parts: SharedParts,
    encoder: DocumentEncoder | None,
    task: str,
    ids: Sequence[str],
) -> Tensor:
    documents = [features.tokens(task, id_) for id_ in ids]
    if parts.config.picks:
        return picked(parts, documents).int()
    if encoder is None:
        return features.span_codes(parts, documents).half()
    return encoder_codes(features.llm, encoder, documents, ids).half()
