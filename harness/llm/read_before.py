"""What of a prompt was read before, by a call's other prompts, the question's last or a prefix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.llm.prefix import NO_PREFIX, Layer, SharedPrefix
from harness.llm.requests import GenerateRequest
from harness.llm.runtime import Runtime
from harness.llm.soft import with_soft

if TYPE_CHECKING:
    import torch


def longest(
    runtime: Runtime, shared: SharedPrefix, prompt: list[int], request: GenerateRequest
) -> SharedPrefix:
    """The request's own prefix; else the longer of what the call's prompts share and what was kept
    for the request's question."""
    if request.prefix is not None:
        return request.prefix.first(held(runtime, prompt, request))
    if request.soft_prompts:
        return NO_PREFIX
    if runtime.kept is None or request.keep_for is None:
        return shared
    return max(shared, runtime.kept.prefix(request.keep_for, prompt), key=lambda p: p.length)


def held(runtime: Runtime, prompt: list[int], request: GenerateRequest) -> int:
    """Tokens of a prompt that its request's prefix holds, none after a soft prompt."""
    if request.prefix is None:
        return 0
    readable = runtime.parts(request.prompt)[0] if request.soft_prompts else prompt
    return request.prefix.shared(readable)


def keep(
    runtime: Runtime,
    prompt: list[int],
    request: GenerateRequest,
    layers: Callable[[], Sequence[Layer]],
) -> None:
    """Keep a prompt for the next one of its question, if its method asked for that."""
    owner = request.keep_for
    own = bool(request.soft_prompts) or request.prefix is not None
    if runtime.kept is None or owner is None or own:
        return
    if runtime.kept.has_room(owner, len(prompt)):
        runtime.kept.keep(owner, prompt, layers())


def left_to_read(
    runtime: Runtime,
    prompts: list[list[int]],
    requests: Sequence[GenerateRequest],
    prefixes: Sequence[SharedPrefix],
) -> list[torch.Tensor]:
    """What follows the prefixes: token ids, or embeddings if any has soft prompts."""
    import torch

    if any(request.soft_prompts for request in requests):
        rows = zip(prompts, requests, prefixes, strict=True)
        return [with_soft(runtime, p, request)[len(prefix.ids) :] for p, request, prefix in rows]
    return [
        torch.tensor(prompt[len(prefix.ids) :], device=runtime.device)
        for prompt, prefix in zip(prompts, prefixes, strict=True)
    ]
