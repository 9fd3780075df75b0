"""Reconstruction: what a memory gives back of its document, against no memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.llm.halving import halving
from harness.llm.soft import woven
from harness.metrics.text import rouge_l, sentence_bleu
from methods.parametric_qa.prompts import recall_prompt
from methods.parametric_qa.shared.gradients import without_dropout
from methods.parametric_qa.write.sequences import Row, end_token, pack, target_logits, token_losses
from methods.parametric_qa.write.writing import check_lengths

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from methods.parametric_qa.shared.parts import SharedParts

CONFUSED, CANDIDATES = 8, 64
"""Documents whose losses under other documents' memories are computed, and under how many."""


@dataclass(frozen=True, slots=True)
class DocumentScores:
    """One document. ``tokens`` counts the end token, as all else here does.

    ``nll_with`` and ``nll_without`` are summed nats of the tokens given the memory, and given the
    model's start token alone. ``token_accuracy`` is teacher forced. ``greedy`` is the text that
    greedy decoding writes from the memory alone; ``greedy_accuracy`` is the share of its tokens
    that are right at their place, ``greedy_prefix`` how many are right before the first that is
    not, ``exact`` whether all are. ROUGE-L, BLEU and chrF compare texts, each from 0 to 1.
    """

    id: str
    tokens: int
    nll_with: float
    nll_without: float
    token_accuracy: float
    greedy_accuracy: float
    greedy_prefix: int
    exact: bool
    rouge_l: float
    bleu: float
    chrf: float
    greedy: str

    @property
    def perplexity_with(self) -> float:
        """Of the tokens, given the memory."""
        return exp(self.nll_with / self.tokens)

    @property
    def perplexity_without(self) -> float:
        """Of the tokens, given the start token alone."""
        return exp(self.nll_without / self.tokens)


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Scores of all documents.

    ``confusion`` [documents, memories] holds losses in nats a token: row j is document j under the
    memory of each document. It has the first 8 documents and the first 64 memories, so that its
    size does not grow with the square of the corpus.
    """

    documents: tuple[DocumentScores, ...]
    confusion: Tensor

    def summary(self, parts: SharedParts, bits_a_number: int) -> dict[str, float]:
        """Figures over all documents, whose numbers are stored in so many bits."""
        documents, config = self.documents, parts.config
        tokens = sum(document.tokens for document in documents)
        with_z = sum(document.nll_with for document in documents)
        without = sum(document.nll_without for document in documents)
        bits = (without - with_z) / log(2)
        memory_bits = len(documents) * config.slots * config.z_dim * bits_a_number
        own = self.confusion.diagonal()
        others = (self.confusion.sum(dim=1) - own) / max(1, self.confusion.shape[1] - 1)

        best = [row == column for row, column in enumerate(self.confusion.argmin(dim=1).tolist())]

        def mean(name: str) -> float:
            return sum(float(getattr(d, name)) for d in documents) / len(documents)

        return {
            "documents": len(documents),
            "tokens": tokens,
            "perplexity_with": exp(with_z / tokens),
            "perplexity_without": exp(without / tokens),
            "perplexity_ratio": exp((with_z - without) / tokens),
            "token_accuracy": sum(d.token_accuracy * d.tokens for d in documents) / tokens,
            "greedy_accuracy": sum(d.greedy_accuracy * d.tokens for d in documents) / tokens,
            "greedy_prefix": mean("greedy_prefix"),
            "exact": mean("exact"),
            "rouge_l": mean("rouge_l"),
            "bleu": mean("bleu"),
            "chrf": mean("chrf"),
            "own_memory_best": sum(best) / len(best),
            "confused_documents": len(own),
            "candidate_memories": self.confusion.shape[1],
            "loss_own_memory": own.mean().item(),
            "loss_other_memories": others.mean().item(),
            "bits_stored": bits,
            "bits_per_token": bits / tokens,
            "memory_bits": memory_bits,
            "bits_per_memory_bit": bits / memory_bits,
            "bits_per_shared_parameter": bits / sum(p.numel() for p in parts.parameters()),
        }


def reconstruct(
    llm: LocalModel,
    parts: SharedParts,
    codes: Tensor,
    documents: Sequence[Sequence[int]],
    names: Sequence[str],
) -> Reconstruction:
    """Score codes [documents, slots, z_dim] against the token ids they were written from.

    Documents in random order make the confusion's first ones a fair sample. Raises InputError for
    a document too long for the window.
    """
    check_lengths(llm, parts.config.slots, documents, names)
    end = end_token(llm)
    targets = [[*document, end] for document in documents]
    with torch.no_grad(), without_dropout(llm.model, parts):
        memories = parts.memory(codes.to(parts.code_std))
        asked = llm.parts(recall_prompt())
        rows = [Row(asked, [m], t) for m, t in zip(memories, targets, strict=True)]
        known = _scores(llm, rows)
        start = llm.encode("")
        unknown = _scores(llm, [Row([start], [], target) for target in targets])
        written = greedy_tokens(llm, memories, list(map(len, targets)))
        losses = confusion(llm, memories, targets)
    scores = [
        _document(llm, name, target, (*with_z, nothing), greedy)
        for name, target, with_z, (nothing, _), greedy in zip(
            names, targets, known, unknown, written, strict=True
        )
    ]
    return Reconstruction(tuple(scores), losses)


def greedy_tokens(llm: LocalModel, memories: Tensor, most: Sequence[int]) -> list[list[int]]:
    """What greedy decoding writes from memories [n, length, hidden] alone.

    Row i has at most ``most[i]`` tokens and ends with the end token if one was written.
    """
    end = end_token(llm)
    embed, asked = llm.model.get_input_embeddings(), llm.parts(recall_prompt())

    def run(batch: list[int]) -> list[list[int]]:
        inputs = torch.stack([woven(embed, asked, [memory]) for memory in memories[batch]])
        output = llm.model.generate(
            inputs_embeds=inputs,
            attention_mask=torch.ones(inputs.shape[:2], dtype=torch.long, device=inputs.device),
            max_new_tokens=max(most[i] for i in batch),
            do_sample=False,
            eos_token_id=end,
            pad_token_id=llm.tokenizer.pad_token_id,
        )
        return [row[: most[i]] for i, row in zip(batch, output.tolist(), strict=True)]

    found: dict[int, list[int]] = {}
    for batch in llm.batches(range(len(most)), [range(length) for length in most]):
        found |= dict(zip(batch, halving(run, batch), strict=True))
    rows = [found[i] for i in range(len(most))]
    return [row[: row.index(end) + 1] if end in row else row for row in rows]


def confusion(llm: LocalModel, memories: Tensor, targets: Sequence[Sequence[int]]) -> Tensor:
    """Mean losses [first documents, first memories] in nats a token; see ``Reconstruction``."""
    candidates = memories[:CANDIDATES]
    chosen = targets[:CONFUSED]
    asked = llm.parts(recall_prompt())
    rows = [Row(asked, [memory], target) for target in chosen for memory in candidates]
    means = [nll / len(row.target) for row, (nll, _) in zip(rows, _scores(llm, rows), strict=True)]
    return torch.tensor(means).reshape(len(chosen), len(candidates))


def _scores(llm: LocalModel, rows: Sequence[Row]) -> list[tuple[float, int]]:
    """Summed negative log-likelihood (nats) of each row's target, and tokens that were first."""

    def run(batch: list[int]) -> list[tuple[float, int]]:
        packed = pack(llm.model, [rows[i] for i in batch])
        logits = target_logits(llm.model, packed)
        sums = token_losses(logits, packed.targets).double().sum(dim=1)
        hits = (logits.argmax(dim=-1) == packed.targets).sum(dim=1)
        return list(zip(sums.tolist(), hits.tolist(), strict=True))

    lengths = [range(row.length) for row in rows]
    found: dict[int, tuple[float, int]] = {}
    for batch in llm.batches(range(len(rows)), lengths):
        found |= dict(zip(batch, halving(run, batch), strict=True))
    return [found[i] for i in range(len(rows))]


def _document(
    llm: LocalModel,
    name: str,
    target: Sequence[int],
    forced: tuple[float, int, float],
    greedy: Sequence[int],
) -> DocumentScores:
    import sacrebleu

    nll_with, hits, nll_without = forced
    right = [a == b for a, b in zip(target, greedy, strict=False)]
    prefix = right.index(False) if False in right else len(right)
    text, wanted = (llm.tokenizer.decode(ids, skip_special_tokens=True) for ids in (greedy, target))
    return DocumentScores(
        id=name,
        tokens=len(target),
        nll_with=nll_with,
        nll_without=nll_without,
        token_accuracy=hits / len(target),
        greedy_accuracy=sum(right) / len(target),
        greedy_prefix=prefix,
        exact=prefix == len(target),
        rouge_l=rouge_l(text, [wanted]),
        bleu=sentence_bleu(text, [wanted]),
        chrf=float(sacrebleu.sentence_chrf(text, [wanted]).score) / 100,
        greedy=text,
    )
