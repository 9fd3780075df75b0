"""Fingerprint of a loaded model's weights: what was trained or read with it fits no other."""

from __future__ import annotations

import hashlib
from typing import Any

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
