"""The tuned reader of trained shared parts: its adapter, what it is for, what it learnt from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from harness.data.trained_on import TrainedOn, read_record
from harness.method import Method, MethodParams

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


class TunedReader(Method):
    """A method whose answers are those of the tuned reader of its shared parts."""

    @property
    def shared(self) -> str | None:
        """The shared parts, by name or folder; None for untrained ones."""
        return getattr(self.params, "shared", None)

    @property
    def adapter(self) -> Path | None:
        """The tuned reader's adapter."""
        return reader_adapter(self.shared)

    def trained_on(self) -> tuple[TrainedOn, ...]:
        """What the shared parts were trained on; nothing if there are none."""
        from methods.parametric_qa.shared.bundle import find_bundle

        name = self.shared
        return (read_record(find_bundle(name), f"shared parts '{name}'"),) if name else ()

    def check_entry(self, model: ModelConfig) -> None:
        """The shared parts are whole, and for one style of prompts."""
        check_shared(self.shared, model)

    def check_model(self, llm: LanguageModel) -> None:
        """The shared parts are for one model, as it is without their adapter."""
        from harness.llm.local import LocalModel
        from methods.parametric_qa.shared.bundle import base_of, check_style, find_bundle
        from methods.parametric_qa.shared.parts import SharedParts

        if self.shared is not None and isinstance(llm, LocalModel):
            folder = find_bundle(self.shared)
            SharedParts.load(base_of(folder)).check_model(llm.model, llm.name)
            check_style(folder, llm.prompt_style, llm.name)
