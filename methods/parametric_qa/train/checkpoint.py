"""Checkpoints of training: trained tensors and Adam's state, safetensors and JSON only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.errors import InputError
from harness.files import read_json, write_json
from methods.parametric_qa.shared.parts import save_tensors

TENSORS, STATE = "checkpoint-{}.safetensors", "checkpoint.json"


def save_checkpoint(
    folder: Path,
    step: int,
    weights: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    extra: dict[str, Any],
) -> None:
    """Keep the state after ``step`` steps; the one before is removed once this one is whole."""
    tensors = {f"weight {name}": tensor for name, tensor in weights.items()}
    for name, tensor in weights.items():
        for part, value in optimizer.state.get(tensor, {}).items():
            tensors[f"{part} {name}"] = value.detach().reshape(-1) if value.dim() == 0 else value
    save_tensors(folder / TENSORS.format(step), tensors)
    write_json(folder / STATE, {"step": step, **extra})
    for path in folder.glob(TENSORS.format("*")):
        if path.name != TENSORS.format(step):
            path.unlink(missing_ok=True)


def checkpoint_state(folder: Path) -> dict[str, Any]:
    """What was noted beside the last checkpoint's tensors; empty if there is none."""
    state: dict[str, Any] = read_json(folder / STATE) if (folder / STATE).exists() else {}
    return state


def load_checkpoint(
    folder: Path, weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer
) -> dict[str, Any] | None:
    """Put the last state back; None if there is none. Raises InputError if it does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    state = checkpoint_state(folder)
    if not state:
        return None
    path = folder / TENSORS.format(state["step"])
    try:
        tensors = load_file(path)
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(tensors[f"weight {name}"])
                parts = {
                    key.partition(" ")[0]: value
                    for key, value in tensors.items()
                    if key.endswith(f" {name}") and not key.startswith("weight ")
                }
                if parts:
                    parts["step"] = parts["step"].reshape(())
                    optimizer.state[weight] = parts
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise InputError(
            f"{path}: does not fit this recipe ({error}); delete the folder to train from the start"
        ) from error
    return state
