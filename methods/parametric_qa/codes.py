"""From passages to codes: first codes, then as many optimisation steps as are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from harness.errors import ConfigError
from methods.parametric_qa.initial import document_tokens, random_codes, span_codes

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from harness.records import Passage
    from methods.parametric_qa.bundle import Bundle


class WriteParams(Protocol):
    """The method's parameters that decide how codes are written."""

    @property
    def init(self) -> str:
        """What a code is before optimisation."""

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
    from methods.parametric_qa.writing import WriteSettings, optimise

    documents = [document_tokens(llm, passage) for passage in passages]
    names = [passage.id for passage in passages]
    codes = _first_codes(llm, bundle, documents, names, params.init, seed)
    if params.steps == 0:
        return codes
    settings = WriteSettings(steps=params.steps, learning_rate=params.learning_rate)
    written = optimise(llm, bundle.parts, documents, codes, settings, names=names, scratch=scratch)
    return written.codes


def _first_codes(
    llm: LocalModel,
    bundle: Bundle,
    documents: Sequence[Sequence[int]],
    names: Sequence[str],
    init: str,
    seed: int,
) -> Tensor:
    with torch.no_grad():
        if init == "spans":
            return span_codes(llm, bundle.parts, documents)
        if init == "random":
            return torch.cat([random_codes(bundle.parts, 1, _own(seed, name)) for name in names])
        return _encoded(llm, bundle, documents, names)


def _encoded(
    llm: LocalModel, bundle: Bundle, documents: Sequence[Sequence[int]], names: Sequence[str]
) -> Tensor:
    from methods.parametric_qa.encoder import Encoder, encoder_codes

    if bundle.folder is None or not (bundle.folder / "encoder.safetensors").is_file():
        raise ConfigError(
            "init=encoder needs shared parts that were trained with an encoder; take init=spans, "
            "or train them: memory-harness train"
        )
    return encoder_codes(llm, Encoder.load(bundle.folder), documents, list(names))


def _own(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:7], "big")
