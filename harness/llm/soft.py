"""Soft segments: vectors that a model reads between the tokens of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.llm.requests import GenerateRequest

if TYPE_CHECKING:
    from torch import Tensor

    from harness.llm.runtime import Runtime


def woven(embed: Any, parts: Sequence[Sequence[int]], segments: Sequence[Tensor]) -> Tensor:
    """Embeddings [length, hidden] of token ids with a segment between each two parts.

    ``embed`` is the model's input embedding; segments are [any length, hidden] and one fewer than
    the parts (else ValueError). Reading, writing and training place vectors by this alone.
    """
    import torch

    ids = [token for part in parts for token in part]
    tokens = embed(torch.tensor(ids, dtype=torch.long, device=embed.weight.device))
    first, *rest = tokens.split([len(part) for part in parts])
    pairs = zip(segments, rest, strict=True)
    return torch.cat([first, *(x for segment, part in pairs for x in (segment.to(tokens), part))])


def with_soft(runtime: Runtime, prompt: Sequence[int], request: GenerateRequest) -> Tensor:
    """A request's embeddings [length, hidden], its soft prompts in their places.

    ``prompt`` are its token ids, all there is to a request without vectors.
    """
    parts = runtime.parts(request.prompt) if request.soft_prompts else [prompt]
    return woven(runtime.model.get_input_embeddings(), parts, request.soft_prompts)
