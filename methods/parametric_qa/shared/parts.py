"""Shared parts of a bank's memories: how tokens become codes, and codes the model's inputs.

A memory of a document is a code c of ``slots`` x ``z_dim`` numbers. The model reads z = U c, one
input vector of its own width for each slot, so that what is stored for a document is as small as
``z_dim`` and not as wide as the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from harness.errors import ConfigError, InputError, problem_of
from harness.files import atomic_file, read_object, write_json, writing
from harness.llm.weights import model_fingerprint
from methods.parametric_qa.shared.token_kinds import begins_a_word

if TYPE_CHECKING:
    from harness.llm.local import LocalModel

AnyModule = TypeVar("AnyModule", bound=nn.Module)

MOST_SLOTS = 512
CONFIG_FILE, TENSORS_FILE, ADAPTER_FOLDER = "shared.json", "shared.safetensors", "adapter"


class SharedConfig(BaseModel):
    """The shape of shared parts, and which model they are for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slots: int = Field(ge=1, le=MOST_SLOTS, description="vectors of a memory (m)")
    z_dim: int = Field(ge=1, description="dimension of a vector as stored")
    hidden: int = Field(ge=1, description="width of the model's inputs")
    vocabulary: int = Field(ge=1, description="tokens of the model")
    sharpness: float = Field(
        3.0, ge=0, description="power of a token's salience in the mean over its span"
    )
    picks: bool = Field(
        False, exclude_if=lambda picks: not picks, description="a slot is one token of the text, "
        "and its code the token's id",
    )  # fmt: skip
    filled: bool = Field(
        False, exclude_if=lambda filled: not filled, description="of picks: words that the text "
        "has again fill places that no other word takes",
    )  # fmt: skip
    mark_last: bool = Field(
        False, exclude_if=lambda last: not last, description="the mark ends a memory, and does not "
        "begin it",
    )  # fmt: skip
    model: str = Field(description="name of the language model")
    model_fingerprint: str = Field(description="of the model without the adapter")


