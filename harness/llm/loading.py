"""What loading a local model's parts has in common: any failure becomes one clear line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.errors import HarnessError, InputError

if TYPE_CHECKING:
    from harness.llm.catalogue import ModelConfig


@contextmanager
def explained(config: ModelConfig, part: str, path: str) -> Iterator[None]:
    """Turn whatever a loader raises into one InputError that names the model and the fix."""
    import torch

    try:
        yield
    except Exception as error:
        fix = (
            f"for {part}, give a local folder or a hub id in reach that fits the model; weights "
            "must be safetensors, since pickle files can run code"
        )
        if isinstance(error, torch.OutOfMemoryError):
            fix = "set quantization: nf4, or take a smaller model or another device"
        raise InputError(
            f"model '{config.name}': cannot load {part} from '{path}' ({reason(error)}); {fix}"
        ) from error


def reason(error: Exception) -> str:
    """The first line of an error, after its type unless that is plain from the text."""
    line = next(iter(str(error).strip().splitlines()), "")
    return line if isinstance(error, OSError | HarnessError) else f"{type(error).__name__}: {line}"
