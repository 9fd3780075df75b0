"""The tuned reader of trained shared parts: its adapter, what it is for, what it learnt from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from harness.data.trained_on import TrainedOn, read_record
from harness.method import MethodParams

if TYPE_CHECKING:
    from harness.llm.base import LanguageModel
    from harness.llm.model_config import ModelConfig
    from methods.parametric_qa.shared.bundle import Bundle

DEFAULT_SHARED = "smollm2-135m-instruct"


class SharedParams(MethodParams):
    """Where the shared parts come from."""

    shots: int = Field(0, ge=0, le=64, description="demonstrations from the train split")
    shared: str | None = Field(
        DEFAULT_SHARED,
        description="shared parts: the name of shipped ones or a folder that 'memory-harness "
        "train' wrote; null makes untrained ones from the model",
    )


def reader_adapter(shared: str | None) -> Path | None:
    """The adapter of a tuned reader, if there are shared parts and they hold one."""
    from methods.parametric_qa.shared.bundle import adapter_of, find_bundle

    return adapter_of(find_bundle(shared)) if shared else None


def check_shared(shared: str | None, model: ModelConfig, size: str | None = None) -> Bundle | None:
    """Raise HarnessError unless trained shared parts are whole, have this size, and are for prompts
    of the style that the model is asked in; the parts, if there are any."""
    from harness.llm.style import prompt_style
    from methods.parametric_qa.shared.bundle import Bundle, check_style, find_bundle

    if shared is None:
        return None
    folder = find_bundle(shared)
    check_style(folder, prompt_style(model), model.name)
    return Bundle.load(folder).cut(size)


def check_reader(shared: str | None, llm: LanguageModel) -> None:
    """Raise ConfigError unless trained shared parts are for the model, and for its prompts' style.

    The model is as it is without their adapter.
    """
    from harness.llm.local import LocalModel
    from methods.parametric_qa.shared.bundle import base_of, check_style, find_bundle
    from methods.parametric_qa.shared.parts import SharedParts

    if shared is not None and isinstance(llm, LocalModel):
        folder = find_bundle(shared)
        SharedParts.load(base_of(folder)).check_model(llm.model, llm.name)
        check_style(folder, llm.prompt_style, llm.name)


def shared_record(shared: str | None) -> tuple[TrainedOn, ...]:
    """What trained shared parts learnt from; nothing if there are none."""
    from methods.parametric_qa.shared.bundle import find_bundle

    return (read_record(find_bundle(shared), f"shared parts '{shared}'"),) if shared else ()
