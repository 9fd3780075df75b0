"""Models of random weights for the GPU check: nothing is downloaded."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest, Reply
from harness.llm.runtime import Runtime
from tests.methods.adaptive_lab import build_tiny_encoder
from tests.tiny import SENTENCES, build_tiny_model, save_tiny_llama, tiny_tokenizer
from tests.tiny_checkpoints import build_tiny_llama_chat, build_tiny_self_rag
from tests.tiny_thinker import build_tiny_thinkers

SEED = 0
# Of meta-llama/Llama-3.1-8B's config.json; with it the model has LLAMA_8B_PARAMETERS.
LLAMA_8B = {
    "vocab_size": 128_256,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131_072,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}
LLAMA_8B_PARAMETERS = 8_030_261_248
SMALL = {
    "vocab_size": 1024,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
}
"""The same architecture where there is no GPU."""


@dataclass(frozen=True)
class Folders:
    """Saved models, by what they are for."""

    work: Path
    random: Path
    trained: Path
    self_rag: Path
    chat: Path
    chooser: Path
    encoder: Path

    @classmethod
    def build(cls, work: Path) -> Folders:
        """Make them all below ``work``, in some seconds."""
        return cls(
            work=work,
            random=build_tiny_model(work / "random"),
            trained=build_tiny_thinkers(work / "thinkers")["switch"],
            self_rag=build_tiny_self_rag(work / "self-rag"),
            chat=build_tiny_llama_chat(work / "chat"),
            chooser=_build_chooser(work / "chooser"),
            encoder=build_tiny_encoder(work / "encoder"),
        )


def _build_chooser(folder: Path) -> Path:
    """A random model whose tokenizer tells apart what self-rag-prompted has a model choose from."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["Poor", "Perfect"])
    return save_tiny_llama(tokenizer, folder, SEED, key_value_heads=2)


def load(folder: Path, device: str, dtype: str = "float32") -> LocalModel:
    """A local model as a run opens it."""
    style = "chat" if folder.name == "switch" else "completion"
    values = {"name": "tiny", "path": str(folder), "dtype": dtype, "prompt_style": style}
    return LocalModel(ModelConfig.model_validate(values), str(folder), device=device)


def llama_config(shape: dict[str, Any]) -> Any:
    """A Llama 3.1 of the given shape; it has no end token, so that it writes all it may."""
    from transformers import LlamaConfig

    return LlamaConfig(**{**LLAMA_8B, **shape}, bos_token_id=0, eos_token_id=None, pad_token_id=2)


def random_llama(shape: dict[str, Any], device: str) -> Runtime:
    """A Llama of random weights, made on its device, and a tokenizer of a few hundred tokens."""
    from transformers import LlamaForCausalLM

    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    before = torch.get_default_dtype()
    torch.manual_seed(SEED)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(llama_config(shape))
    finally:
        torch.set_default_dtype(before)
    model = model.eval().requires_grad_(False)
    return Runtime.of("random-llama", model, tiny_tokenizer(), torch.device(device))


def requests(count: int, words: int, max_tokens: int) -> list[GenerateRequest]:
    """Prompts that begin alike, of ``words`` to twice as many words."""
    rng = random.Random(SEED)
    vocabulary = " ".join(SENTENCES).split()
    head = " ".join(SENTENCES[:3])
    return [
        GenerateRequest(
            f"{head} {' '.join(rng.choices(vocabulary, k=rng.randint(words, 2 * words)))}",
            max_tokens,
        )
        for _ in range(count)
    ]


def replies(llm: LocalModel, asked: list[GenerateRequest]) -> list[Reply]:
    """Replies in the order of the requests."""
    found = dict(llm.generate(asked))
    return [found[index] for index in range(len(asked))]
