"""Requests as keys and results as JSON: what a journal holds of a call."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from harness.llm.adapters import adapter_fingerprint
from harness.llm.requests import NextTokenProbs, Reply, Scores, TokenChoice
from harness.records import Passage

if TYPE_CHECKING:
    import torch

    from harness.data.corpus import Corpus
    from harness.llm.keyvalues import KeyValues

Stored = Mapping[str, Any]

_BESIDE = ("keep_for", "soft_prompts", "adapters", "prefix")
"""Fields of a request that change no result, or are no JSON: vectors and LoRAs go by content."""


def key_of(kind: str, request: Any) -> str:
    """SHA-256 (hex) of all that a result depends on: equal requests have equal keys."""
    if not is_dataclass(request):
        return _digest([kind, request])
    names = (field.name for field in fields(request))
    asked = {name: getattr(request, name) for name in names if name not in _BESIDE}
    vectors: Sequence[torch.Tensor] = getattr(request, "soft_prompts", ())
    adapters = map(adapter_fingerprint, getattr(request, "adapters", ()))
    prefix: KeyValues | None = getattr(request, "prefix", None)
    # Read text changes no result; without any a request has the key that it always had.
    trained = prefix.without_text() if prefix is not None else None
    layers = trained.layers if trained is not None else ()
    before = [_of_tensor(part) for layer in layers for part in (layer.keys, layer.values)]
    told = [*map(_of_tensor, vectors), *adapters, *([before] if before else [])]
    return _digest([kind, asked, *told])


def stored(kind: str, result: Any) -> Stored:
    """A result as JSON; of passages their ids and scores."""
    if kind == "search":
        return {"ids": [p.id for p in result], "scores": [p.score for p in result]}
    values = asdict(result)
    values.pop("first_token", None)  # a moment of a clock that the next session does not have
    return values


def restored(kind: str, values: Stored, corpus: Corpus | None) -> Any:
    """The result that ``stored`` was made of."""
    return _RESTORE[kind](values, corpus)


def _reply(values: Stored, _: Corpus | None) -> Reply:
    choices = tuple(TokenChoice(**choice) for choice in values["choices"])
    return Reply(**{**values, "choices": choices})


def _scores(values: Stored, _: Corpus | None) -> Scores:
    logprobs, counts = tuple(values["logprobs"]), tuple(values["token_counts"])
    return Scores(logprobs, counts, values["prompt_tokens"], values["prefix_tokens"])


def _probs(values: Stored, _: Corpus | None) -> NextTokenProbs:
    return NextTokenProbs(values["probs"], values["prompt_tokens"], values["prefix_tokens"])


def _passages(values: Stored, corpus: Corpus | None) -> list[Passage]:
    assert corpus is not None  # its client lets no search through without one
    found = zip(map(corpus.get, values["ids"]), values["scores"], strict=True)
    return [Passage(p.id, p.title, p.text, score) for p, score in found]


_RESTORE: dict[str, Callable[[Stored, Corpus | None], Any]] = {
    "search": _passages,
    "generate": _reply,
    "score": _scores,
    "next_token_probs": _probs,
}


def _digest(value: Any) -> str:
    # Escaped: half of a surrogate pair, which a prompt may hold, is no UTF-8.
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=asdict).encode()).hexdigest()


def _of_tensor(vectors: torch.Tensor) -> list[Any]:
    values = vectors.detach().cpu().float().numpy().tobytes()
    return [str(vectors.dtype), list(vectors.shape), hashlib.sha256(values).hexdigest()]