class SharedParts(nn.Module):
    """Maps between token embeddings, codes and the model's inputs.

    ``down`` takes an embedding less the mean to ``z_dim``, ``up`` a code back to ``hidden``;
    ``mark`` is the learned vector that begins every memory, or ends it. ``salience`` [vocabulary]
    says how much a token tells. Untrained, maps are the principal components of the model's
    embedding matrix and all tokens tell equally much.
    """

    code_std: Tensor
    salience: Tensor
    begins: Tensor
    """Whether a token begins a word [vocabulary]; of parts whose slots are tokens."""
    telling: Tensor
    """How gladly a token is kept [vocabulary]; of the like."""

    def __init__(self, config: SharedConfig) -> None:
        super().__init__()
        self.config = config
        self.down = nn.Linear(config.hidden, config.z_dim)
        self.up = nn.Linear(config.z_dim, config.hidden)
        self.mark = nn.Parameter(torch.zeros(config.hidden))
        self.register_buffer("code_std", torch.ones(config.z_dim))
        self.register_buffer("salience", torch.ones(config.vocabulary))
        if config.picks:
            self.register_buffer("begins", torch.ones(config.vocabulary, dtype=torch.bool))
            self.register_buffer("telling", torch.ones(config.vocabulary))

    @classmethod
    def from_model(
        cls, llm: LocalModel, slots: int, z_dim: int, sharpness: float = 3.0, *, picks: bool = False
    ) -> Self:
        """Untrained parts: the ``z_dim`` first principal components of the input embeddings.

        Raises ConfigError if the model is narrower than ``z_dim``.
        """
        table = input_table(llm)
        hidden = table.shape[1]
        if z_dim > hidden:
            raise ConfigError(
                f"z_dim = {z_dim} is more than the width of '{llm.name}' ({hidden}); choose at "
                f"most {hidden}"
            )
        fingerprint = model_fingerprint(llm.model)
        parts = cls(
            SharedConfig(
                slots=slots,
                z_dim=z_dim,
                hidden=hidden,
                vocabulary=len(table),
                sharpness=sharpness,
                picks=picks,
                filled=picks,
                model=llm.name,
                model_fingerprint=fingerprint,
            )
        )
        mean = table.mean(dim=0)
        variances, directions = torch.linalg.eigh(torch.cov(table.T))
        kept = directions.flip(1)[:, :z_dim]
        with torch.no_grad():
            parts.down.weight.copy_(kept.T)
            parts.down.bias.copy_(-kept.T @ mean)
            parts.up.weight.copy_(kept)
            parts.up.bias.copy_(mean)
            parts.mark.copy_(mean)
            parts.code_std.copy_(variances.flip(0)[:z_dim].clamp_min(1e-12).sqrt())
        if picks:
            parts.begins.copy_(torch.tensor(begins_a_word(llm.tokenizer, len(table))))
        return parts

    def memory(self, codes: Tensor) -> Tensor:
        """What the model reads of codes [..., slots, z_dim]: [..., 1 + slots, hidden]."""
        z = self.up(codes)
        mark = self.mark.expand(*z.shape[:-2], 1, -1)
        return torch.cat([z, mark] if self.config.mark_last else [mark, z], dim=-2)

    def cut(self, config: SharedConfig) -> Self:
        """The parts of codes that are the first numbers of these."""
        less, values = type(self)(config), self.state_dict()
        for name in ("down.weight", "down.bias", "code_std"):
            values[name] = values[name][: config.z_dim]
        values["up.weight"] = values["up.weight"][:, : config.z_dim]
        less.load_state_dict(values)
        return less.eval().requires_grad_(False)

    def fingerprint(self) -> str:
        """A hash of the shape, of the model it is for and of every number."""
        return numbers_fingerprint(self.config.model_dump_json(), self)

    def save(
        self, folder: Path, extra: dict[str, Any] | None = None, *, half: bool = False
    ) -> None:
        """Write ``shared.json`` and ``shared.safetensors``; ``extra`` is for the reader of it."""
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        save_tensors(folder / TENSORS_FILE, self.state_dict(), half=half)
        write_json(folder / CONFIG_FILE, {"shape": self.config.model_dump(), **(extra or {})})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote. Raises InputError naming the file and the fix."""
        again = "train the shared parts again or restore the folder"
        shape, _ = read_shape(folder / CONFIG_FILE, again)
        parts = loaded(folder / TENSORS_FILE, partial(cls, shape), again)
        return parts.eval().requires_grad_(False)

    def check_model(self, model: Any, name: str) -> None:
        """Raise ConfigError unless ``model`` is the one that these parts are for."""
        if model_fingerprint(model) != self.config.model_fingerprint:
            raise ConfigError(
                f"the shared parts are for '{self.config.model}' as it was when they were made, "
                f"not for '{name}' as it is now; take that model, or train shared parts for this "
                "one: memory-harness train"
            )


def input_table(llm: LocalModel) -> Tensor:
    """A model's input embeddings [vocabulary, hidden], float32 on the CPU, without gradients."""
    table: Tensor = llm.model.get_input_embeddings().weight.detach().float().cpu()
    return table


def save_tensors(path: Path, tensors: Mapping[str, Tensor], *, half: bool = False) -> None:
    """Write tensors as safetensors; a crash or a full disk leaves the old file or none.

    ``half``: float32 numbers as bfloat16.
    """
    from safetensors.torch import save

    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if half:
        kept = {k: v.bfloat16() if v.dtype == torch.float32 else v for k, v in kept.items()}
    with atomic_file(path) as file:
        file.write(save(kept))


def loaded(path: Path, build: Callable[[], AnyModule], again: str) -> AnyModule:
    """What ``build`` gives, with the numbers of a file; made without memory first.

    So a shape that somebody sent takes none unless the numbers that are there have it. Raises
    InputError with the file, why, and how to mend it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
        with torch.device("meta"):
            build().load_state_dict(tensors, assign=True)
        module = build()
        module.load_state_dict(tensors)
    # The others are of shapes that no tensor has.
    except (SafetensorError, OSError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: {reason}; {again}") from error
    return module


def read_shape(path: Path, again: str) -> tuple[SharedConfig, dict[str, Any]]:
    """The shape in a JSON file, and all that the file holds; raises as ``loaded`` does."""
    values = read_object(path)
    try:
        return SharedConfig.model_validate(values["shape"]), values
    except ValidationError as error:
        found = problem_of(error)
        raise InputError(f"{path}: '{found.where or 'shape'}': {found.message}; {again}") from error
    except (KeyError, TypeError):
        raise InputError(f"{path}: 'shape' is missing; {again}") from None


def numbers_fingerprint(head: str, module: nn.Module) -> str:
    """A hash of ``head`` and of every number of a module, by name."""
    digest = hashlib.sha256(head.encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().float().numpy().tobytes())
    return digest.hexdigest()
