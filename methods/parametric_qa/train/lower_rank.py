"""A lower rank: the LoRA of fewer ranks that is nearest to a trained one, matrix by matrix.

What a LoRA adds to a matrix is B A; cutting its singular values is the best that a rank can do in
the Frobenius norm (Eckart and Young, Psychometrika 1936).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.files import read_json, write_json
from harness.llm.adapters import FILES
from methods.parametric_qa.shared.parts import save_tensors

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, WEIGHTS = FILES


def lower_rank(folder: Path, rank: int) -> None:
    """Write the adapter of a folder anew with a rank; as it is if that is its own or more."""
    from safetensors.torch import load_file

    config = read_json(folder / CONFIG)
    if rank >= config["r"]:
        return
    weights, kept = load_file(folder / WEIGHTS), dict[str, "Tensor"]()
    for down in (name for name in weights if "lora_A" in name):
        up = down.replace("lora_A", "lora_B")
        kept[down], kept[up] = cut(weights[down], weights[up], rank)
    save_tensors(folder / WEIGHTS, kept)
    alpha = config["lora_alpha"] * rank / config["r"]
    whole = int(alpha) if alpha.is_integer() else alpha
    write_json(folder / CONFIG, {**config, "r": rank, "lora_alpha": whole})


def cut(down: Tensor, up: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """A [rank, in] and B [out, rank] whose product is nearest to that of ``down`` [r, in] and
    ``up`` [out, r]."""
    import torch

    inner, inner_rest = torch.linalg.qr(down.float().T)
    outer, outer_rest = torch.linalg.qr(up.float())
    left, values, right = torch.linalg.svd(outer_rest @ inner_rest.T)
    root = values[:rank].sqrt()
    a = root[:, None] * right[:rank] @ inner.T
    b = outer @ left[:, :rank] * root
    return a.to(down.dtype), b.to(up.dtype)
