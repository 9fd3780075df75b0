"""A checkpoint of ICAE's authors, made into shared parts that compressor reads with.

``sggetao/icae``, ``mistral_7b_ft_icae.safetensors``: memory tokens and a LoRA for
Mistral-7B-Instruct-v0.2, of rank 512 on the projections of queries and values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.errors import ConfigError, InputError
from harness.llm.weights import model_fingerprint
from methods.parametric_qa.shared.bundle import Bundle, SelectorConfig
from methods.parametric_qa.shared.icae import ICAEEncoder
from methods.parametric_qa.shared.parts import SharedConfig, SharedParts, input_table

if TYPE_CHECKING:
    from harness.llm.local import LocalModel

SPECIAL = 3
"""Vectors after those of the memory tokens: what asks to tell the text again ([AE]), to go on
([LM]) and to answer ([FT])."""
ALPHA = 32.0
"""Of the LoRA; the checkpoint does not say it, ``fine_tuned_inference.py`` does."""
EMBEDDINGS = "memory_token_embed.weight"
LORA = re.compile(r"icae\..*\.layers\.(\d+)\.(self_attn\.[qv]_proj)\.lora_([AB])\.default\.weight")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a file holds: the vectors of memory tokens and of special ones [slots + 3, hidden], and
    the LoRA's matrices of all layers, by place and side (A or B)."""

    file: Path
    vectors: Tensor
    lora: Mapping[tuple[str, str], list[Tensor]]


def read_icae(file: Path) -> Checkpoint:
    """A checkpoint's vectors and LoRA. Raises InputError for a file that is none of ICAE."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file}: not readable as safetensors: {reason}") from error
    found: dict[tuple[str, str], dict[int, Tensor]] = {}
    for name, tensor in tensors.items():
        if match := LORA.fullmatch(name):
            found.setdefault((match[2], match[3]), {})[int(match[1])] = tensor
    sides = {side for _, side in found}
    if EMBEDDINGS not in tensors or sides != {"A", "B"}:
        raise InputError(
            f"{file}: no checkpoint of ICAE: it lacks {EMBEDDINGS} or a LoRA of q_proj and v_proj; "
            "take mistral_7b_ft_icae.safetensors of sggetao/icae"
        )
    lora = {key: [layers[n] for n in sorted(layers)] for key, layers in found.items()}
    return Checkpoint(file, tensors[EMBEDDINGS], lora)


def import_icae(checkpoint: Checkpoint, llm: LocalModel, out: Path) -> Bundle:
    """Write the shared parts of a checkpoint, and return them.

    Raises ConfigError for one of another model.
    """
    vectors = checkpoint.vectors
    table = input_table(llm)
    _check_model(llm, checkpoint)
    parts = _parts(llm, vectors, len(table))
    made = Bundle.untrained(parts, SelectorConfig(width=min(128, table.shape[1])), table)
    bundle = replace(made, encoder=_encoder(llm, parts.config, checkpoint))
    bundle.save(out, {"prompt_style": llm.prompt_style}, half=True)
    return bundle


def _check_model(llm: LocalModel, checkpoint: Checkpoint) -> None:
    """The checkpoint's widths and layers are those of the model."""
    file, vectors = checkpoint.file, checkpoint.vectors
    layers = llm.model.get_decoder().layers
    width = llm.model.get_input_embeddings().weight.shape[1]
    if vectors.dim() != 2 or vectors.shape[1] != width or len(vectors) <= SPECIAL:
        raise ConfigError(
            f"{file}: memory tokens of shape {list(vectors.shape)}, but '{llm.name}' is {width} "
            "wide; take the model that the checkpoint is of, mistral-7b-instruct-v0.2"
        )
    for (place, side), matrices in checkpoint.lora.items():
        module = layers[0].get_submodule(place)
        own = module.in_features if side == "A" else module.out_features
        widths = {matrix.shape[1] if side == "A" else matrix.shape[0] for matrix in matrices}
        if len(matrices) != len(layers) or widths != {own}:
            raise ConfigError(
                f"{file}: a LoRA of {len(matrices)} layers, {place} {sorted(widths)} wide, but "
                f"'{llm.name}' has {len(layers)}, {own} wide; take the model that the checkpoint "
                "is of, mistral-7b-instruct-v0.2"
            )


def _parts(llm: LocalModel, vectors: Tensor, vocabulary: int) -> SharedParts:
    """Maps that change nothing; the vector that asks to answer ends a memory."""
    hidden = vectors.shape[1]
    config = SharedConfig(
        slots=len(vectors) - SPECIAL,
        z_dim=hidden,
        hidden=hidden,
        vocabulary=vocabulary,
        mark_last=True,
        model=llm.name,
        model_fingerprint=model_fingerprint(llm.model),
    )
    parts = SharedParts(config)
    with torch.no_grad():
        for linear in (parts.down, parts.up):
            linear.weight.copy_(torch.eye(hidden))
            linear.bias.zero_()
        parts.mark.copy_(vectors[-1])
    return parts.eval().requires_grad_(False)


def _encoder(llm: LocalModel, config: SharedConfig, checkpoint: Checkpoint) -> ICAEEncoder:
    """The encoder, its LoRA with the scale that peft would give it."""
    lora = checkpoint.lora
    places = sorted({place for place, _ in lora})
    a = {place: lora[place, "A"] for place in places}
    b = {place: lora[place, "B"] for place in places}
    rank = len(a[places[0]][0])
    shapes = {place: (a[place][0].shape[1], b[place][0].shape[0]) for place in places}
    encoder = ICAEEncoder(config, llm.encode(""), shapes, len(a[places[0]]), rank)
    for place in places:
        for layer, (down, up) in enumerate(zip(a[place], b[place], strict=True)):
            encoder.lora.fill(place, "a", layer, down)
            encoder.lora.fill(place, "b", layer, up.T * (ALPHA / rank))
    encoder.tokens.copy_(checkpoint.vectors[: config.slots])
    return encoder.eval().requires_grad_(False)
