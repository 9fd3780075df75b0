"""The encoders that shared parts may hold, by what their ``encoder.json`` says."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from harness.files import read_object
from methods.parametric_qa.shared.contextual import ContextualEncoder
from methods.parametric_qa.shared.encoder import (
    CONFIG_FILE,
    TENSORS_FILE,
    DocumentEncoder,
    Encoder,
)
from methods.parametric_qa.shared.icae import ICAEEncoder
from methods.parametric_qa.shared.span_encoder import SpanEncoder

InitName = Literal["spans", "encoder", "spans+encoder"]
"""How first codes are made: without an encoder, or by which one that a recipe trains."""
TRAINED: dict[str, type[Encoder | SpanEncoder]] = {cls.kind: cls for cls in (Encoder, SpanEncoder)}
"""The encoders that a recipe's ``init`` names."""


def find_encoder(folder: Path) -> DocumentEncoder | None:
    """The encoder in a folder of shared parts, if they were trained with one."""
    if not any((folder / name).exists() for name in (CONFIG_FILE, TENSORS_FILE)):
        return None
    # A file that is missing is named by what loads it.
    known = read_object(folder / CONFIG_FILE) if (folder / CONFIG_FILE).is_file() else {}
    for kind in (SpanEncoder, ICAEEncoder):
        if known.get("kind") == kind.kind:
            return kind.load(folder)
    return (ContextualEncoder if "adapter" in known else Encoder).load(folder)
