"""Speed and memory of a model of Llama-3.1-8B's shape; of random weights, it answers nothing."""

from __future__ import annotations

from time import perf_counter

import torch

from harness.llm.generation import generate_all
from harness.llm.requests import GenerateRequest, Reply
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
        seconds, replies = timed(runtime, asked, device)
    read_tokens = sum(reply.prompt_tokens or 0 for reply in read)
    written = sum(reply.completion_tokens or 0 for reply in replies)
    parameters = runtime.model.num_parameters()
    facts = {
        "marked": "random weights: speed and memory only",
        "parameters": parameters,
        "dtype": str(runtime.model.dtype).removeprefix("torch."),
        "prompt_tokens": read_tokens,
        "prompt_tokens_a_second": read_tokens / reading,
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


def timed(runtime: Runtime, asked: list[GenerateRequest], device: str) -> tuple[float, list[Reply]]:
    """Seconds, and the replies in the order of the requests."""
    if device != "cpu":
        torch.cuda.synchronize(device)
    start = perf_counter()
    found = dict(generate_all(runtime, asked))
    seconds = perf_counter() - start
    return seconds, [found[index] for index in range(len(asked))]
