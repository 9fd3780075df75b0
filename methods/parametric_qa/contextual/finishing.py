"""The finish of a contextual training: shared parts, for the harness, of what a run wrote."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.data.trained_on import TRAINED_ON
from harness.errors import InputError
from harness.files import read_json, write_json, writing
from methods.parametric_qa.contextual.network import ALPHA, KINDS
from methods.parametric_qa.contextual.pool import Pool
from methods.parametric_qa.contextual.recipe import Recipe
from methods.parametric_qa.contextual.record import CURVES, NOTES
from methods.parametric_qa.contextual.state import STATE, TEACHER
from methods.parametric_qa.shared.bundle import Bundle, SelectorConfig
from methods.parametric_qa.shared.contextual import ContextualEncoder, Size
from methods.parametric_qa.shared.layer_adapter import PLACES
from methods.parametric_qa.shared.parts import (
    ADAPTER_FOLDER,
    SharedConfig,
    SharedParts,
    save_tensors,
)
from methods.parametric_qa.shared.selection import StateSelector

CODE_STD = 0.5
"""Where a random code begins; bounded codes are spread about so far."""


def finish(run: Path, pool: Path, out: Path) -> None:
    """Write shared parts to ``out`` of a run's folder and of the pool that it read.

    ``teacher`` in it is the reader as it was tuned on text alone. Raises InputError naming a file
    that is missing.
    """
    from safetensors.torch import load_file

    for path in (run / STATE, run / NOTES, pool, pool.with_name(TRAINED_ON)):
        if not path.is_file():
            raise InputError(f"{path}: no such file; give the folder of a run and its pool")
    notes = read_json(run / NOTES)
    recipe, meta = Recipe.model_validate(notes["recipe"]), Pool.load(pool).meta
    state = {name: value.float() for name, value in load_file(run / STATE).items()}
    bundle = bundle_of(recipe, state, meta)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(pool.with_name(TRAINED_ON), out / TRAINED_ON)
        shutil.copyfile(run / CURVES, out / CURVES)
    save_adapter(out / ADAPTER_FOLDER, recipe, _under(state, "reader"))
    bundle.save(out, _account(recipe, notes, meta), half=True)
    if (run / TEACHER).is_file():
        teacher = {name: value.float() for name, value in load_file(run / TEACHER).items()}
        save_adapter(out / "teacher", recipe, _under(teacher, "reader"))


def bundle_of(recipe: Recipe, state: Mapping[str, Tensor], meta: Mapping[str, Any]) -> Bundle:
    """Parts, encoder and selector of a student's numbers."""
    config = SharedConfig.model_validate(meta["shape"])
    parts = SharedParts(config)
    up = state["up.weight"]
    back = torch.linalg.pinv(up)
    parts.load_state_dict(
        {
            "up.weight": up,
            "up.bias": state["up.bias"],
            "down.weight": back,
            "down.bias": -back @ state["up.bias"],
            "mark": state["mark"],
            "code_std": torch.full((config.z_dim,), CODE_STD),
            "salience": torch.ones(config.vocabulary),
        }
    )
    selection = SelectorConfig(name="states", width=recipe.key_width, key_dim=recipe.key_dim)
    selector = StateSelector(parts, recipe.key_width, recipe.key_dim)
    selector.load_state_dict(
        {
            "maps": state["keys"],
            "query.weight": state["query.weight"],
            "query.bias": state["query.bias"],
        }
    )
    encoder = _encoder(recipe, config, state, meta["start"])
    for module in (parts, selector, encoder):
        module.eval().requires_grad_(False)
    return Bundle(parts, selector, selection, None, encoder)


def _encoder(
    recipe: Recipe, config: SharedConfig, state: Mapping[str, Tensor], start: list[int]
) -> ContextualEncoder:
    own = _under(state, "encoder")
    shapes = [(own[f"{k}_a"].shape[2], own[f"{k}_b"].shape[1]) for k in KINDS]
    layers = own["q_a"].shape[0]
    sizes = [Size(slots=s.slots, z_dim=s.z_dim, bits=s.bits) for s in recipe.sizes]
    encoder = ContextualEncoder(config, start, shapes, layers, recipe.encoder_rank, sizes)
    values = {
        "tokens": state["tokens"],
        "ask": state["ask"],
        "project.weight": state["project.weight"],
        "project.bias": state["project.bias"],
    }
    for kind in KINDS:
        for side, matrix in (
            ("a", own[f"{kind}_a"]),
            ("b", ALPHA * own[f"{kind}_b"].transpose(1, 2)),
        ):
            scales = (matrix.abs().amax(dim=-1) / 127).half().float().clamp_min(1e-7)
            whole = (matrix / scales[..., None]).round().clamp(-127, 127)
            values[f"adapter.{kind}_{side}"] = whole.to(torch.int8)
            values[f"adapter.{kind}_{side}_scales"] = scales.half()
    encoder.load_state_dict(values)
    return encoder


def save_adapter(folder: Path, recipe: Recipe, own: Mapping[str, Tensor]) -> None:
    """Write a reader's adapter as peft does, in bfloat16."""
    tensors = {}
    for kind, place in KINDS.items():
        for side in ("a", "b"):
            for number, matrix in enumerate(own[f"{kind}_{side}"]):
                name = f"base_model.model.model.layers.{number}.{place}.lora_{side.upper()}.weight"
                tensors[name] = matrix.bfloat16()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / "adapter_model.safetensors", tensors)
    write_json(
        folder / "adapter_config.json",
        {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": _model_name(recipe),
            "r": recipe.reader_rank,
            "lora_alpha": ALPHA * recipe.reader_rank,
            "lora_dropout": 0.0,
            "bias": "none",
            "inference_mode": True,
            "target_modules": sorted(place.rpartition(".")[2] for place in PLACES),
        },
    )


def _model_name(recipe: Recipe) -> str:
    return recipe.model if isinstance(recipe.model, str) else str(recipe.model.get("name"))


def _under(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    begin = f"{name}."
    return {k.removeprefix(begin): v for k, v in state.items() if k.startswith(begin)}


def _account(recipe: Recipe, notes: dict[str, Any], meta: dict[str, Any]) -> dict[str, Any]:
    kept = ("steps", "saved step", "seconds", "device", "torch", "positions", "memory GB")
    return {
        "prompt_style": meta["prompt_style"],
        "recipe": json.loads(recipe.model_dump_json()),
        "training": {
            "train questions": {
                name: counts["train"]
                for name, counts in meta["questions"].items()
                if name in meta["corpora"]
            },
            "corpora": meta["corpora"],
            "rows": meta["questions"],
            "files": meta["files"],
            "passages": meta["passages"],
            "left out": meta["left out"],
            "validation": notes["validation"],
            **{name: notes[name] for name in kept},
        },
    }
