"""No call of ours is one that transformers will drop; it says so by warnings and in its log."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.llm import generation, kvcache, loading
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest, NextTokenRequest, ScoreRequest
from harness.prompts import SOFT, Message
from tests.tiny import save_tiny_adapter

PROMPT = "Question: Who wrote Hamlet? The capital of France is Paris, a city on the river. " * 3
# Where ATEN_CPU_CAPABILITY hides AVX-512, torch's attention still wants it for long bfloat16 rows.
SHORT = "Who wrote Hamlet? "


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def deprecations() -> Iterator[list[str]]:
    """What is said to be deprecated meanwhile, by warnings or in transformers' log."""
    from transformers.utils import logging as transformers_logging

    found: list[str] = []
    log, level = _Log(), transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_warning()
    transformers_logging.add_handler(log)
    once = getattr(logging.Logger.warning_once, "cache_clear", None)
    if once is not None:
        once()  # what an earlier test has seen is said again
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield found
    finally:
        transformers_logging.remove_handler(log)
        transformers_logging.set_verbosity(level)
    # What peft does on its own account is peft's.
    kinds = (DeprecationWarning, FutureWarning, PendingDeprecationWarning)
    texts = [str(w.message) for w in caught if issubclass(w.category, kinds)] + log.said
    found += [text for text in texts if "deprecat" in text.lower() or "removed in" in text]


@pytest.fixture
def loud(monkeypatch) -> None:
    """Loading a model leaves transformers' log as it is."""
    monkeypatch.setattr(loading, "quiet_libraries", lambda: None)


def load(folder: Path, **options) -> LocalModel:
    config = ModelConfig(name="tiny", path=str(folder), prompt_style="completion", **options)
    return LocalModel(config, str(folder), device="cpu")


def use(llm: LocalModel, prompt: str = PROMPT) -> None:
    """Every way in which a model is called."""
    import torch

    prompts = [f"{prompt}{end}" for end in ("a", "yes", "the Nile")]
    soft = torch.randn(3, llm.model.get_input_embeddings().embedding_dim)
    list(llm.generate([GenerateRequest(each, 4) for each in prompts]))
    for each in prompts:
        list(llm.generate([GenerateRequest(each, 4, keep_for="q")]))
    list(llm.generate([GenerateRequest(SOFT + prompt, 4, soft_prompts=(soft,))]))
    list(llm.generate([GenerateRequest(prompt, 4, watch=("a",))]))
    list(llm.generate([GenerateRequest(prompt, 4, temperature=1.0, seed=1)]))
    list(llm.generate([GenerateRequest((Message("user", "Who?"),), 4)]))
    list(llm.score([ScoreRequest(prompt, (" yes", " no"))]))
    list(llm.next_token_probs([NextTokenRequest(prompt, (" yes", " no"))]))


def test_a_deprecated_call_would_be_seen(tiny_model_dir):
    """The premise: the name by which transformers 5 had keys and values before it renamed them."""
    import inspect

    import torch
    from transformers import DynamicCache

    llm = load(tiny_model_dir)
    if "cache" not in inspect.signature(type(llm.model).forward).parameters:
        pytest.skip("this transformers still calls it past_key_values")
    with deprecations() as found:
        llm.model(torch.tensor([[1, 2]]), past_key_values=DynamicCache())
    assert any("past_key_values" in text for text in found)


def test_no_call_of_a_model_is_deprecated(tiny_model_dir, loud):
    with deprecations() as found:
        use(load(tiny_model_dir))
    assert found == []


def test_nor_is_any_where_transformers_writes(tiny_model_dir, loud, monkeypatch):
    monkeypatch.setattr(kvcache, "plain_layers", lambda config: 0)
    written = []
    by_transformers = generation._write_by_transformers
    monkeypatch.setattr(
        generation, "_write_by_transformers", lambda *a: written.append(1) or by_transformers(*a)
    )
    with deprecations() as found:
        use(load(tiny_model_dir))
    assert written
    assert found == []


def test_nor_is_any_of_adapters_and_coarser_numbers(tiny_model_dir, loud, tmp_path):
    adapter = save_tiny_adapter(tiny_model_dir, tmp_path / "lora")
    with deprecations() as found:
        use(load(tiny_model_dir, adapter=str(adapter)))
        llm = load(tiny_model_dir, dtype="bfloat16")
        with llm.adapted(adapter):
            use(llm, SHORT)
    assert found == []
