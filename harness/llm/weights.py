"""Fingerprints of weights: what was trained or read with a model fits no other."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

SAMPLED = 1024


def model_fingerprint(model: Any) -> str:
    """A hash of every parameter's name and shape and of 1,024 of its numbers, evenly spaced.

    Fast enough for any size, and changed by any training: that changes numbers everywhere.
    Independent of the floating-point type only as far as the numbers are.
    """
    import torch

    digest = hashlib.sha256()
    for name, tensor in model.named_parameters():
        flat = tensor.detach().reshape(-1)
        places = torch.linspace(
            0, flat.numel() - 1, min(SAMPLED, flat.numel()), dtype=torch.float64
        )
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(flat[places.long().to(flat.device)].float().cpu().numpy().tobytes())
    return digest.hexdigest()


def digest(*tensors: Tensor) -> str:
    """A hash of tensors' bytes: equal if and only if every bit is."""
    import torch

    found = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        found.update(f"{tensor.dtype} {list(tensor.shape)} ".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        found.update(flat.view(torch.uint8).numpy().data)
    return found.hexdigest()
