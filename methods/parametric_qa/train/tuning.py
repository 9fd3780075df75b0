"""Tuning: what of the language model is trained with the shared parts: nothing, a LoRA, all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import torch
from torch import Tensor, nn

from harness.llm.adapters import check_adapter, save_adapter
from methods.parametric_qa.shared.parts import ADAPTER_FOLDER

MODEL_FOLDER = "model"
Mode = Literal["frozen", "lora", "full"]


def tuned(model: Any, mode: Mode, rank: int, seed: int, start: Path | None = None) -> Any:
    """The model with the parameters of ``mode`` trainable. LoRA (peft) on all linear layers.

    ``start`` is an adapter to go on from, with its own rank.
    """
    model.requires_grad_(False)
    if mode == "full":
        return model.requires_grad_(True)
    if mode == "frozen":
        return model
    from peft import LoraConfig, PeftModel, get_peft_model

    if start is not None:
        check_adapter(start)
        return PeftModel.from_pretrained(model, start, is_trainable=True)

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = LoraConfig(
            r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        return get_peft_model(model, config)


@contextmanager
def untuned(model: Any, start: Mapping[str, Tensor] | None = None) -> Iterator[Any]:
    """The model as it was before tuning, for a teacher; not possible once all of it is trained.

    ``start`` are the weights, by name, that training went on from; else the adapter is left out.
    """
    if start:
        own = trainable(model)
        now = {name: own[name].data for name in start}
        try:
            for name, weight in start.items():
                own[name].data = weight
            yield model
        finally:
            for name, weight in now.items():
                own[name].data = weight
    elif hasattr(model, "disable_adapter"):
        with model.disable_adapter():
            yield model
    else:
        yield model


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Trainable parameters by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def save_tuned(model: Any, mode: Mode, folder: Path, name: str) -> None:
    """Write the adapter (float16) or, if all was trained, the model; nothing if it was frozen."""
    if mode == "lora":
        save_adapter(model, folder / ADAPTER_FOLDER, name)
    elif mode == "full":
        model.save_pretrained(folder / MODEL_FOLDER)


def faster_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where a matrix product of the usual size is at least 1.5 times faster in it."""
    if device.type != "cpu":
        return torch.bfloat16
    times = {kind: _seconds(kind) for kind in (torch.float32, torch.bfloat16)}
    faster = times[torch.float32] >= 1.5 * times[torch.bfloat16]
    return torch.bfloat16 if faster else torch.float32


def _seconds(kind: torch.dtype) -> float:
    one, other = torch.ones(512, 512, dtype=kind), torch.ones(512, 1024, dtype=kind)
    best = float("inf")
    for _ in range(4):
        start = perf_counter()
        for _ in range(4):
            one @ other
        best = min(best, perf_counter() - start)
    return best
