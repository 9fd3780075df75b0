"""The command ``evaluate-write``: what can be read out of the memories of a few passages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.common import check_writable, console
from harness.report import checked_options, given, report, save

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def evaluate_write(
    task: Annotated[str, typer.Option(help="Task whose corpus gives the passages.")],
    passages: Annotated[int, typer.Option(help="How many to write.")] = 16,
    slots: Annotated[int | None, typer.Option(help="Vectors of a memory (default 8).")] = None,
    z_dim: Annotated[int | None, typer.Option(help="Numbers of a vector (default: all).")] = None,
    init: Annotated[str, typer.Option(help="random, spans or encoder.")] = "random",
    steps: Annotated[int, typer.Option(help="Optimisation steps, 0 to 1000.")] = 120,
    learning_rate: Annotated[
        float | None, typer.Option(help="In standard deviations of a code's numbers.")
    ] = None,
    anchor: Annotated[float, typer.Option(help="Weight of staying near the first code.")] = 0.0,
    stop_below: Annotated[float, typer.Option(help="Loss at which a passage is done.")] = 0.0,
    max_tokens: Annotated[int | None, typer.Option(help="Cut passages to so many.")] = None,
    shared: Annotated[Path | None, typer.Option(help="Folder of trained shared parts.")] = None,
    model: Annotated[str | None, typer.Option(help="Catalogue name, hf:ORG/NAME, path:…")] = None,
    seed: Annotated[int, typer.Option(help="Of random first codes.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for documents.csv, summary.json.")
    ] = None,
) -> None:
    """Write a few passages into memories and measure what can be read out of them."""
    if out is not None:
        check_writable(out)
    settings = given(steps=steps, learning_rate=learning_rate, anchor=anchor, stop_below=stop_below)
    options = evaluate_options(
        given(
            task=task, passages=passages, slots=slots, z_dim=z_dim, init=init, settings=settings,
            shared=shared, seed=seed, max_tokens=max_tokens, device=device, model=model,
        )
    )  # fmt: skip
    typer.echo(evaluated(options, out))


def evaluated(options: Any, out: Path | None) -> str:
    """Write and measure as ``options`` (EvaluateOptions) say; the table, and files in ``out``."""
    from importlib import import_module

    module = import_module("methods.parametric_qa.evaluate.evaluate_write")
    evaluation = module.evaluate_write(options, out, console())
    if out is not None:
        summary = {"facts": evaluation.facts, "summary": evaluation.summary}
        confusion = evaluation.scores.confusion.tolist()
        save(out, {"documents": evaluation.rows()}, {**summary, "confusion": confusion})
    return _table(evaluation.facts, evaluation.summary)


def evaluate_options(values: Mapping[str, Any]) -> Any:
    """Validated EvaluateOptions. Raises ConfigError naming the option."""
    return checked_options(
        "methods.parametric_qa.evaluate.evaluate_write", "EvaluateOptions", values
    )


def _table(facts: Mapping[str, Any], summary: Mapping[str, float]) -> str:
    rows = [(name, format(summary[key], form)) for key, (name, form) in _FIGURES.items()]
    return report(
        "Reconstruction from memories", _caption(facts, summary), ("Figure", "Value"), rows
    )


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
