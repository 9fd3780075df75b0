"""Speed and memory of a model of Llama-3.1-8B's shape; of random weights, it answers nothing."""

from __future__ import annotations

from time import perf_counter

import torch

from harness.llm.generation import generate_all
from harness.llm.requests import GenerateRequest
from harness.llm.runtime import Runtime
from harness.meters.memory import PeakMemory
from tests.gpu.models import (
    LLAMA_8B_PARAMETERS,
    SEED,
    SMALL,
    Folders,
    random_llama,
    requests,
)
from tests.gpu.report import Found

PROMPTS, WORDS, TOKENS = 32, 250, 64


def check_speed(device: str, folders: Folders) -> Found:
    """Tokens read and written a second, and peak memory; every reply has all its tokens."""
    on_gpu = device != "cpu"
    runtime = random_llama({} if on_gpu else SMALL, device)
    asked = requests(PROMPTS if on_gpu else 4, WORDS if on_gpu else 20, TOKENS if on_gpu else 8)
    first = [GenerateRequest(request.prompt, 1) for request in asked]
    timed(runtime, first[:1], device)  # the first call loads libraries
    with PeakMemory(device) as memory:
        reading, read = timed(runtime, first, device)
        seconds, tokens = timed(runtime, asked, device)
    written = sum(count for _, count in tokens)
    parameters = runtime.model.num_parameters()
    facts = {
        "marked": "random weights: speed and memory only",
        "parameters": parameters,
        "dtype": str(runtime.model.dtype).removeprefix("torch."),
        "prompt_tokens": sum(count for count, _ in read),
        "prompt_tokens_a_second": sum(count for count, _ in read) / reading,
        "tokens_written": written,
        "tokens_written_a_second": (written - len(asked)) / max(seconds - reading, 1e-9),
        **memory.record(),
    }
    passed = written == len(asked) * asked[0].max_tokens
    if on_gpu:
        passed &= parameters == LLAMA_8B_PARAMETERS
        passed &= facts["peak_bytes"] > 2 * LLAMA_8B_PARAMETERS
    name = "Llama-3.1-8B's shape" if on_gpu else "Llama 3.1's architecture, tiny"
    return Found(passed, f"{name}, random weights", len(asked), SEED, facts)


def timed(
    runtime: Runtime, asked: list[GenerateRequest], device: str
) -> tuple[float, list[tuple[int, int]]]:
    """Seconds, and each request's tokens read and written."""
    if device != "cpu":
        torch.cuda.synchronize(device)
    start = perf_counter()
    found = [reply for _, reply in generate_all(runtime, asked)]
    seconds = perf_counter() - start
    return seconds, [(reply.prompt_tokens or 0, reply.completion_tokens or 0) for reply in found]
