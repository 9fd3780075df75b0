"""Batches by free memory: the arithmetic with given numbers, and what it changes of a model's."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from harness.llm import runtime as runtimes
from harness.llm.batches import length_sorted_batches, neighbours
from harness.llm.device_memory import NO_LIMIT, SHARE, Shape, fitting, free_bytes
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest
from harness.llm.runtime import Runtime

GB = 2**30
SMOL = Shape(layers=30, heads=9, key_heads=3, head_size=64, hidden=576, inner=1536, number=4)
"""SmolLM2-135M in float32."""
LLAMA = Shape(layers=32, heads=32, key_heads=8, head_size=128, hidden=4096, inner=14336, number=2)
"""Llama-3.1-8B in bfloat16."""


def test_bytes_of_a_token_and_of_a_pair_by_hand() -> None:
    keys_and_values = 2 * 30 * 3 * 64
    assert SMOL.token == 4 * (keys_and_values + 6 * 576 + 3 * 1536 + 2 * 9 * 64)
    assert SMOL.pair == 4 * 5 * 9
    assert LLAMA.token == 2 * (2 * 32 * 8 * 128 + 6 * 4096 + 3 * 14336 + 2 * 32 * 128)


@pytest.mark.parametrize("shape", [SMOL, LLAMA])
@pytest.mark.parametrize("free", [0, 1, 2 * GB, 16 * GB, 80 * GB, 141 * GB])
@pytest.mark.parametrize("longest", [100, 1024, 8192])
def test_no_batch_takes_more_than_its_share(shape: Shape, free: int, longest: int) -> None:
    tokens, pairs = fitting(free, shape, 65_536)
    assert 1 <= tokens <= 65_536 and pairs >= 1
    prompts = [[0] * longest] * 64
    for batch in length_sorted_batches(range(64), prompts, 64, tokens, pairs):
        padded = len(batch) * longest
        taken = padded * shape.token + padded * longest * shape.pair
        assert len(batch) == 1 or taken <= 2 * SHARE * free < free


def test_a_large_card_takes_what_it_took_and_long_prompts_no_longer_fill_it() -> None:
    tokens, pairs = fitting(139 * GB, SMOL, 65_536)
    assert tokens == 65_536
    short, long = [[0] * 1024] * 64, [[0] * 8192] * 64
    assert len(next(length_sorted_batches(range(64), short, 64, tokens, pairs))) == 64
    batch = next(length_sorted_batches(range(64), long, 64, tokens, pairs))
    assert len(batch) == 4  # eight took 107 GB
    assert list(neighbours([8192] * 6, 64, tokens, (0, 6), pairs)) == [(0, 4), (4, 6)]


def test_on_a_cpu_nothing_is_asked_and_nothing_changes(tiny_model_dir) -> None:
    llm = LocalModel(ModelConfig(name="tiny", path=str(tiny_model_dir)), str(tiny_model_dir))
    assert free_bytes(torch.device("cpu")) is None
    held = llm.runtime.batch_tokens, llm.runtime.held_tokens, llm.runtime.batch_pairs
    assert held == (1024, 16_384, NO_LIMIT)


def test_a_card_with_little_memory_bounds_a_models_batches_and_no_answer(
    tiny_model_dir, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = LocalModel(ModelConfig(name="tiny", path=str(tiny_model_dir)), str(tiny_model_dir))
    shape = Shape.of(llm.model)
    assert shape is not None and shape.number == 4
    requests = [GenerateRequest("word " * n, max_tokens=4) for n in (3, 9, 20, 4)]
    before = dict(llm.generate(requests))
    free = int(40 * shape.token / SHARE) + shape.token
    monkeypatch.setattr(runtimes, "free_bytes", lambda device: free)
    args = "tiny", llm.model, llm.tokenizer, torch.device("cuda")
    small = Runtime.of(*args)
    assert (small.batch_size, small.batch_tokens) == (64, 40)
    assert small.held_tokens == 40 and 1 <= small.batch_pairs < NO_LIMIT
    llm.runtime = replace(
        llm.runtime, batch_tokens=40, held_tokens=40, batch_pairs=small.batch_pairs
    )
    assert dict(llm.generate(requests)) == before
    monkeypatch.setattr(runtimes, "free_bytes", lambda device: 10**15)
    assert Runtime.of(*args).batch_tokens == 65_536


def test_a_model_that_does_not_tell_its_shape_has_the_usual_batches() -> None:
    config = SimpleNamespace(hidden_size=8)
    config.get_text_config = lambda: config
    assert Shape.of(SimpleNamespace(config=config, dtype=torch.float32)) is None
