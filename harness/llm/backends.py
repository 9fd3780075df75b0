"""Backends: the ways in which a model is run, and the most that each can offer a method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from harness.llm.requests import Capability

if TYPE_CHECKING:
    from harness.llm.model_config import Kind, ModelConfig

_TEXT: frozenset[Capability] = frozenset()
_LIKELIEST: frozenset[Capability] = frozenset({"next-token-probs"})
_LOGPROBS: frozenset[Capability] = frozenset({"next-token-probs", "logprobs"})


@dataclass(frozen=True, slots=True)
class Backend:
    """One way of running a model; what it really offers is known when the model is open."""

    name: str
    models: str
    """How such a model is named."""
    kind: Kind
    capabilities: frozenset[Capability]
    tokens: bool = False
    """Whether it can be asked if a text is one token of the model's own."""


BACKENDS = (
    Backend(
        "transformers",
        "a catalogue name, hf:ORG/NAME, path:FOLDER or gguf:FILE",
        "transformers",
        frozenset(get_args(Capability)),
        tokens=True,
    ),
    Backend(
        "vLLM here",
        "vllm:ORG/NAME or vllm:FOLDER, in this process; adapters and soft prompts where its entry "
        "sets max_lora_rank and prompt_embeds (tried against a stand-in of vLLM's interface, not "
        "yet on a GPU)",
        "vllm",
        _LOGPROBS | {"adapters", "soft-prompts"},
        tokens=True,
    ),
    Backend(
        "vLLM",
        "openai:MODEL@URL of a server that gives log-probabilities of given text and of the "
        "likeliest next tokens (vLLM; SGLang in the completion style)",
        "openai",
        _LOGPROBS,
        tokens=True,
    ),
    Backend(
        "server, likeliest tokens",
        "openai:MODEL@URL of a server that gives the likeliest next tokens (OpenAI, llama.cpp)",
        "openai",
        _LIKELIEST,
        tokens=True,
    ),
    Backend(
        "server, text alone",
        "openai:MODEL@URL of any other OpenAI-compatible server",
        "openai",
        _TEXT,
        tokens=True,
    ),
    Backend(
        "lm-eval",
        "lm-eval:NAME,ARG=VALUE of a model that has loglikelihood and a tokenizer (hf, vllm, "
        "sglang); one without them offers text alone",
        "lm-eval",
        _LOGPROBS,
    ),
)


def most(kind: Kind) -> frozenset[Capability]:
    """Everything that a model of this kind may offer once it is open."""
    return frozenset().union(*(each.capabilities for each in BACKENDS if each.kind == kind))


def withheld(config: ModelConfig) -> frozenset[Capability]:
    """What a model's entry keeps it from offering.

    Weights that are rounded take no exact edit, and a model with an adapter takes no other. vLLM
    takes what its engine is opened for.
    """
    rounded: set[Capability] = {"weights"} if config.quantization is not None else set()
    tuned: set[Capability] = {"weights", "adapters"} if config.adapter is not None else set()
    closed: set[Capability] = set()
    if config.kind == "vllm":
        closed |= {"adapters"} if config.max_lora_rank is None else set()
        closed |= set() if config.prompt_embeds else {"soft-prompts"}
    return frozenset(rounded | tuned | closed)
