"""What a code is before any optimisation: random, means of the text's spans, or an encoder's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.errors import InputError

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from harness.records import Passage
    from methods.parametric_qa.shared import SharedParts


def document_text(passage: Passage) -> str:
    """A passage as one text: what a memory holds and what reconstruction must give back."""
    return f"{passage.title}: {passage.text}" if passage.title else passage.text


def document_tokens(llm: LocalModel, passage: Passage) -> list[int]:
    """Token ids of a passage, without special tokens. Raises InputError if there are none."""
    text = document_text(passage).strip()
    ids: list[int] = llm.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
    if not ids:
        raise InputError(
            f"passage {passage.id!r} is empty, so there is nothing to remember; remove it from the "
            "corpus or give it a text"
        )
    return ids


def random_codes(parts: SharedParts, count: int, seed: int) -> Tensor:
    """Codes [count, slots, z_dim] whose z are spread like the model's token embeddings.

    Kuratov et al. (ACL 2025) begin with the standard deviation of the embedding matrix.
    """
    source = torch.Generator().manual_seed(seed)
    shape = (count, parts.config.slots, parts.config.z_dim)
    return torch.randn(shape, generator=source) * parts.code_std.cpu()


def span_codes(llm: LocalModel, parts: SharedParts, documents: Sequence[Sequence[int]]) -> Tensor:
    """Codes [documents, slots, z_dim]: the mean embedding of each span of the text.

    The ``slots`` spans are consecutive and of equal length, give or take a token. A text of fewer
    tokens than slots leaves some spans empty; their code is that of the whole text's mean.
    """
    table = llm.model.get_input_embeddings()
    slots, z_dim = parts.config.slots, parts.config.z_dim
    if not documents:
        return torch.zeros(0, slots, z_dim)
    means = [span_means(table(torch.tensor(d, device=llm.device)), slots) for d in documents]
    codes: Tensor = parts.down(torch.stack(means).float().cpu())
    return codes


def span_means(embeddings: Tensor, slots: int) -> Tensor:
    """Means [slots, hidden] of spans of [length, hidden]; of the whole, where a span is empty."""
    length = len(embeddings)
    place = torch.arange(length, device=embeddings.device)
    # The last slot that begins at or before a position, if slot s begins at s * length // slots.
    slot = ((place + 1) * slots - 1) // length
    sums = embeddings.new_zeros(slots, embeddings.shape[1]).index_add(0, slot, embeddings)
    counts = embeddings.new_zeros(slots).index_add(0, slot, embeddings.new_ones(length))
    empty = counts == 0
    return torch.where(empty[:, None], embeddings.mean(dim=0), sums / counts.clamp_min(1)[:, None])
