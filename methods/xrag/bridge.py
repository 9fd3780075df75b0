"""Bridge: two linear layers from an encoder's vector of a passage to an input vector of a model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from harness.errors import (
    ConfigError,
    InputError,
    RunFailedError,
    problem_of,
)
from harness.files import expanded, read_json, write_json, writing
from harness.llm.weights import model_fingerprint
from harness.prompts import PromptStyle
from methods.parametric_qa.shared.parts import loaded, save_tensors

if TYPE_CHECKING:
    from harness.llm.local import LocalModel

CONFIG_FILE, TENSORS_FILE = "bridge.json", "bridge.safetensors"
CONTENTS = (CONFIG_FILE, TENSORS_FILE)
"""What makes up a bridge in a folder; checkpoints and learning curves do not."""
_AGAIN = "train the bridge again or restore the folder"


class BridgeConfig(BaseModel):
    """The shape of a bridge, and which encoder, model and prompts it is for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dimensions: int = Field(ge=1, description="of the encoder's vectors")
    hidden: int = Field(ge=1, description="width of the model's inputs")
    encoder: str = Field(description="name of the encoder")
    encoder_key: str = Field(description="what decides its vectors of passages")
    model: str = Field(description="name of the language model")
    model_fingerprint: str
    prompt_style: PromptStyle


class Bridge(nn.Module):
    """Linear, GELU, linear, as the authors' projector ``mlp2x_gelu``."""

    def __init__(self, config: BridgeConfig) -> None:
        super().__init__()
        self.config = config
        self.projector = nn.Sequential(
            nn.Linear(config.dimensions, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.hidden),
        )

    def forward(self, vectors: Tensor) -> Tensor:
        """What the model reads [..., hidden] of vectors [..., dimensions]."""
        read: Tensor = self.projector(vectors)
        return read

    def segments(self, vectors: Tensor) -> tuple[Tensor, ...]:
        """The like for soft prompts: [1, hidden] of each of [passages, dimensions]."""
        read: Tensor = self(vectors)
        return read.unsqueeze(1).unbind(0)

    @classmethod
    def untrained(cls, config: BridgeConfig, table: Tensor, seed: int) -> Self:
        """Random weights, for vectors of mean 0 and deviation 1: what comes out is spread as the
        model's input embeddings ``table`` [tokens, hidden] are."""
        bridge, source = cls(config), torch.Generator().manual_seed(seed)
        table = table.detach().float().cpu()
        first, last = bridge._linear(0), bridge._linear(2)
        with torch.no_grad():
            first.weight.normal_(0, config.dimensions**-0.5, generator=source)
            first.bias.zero_()
            # Half of what a GELU gives is near 0: its mean square is about 0.4 of the input's.
            last.weight.normal_(0, (0.4 * config.hidden) ** -0.5, generator=source)
            last.weight.mul_(table.std(dim=0, keepdim=True).T)
            last.bias.copy_(table.mean(dim=0))
        return bridge

    def folded(self, shift: Tensor, scale: Tensor) -> Self:
        """The bridge of vectors as they are, if this one is of (vector - shift) / scale."""
        made = type(self)(self.config)
        made.load_state_dict(self.state_dict())
        first = made._linear(0)
        with torch.no_grad():
            first.weight.div_(scale)
            first.bias.sub_(first.weight @ shift)
        return made.eval().requires_grad_(False)

    @property
    def bytes(self) -> int:
        """Bytes of its numbers as they are saved, two each."""
        numbers: int = sum(tensor.numel() for tensor in self.state_dict().values())
        return 2 * numbers

    def _linear(self, place: int) -> nn.Linear:
        layer = self.projector[place]
        assert isinstance(layer, nn.Linear)  # as they are made above
        return layer

    def save(self, folder: Path, extra: Mapping[str, Any]) -> None:
        """Write the numbers in float16, then ``bridge.json``; ``extra`` is for who reads that.

        Raises RunFailedError for numbers that float16 cannot hold; nothing is changed then.
        """
        numbers = {name: tensor.half() for name, tensor in self.state_dict().items()}
        if not all(tensor.isfinite().all() for tensor in numbers.values()):
            raise RunFailedError(
                f"{folder}: the bridge has numbers that float16 cannot hold; train it with a lower "
                "learning_rate, or on vectors that differ more"
            )
        with writing(folder):
            (folder / CONFIG_FILE).unlink(missing_ok=True)
        save_tensors(folder / TENSORS_FILE, numbers)
        write_json(folder / CONFIG_FILE, {"shape": self.config.model_dump(), **extra})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote. Raises InputError naming the file and the fix."""
        build = partial(cls, read_config(folder))
        return loaded(folder / TENSORS_FILE, build, _AGAIN).eval().requires_grad_(False)

    def check_model(self, llm: LocalModel) -> None:
        """Raise ConfigError unless it is for this model and for prompts of its style."""
        config = self.config
        if model_fingerprint(llm.model) != config.model_fingerprint:
            raise ConfigError(
                f"the bridge is for '{config.model}' as it was when it was trained, not for "
                f"'{llm.name}' as it is now; take that model, or train a bridge for this one: "
                "memory-harness train-bridge"
            )
        self.check_style(llm.prompt_style, llm.name)

    def check_style(self, style: PromptStyle, name: str) -> None:
        """Raise ConfigError unless it is for prompts of the style in which ``name`` is asked."""
        trained = self.config.prompt_style
        if style != trained:
            raise ConfigError(
                f"the bridge was trained on {trained} prompts, but '{name}' is asked in {style} "
                f"style; set prompt_style: {trained} if it is '{self.config.model}', else take "
                "that model, or train a bridge for this one: memory-harness train-bridge"
            )


def read_config(folder: Path) -> BridgeConfig:
    """What a bridge in a folder is for. Raises InputError naming the file and the fix."""
    path = folder / CONFIG_FILE
    try:
        return BridgeConfig.model_validate(read_json(path)["shape"])
    except ValidationError as error:
        found = problem_of(error)
        raise InputError(f"{path}: '{found.where}': {found.message}; {_AGAIN}") from error
    except (KeyError, TypeError):
        raise InputError(f"{path}: 'shape' is missing; {_AGAIN}") from None


def find_bridge(name: str) -> Path:
    """The folder of a bridge. Raises InputError if it holds none."""
    folder = expanded(name)
    if not (folder / CONFIG_FILE).is_file():
        raise InputError(
            f"{folder}: holds no {CONFIG_FILE}; give the folder that 'memory-harness train-bridge' "
            "wrote"
        )
    return folder
