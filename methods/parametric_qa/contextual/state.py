"""The state of a contextual training on disk: modules' numbers in bfloat16."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from harness.files import atomic_file

STATE, TEACHER = "state.safetensors", "teacher.safetensors"


def save_state(path: Path, modules: Mapping[str, nn.Module]) -> None:
    """Write modules' numbers; a kill leaves the old file or the new one."""
    from safetensors.torch import save

    tensors = {
        f"{name}.{key}" if name else key: value.detach().cpu().bfloat16().contiguous()
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    with atomic_file(path) as file:
        file.write(save(tensors))


def load_state(path: Path, module: nn.Module) -> None:
    """Read what ``save_state`` wrote into a module."""
    from safetensors.torch import load_file

    module.load_state_dict(load_file(path))
