"""First codes, before any optimisation: random, means of the text's spans, or an encoder's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.errors import InputError

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from harness.records import Passage
    from methods.parametric_qa.shared.parts import SharedParts


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
    """Codes [documents, slots, z_dim]: the weighted mean embedding of each span of a text.

    The spans are consecutive and hold equally much salience (``SharedParts.salience``), so that a
    rare name gets a slot of its own where function words share one. Differentiable in ``down``.
    """
    shape = parts.config
    if not documents:
        return torch.zeros(0, shape.slots, shape.z_dim)
    table, device = llm.model.get_input_embeddings(), parts.salience.device
    means = []
    for document in documents:
        ids = torch.tensor(document, device=device)
        with torch.no_grad():
            embeddings = table(ids.to(llm.device)).to(device, torch.float32)
        means.append(span_means(embeddings, parts.salience[ids], shape.slots, shape.sharpness))
    codes: Tensor = parts.down(torch.stack(means))
    return codes


def span_means(embeddings: Tensor, salience: Tensor, slots: int, sharpness: float = 1.0) -> Tensor:
    """Means [slots, hidden] of spans of [length, hidden], weighted by salience ** sharpness.

    A position belongs to the slot in which the middle of its share of all salience [length] falls.
    A slot that none falls in gets the mean of the whole text.
    """
    middle = salience.cumsum(0) - salience / 2
    slot = (middle / salience.sum() * slots).long().clamp_max(slots - 1)
    weights = salience**sharpness
    sums = embeddings.new_zeros(slots, embeddings.shape[1])
    sums = sums.index_add(0, slot, embeddings * weights[:, None])
    totals = embeddings.new_zeros(slots).index_add(0, slot, weights)
    empty = totals == 0
    whole = (embeddings * weights[:, None]).sum(dim=0) / weights.sum()
    return torch.where(empty[:, None], whole, sums / totals.masked_fill(empty, 1)[:, None])


def salience_of(documents: Iterable[Sequence[int]], vocabulary: int) -> Tensor:
    """How much each token tells [vocabulary]: the log of how few of the documents have it.

    At least 0.02, so that no token weighs nothing.
    """
    counts, total = torch.zeros(vocabulary), 0
    for document in documents:
        counts[list(set(document))] += 1
        total += 1
    return torch.log((total + 1) / (counts + 1)).clamp_min(0.02)
