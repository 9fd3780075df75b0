"""Traced calls: what a question's trace keeps of each call, as values that JSON can hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.llm.fitting import Fitted
from harness.llm.requests import NextTokenProbs, Reply, Scores, as_text
from harness.llm.text import common_beginning
from harness.prompts import SOFT
from harness.records import Passage

if TYPE_CHECKING:
    import torch

    from harness.llm.keyvalues import KeyValues


def generated(
    fitted: Fitted,
    soft_prompts: Sequence[torch.Tensor],
    reply: Reply,
    prefix: KeyValues | None = None,
) -> dict[str, Any]:
    """Of a generation: the prompt, with a word in place of vectors, and the reply."""
    prompt = _prompt(fitted, prefix, reply.prefix_tokens)
    for vectors in soft_prompts:
        prompt = prompt.replace(SOFT, f"[{len(vectors)} vectors]", 1)
    return {
        "prompt": prompt,
        "reply": reply.text,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        **_before(reply.prefix_tokens),
        **_not_shown(fitted),
        # Only where there is something to tell: most traces are of models that do not think.
        **({"thoughts": reply.thoughts} if reply.thoughts else {}),
        **({"cut_off": True} if reply.cut_off else {}),
    }


def scored(
    fitted: Fitted,
    continuations: Sequence[str],
    scores: Scores,
    prefix: KeyValues | None = None,
) -> dict[str, Any]:
    """Of continuations that were scored: the prompt, the texts, natural-log probabilities."""
    return {
        "prompt": _prompt(fitted, prefix, scores.prefix_tokens),
        "continuations": list(continuations),
        "logprobs": [_rounded(value) for value in scores.logprobs],
        "prompt_tokens": scores.prompt_tokens,
        **_before(scores.prefix_tokens),
        **_not_shown(fitted),
    }


def compared(
    fitted: Fitted, result: NextTokenProbs, prefix: KeyValues | None = None
) -> dict[str, Any]:
    """Of next tokens that were compared: the prompt and each one's probability."""
    return {
        "prompt": _prompt(fitted, prefix, result.prefix_tokens),
        "probs": {text: _rounded(p) for text, p in result.probs.items()},
        "prompt_tokens": result.prompt_tokens,
        **_before(result.prefix_tokens),
        **_not_shown(fitted),
    }


def searched(text: str, k: int, passages: Sequence[Passage]) -> dict[str, Any]:
    """Of a search: the query, how many were asked for, ids and scores of what came, best first."""
    return {
        "query": text,
        "k": k,
        "retrieved_ids": [p.id for p in passages],
        "scores": [_rounded(p.score) for p in passages if p.score is not None],
    }


def named(adapters: Sequence[Path]) -> dict[str, list[str]]:
    """Of a call with adapters of its own: the names of their folders."""
    # Where they lie differs from machine to machine.
    return {"adapters": [folder.name for folder in adapters]} if adapters else {}


def storable(reply: Reply) -> Reply:
    """The reply with texts that can be written as UTF-8."""
    return replace(reply, text=_whole(reply.text), thoughts=_whole(reply.thoughts))


def _prompt(fitted: Fitted, prefix: KeyValues | None, held: int) -> str:
    """The prompt, with a word in place of what every question's prompt begins with."""
    prompt = as_text(fitted.rendered)
    if prefix is None or not held:
        return prompt
    words = "trained" if prefix.trained else "read before"
    begun = common_beginning([prompt, prefix.text])
    return f"[{held:,} positions {words}]{prompt[len(begun) :]}"


def _before(held: int) -> dict[str, int]:
    return {"prefix_tokens": held} if held else {}


def _not_shown(fitted: Fitted) -> dict[str, int]:
    cut = {"passages_cut": fitted.cut} if fitted.cut else {}
    return {"passages_dropped": fitted.dropped, **cut}


def _whole(text: str) -> str:
    # Servers may cut a character in two; half of one cannot be written as UTF-8.
    return text.encode(errors="replace").decode()


def _rounded(value: float) -> float | None:
    # JSON knows no infinity; a continuation the model rules out has one.
    return round(float(value), 4) if isfinite(value) else None
