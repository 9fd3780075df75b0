"""The table of an evaluation of writing, and the summary kept beside its records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.report import report

if TYPE_CHECKING:
    from methods.parametric_qa.evaluate.evaluate_write import Evaluation

_FIGURES = {
    "perplexity_with": ("Perplexity with z", ".2f"),
    "perplexity_without": ("Perplexity without z (start token alone)", ".2f"),
    "perplexity_ratio": ("Ratio of the two", ".3f"),
    "token_accuracy": ("Token accuracy, teacher forced", ".3f"),
    "greedy_accuracy": ("Token accuracy, greedy", ".3f"),
    "greedy_prefix": ("Tokens right before the first wrong one, greedy, mean", ".1f"),
    "exact": ("Passages reproduced token for token", ".3f"),
    "rouge_l": ("ROUGE-L of the greedy text", ".3f"),
    "bleu": ("BLEU of the greedy text", ".3f"),
    "chrf": ("chrF of the greedy text", ".3f"),
    "own_memory_best": ("Passages whose own memory fits them best", ".3f"),
    "loss_own_memory": ("Loss under the own memory (nats a token)", ".3f"),
    "loss_other_memories": ("Loss under other memories (nats a token)", ".3f"),
    "bits_stored": ("Bits stored", ",.0f"),
    "bits_per_token": ("Bits stored a token", ".2f"),
    "bits_per_memory_bit": ("Bits stored a bit of memory", ".4f"),
    "bits_per_shared_parameter": ("Bits stored a shared parameter", ".4f"),
}


def table(evaluation: Evaluation) -> str:
    """Every figure in a row, under what was written and how, as markdown."""
    facts, summary = evaluation.facts, evaluation.summary
    rows = [(name, format(summary[key], form)) for key, (name, form) in _FIGURES.items()]
    return report(
        "Reconstruction from memories", _caption(facts, summary), ("Figure", "Value"), rows
    )


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """Facts, figures, and the loss of each passage under each memory (``confusion``)."""
    return {
        "facts": evaluation.facts,
        "summary": evaluation.summary,
        "confusion": evaluation.scores.confusion.tolist(),
    }


def _caption(facts: Mapping[str, Any], summary: Mapping[str, float]) -> list[str]:
    settings = facts["settings"]
    cut = f", cut to {facts['max_tokens']} tokens" if facts["max_tokens"] else ""
    return [
        f"Model: {facts['model']}, fingerprint {facts['model_fingerprint'][:12]}. "
        f"Shared parts: {facts['shared']}.",
        f"Corpus: {facts['task']}, fingerprint {facts['corpus_fingerprint'][:12]}; "
        f"{facts['passages']:,} passages with the smallest SHA-256 of their ids{cut}, "
        f"{summary['tokens']:,} tokens with their end tokens. Seed {facts['seed']}.",
        f"Memory: {facts['slots']} slots of {facts['z_dim']} numbers of "
        f"{facts['bits_a_number']} bits; first codes: {facts['init']}; at most "
        f"{settings['steps']:,} steps, learning rate {settings['learning_rate']:g}, anchor "
        f"{settings['anchor']:g}.",
        f"Fits best: {summary['confused_documents']:,} passages, each under the memories of "
        f"{summary['candidate_memories']:,}.",
        f"Hardware: {facts['hardware']}, {facts['threads']} threads. "
        f"Writing took {facts['write_seconds']:,.0f} s. {facts['date']}.",
    ]
