"""Codes of passages: first codes, then as many optimisation steps as are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from harness.errors import ConfigError
from methods.parametric_qa.shared.initial import document_tokens, random_codes, span_codes
from methods.parametric_qa.shared.picks import picked

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from harness.records import Passage
    from methods.parametric_qa.shared.bundle import Bundle
    from methods.parametric_qa.shared.encoder import DocumentEncoder
    from methods.parametric_qa.shared.parts import SharedParts

NO_ENCODER = (
    "init 'encoder' needs shared parts that hold a trained encoder; train some by a recipe with "
    "'init: encoder' or 'init: spans+encoder' (memory-harness train), or take init spans"
)


class WriteParams(Protocol):
    """The method's parameters that decide how codes are written."""

    @property
    def init(self) -> str | None:
        """What a code is before optimisation; None: as the shared parts were trained."""

    @property
    def steps(self) -> int:
        """Optimisation steps."""

    @property
    def learning_rate(self) -> float:
        """Of these steps."""


def write_codes(
    llm: LocalModel,
    bundle: Bundle,
    passages: Sequence[Passage],
    params: WriteParams,
    seed: int = 0,
    scratch: Path | None = None,
) -> Tensor:
    """Codes [passages, slots, z_dim]. Raises InputError for a passage that cannot be written.

    A code depends on its passage, the shared parts and ``seed`` alone, not on its neighbours.
    """
    from methods.parametric_qa.write.writing import WriteSettings, optimise

    documents = [document_tokens(llm, passage) for passage in passages]
    names = [passage.id for passage in passages]
    init = params.init or bundle.init
    codes = first_codes(llm, bundle.parts, bundle.encoder, documents, names, init, seed)
    if params.steps == 0:
        return codes
    settings = WriteSettings(steps=params.steps, learning_rate=params.learning_rate)
    written = optimise(llm, bundle.parts, documents, codes, settings, names=names, scratch=scratch)
    return written.codes


def first_codes(
    llm: LocalModel,
    parts: SharedParts,
    encoder: DocumentEncoder | None,
    documents: Sequence[Sequence[int]],
    names: Sequence[str],
    init: str,
    seed: int,
) -> Tensor:
    """Codes [documents, slots, z_dim] before optimisation, float32, without gradients.

    ``init`` is random, spans or encoder. A random code depends on its document's name and the seed.
    Raises ConfigError for an encoder where there is none.
    """
    from methods.parametric_qa.shared.encoder import encoder_codes

    if parts.config.picks:
        return picked(parts, documents)[..., None].float()
    with torch.no_grad():
        if init == "spans":
            return span_codes(llm, parts, documents)
        if init == "random":
            return torch.cat([random_codes(parts, 1, _own(seed, name)) for name in names])
    if encoder is None:
        raise ConfigError(NO_ENCODER)
    return encoder_codes(llm, encoder, documents, names)


def check_tokens(init: str | None, steps: int) -> None:
    """Raise ConfigError for what codes that are tokens of the text cannot be."""
    if init not in (None, "spans"):
        raise ConfigError(
            f"init '{init}': these shared parts' codes are tokens of the text; leave it out"
        )
    if steps:
        raise ConfigError(
            f"steps = {steps}: these shared parts' codes are tokens of the text, which no step "
            "changes; set 0"
        )


def _own(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:7], "big")
