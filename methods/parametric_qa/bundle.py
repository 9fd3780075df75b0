"""Trained shared parts in a folder: parts, selector and, if the reader was tuned, its adapter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from harness.errors import InputError, did_you_mean
from harness.files import folder_bytes, read_json
from harness.fingerprint import fingerprint
from harness.llm.adapters import adapter_fingerprint
from methods.parametric_qa.selection import (
    AttentionSelector,
    SelectionName,
    Selector,
    make_selector,
)
from methods.parametric_qa.shared import ADAPTER_FOLDER, CONFIG_FILE, SharedParts, save_tensors

SELECTOR_FILE = "selector.safetensors"
SHIPPED = Path(__file__).parent / "trained"


class SelectorConfig(BaseModel):
    """Which selector, and how wide its vectors are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: SelectionName = "attention"
    width: int = Field(128, ge=1, description="numbers of the vectors that are compared")


@dataclass(frozen=True, slots=True)
class Bundle:
    """Shared parts and the selector made for them; ``folder`` is None if they are untrained."""

    parts: SharedParts
    selector: Selector
    selection: SelectorConfig
    folder: Path | None = None

    @classmethod
    def untrained(
        cls, parts: SharedParts, selection: SelectorConfig, embeddings: Tensor | None = None
    ) -> Self:
        """A selector as it is before training.

        Given the model's input embeddings [vocabulary, hidden], it weighs tokens by their salience.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            selector = make_selector(selection.name, parts, selection.width)
        attention = getattr(selector, "attention", selector)
        if embeddings is not None and isinstance(attention, AttentionSelector):
            attention.fit_weights(embeddings, parts.salience)
        return cls(parts, selector.eval().requires_grad_(False), selection)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder that ``save`` wrote. Raises InputError naming the file and the fix."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        parts = SharedParts.load(folder)
        again = "train the shared parts again or restore the folder"
        try:
            selection = SelectorConfig.model_validate(read_json(folder / CONFIG_FILE)["selector"])
            selector = make_selector(selection.name, parts, selection.width)
            selector.load_state_dict(load_file(folder / SELECTOR_FILE))
        except (KeyError, ValidationError) as error:
            raise InputError(f"{folder / CONFIG_FILE}: 'selector': {error}; {again}") from error
        except (SafetensorError, OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{folder / SELECTOR_FILE}: {reason}; {again}") from error
        return cls(parts, selector.eval().requires_grad_(False), selection, folder)

    def save(self, folder: Path, extra: dict[str, Any] | None = None) -> None:
        """Write parts and selector; an adapter is saved beside them by peft."""
        save_parts = {"selector": self.selection.model_dump(), **(extra or {})}
        self.parts.save(folder, save_parts)
        save_tensors(folder / SELECTOR_FILE, self.selector.state_dict())

    def fingerprint(self) -> str:
        """What codes mean depends on it: the shared parts, the model they are for, its adapter."""
        adapter = adapter_of(self.folder) if self.folder else None
        tuned = adapter_fingerprint(adapter) if adapter else None
        return fingerprint([self.parts.fingerprint(), tuned])

    @property
    def bytes(self) -> int:
        """Bytes of the folder; of the numbers alone if there is none."""
        if self.folder is not None:
            return folder_bytes(self.folder)
        tensors = [*self.parts.state_dict().values(), *self.selector.state_dict().values()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def shipped_names() -> list[str]:
    """Shared parts that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{CONFIG_FILE}"))


def find_bundle(name: str) -> Path:
    """The folder of shipped shared parts, or one given by its path."""
    if name in shipped_names():
        return SHIPPED / name
    folder = Path(name).expanduser()
    if "/" in name or folder.is_dir():
        if (folder / CONFIG_FILE).is_file():
            return folder
        raise InputError(f"{folder}: holds no {CONFIG_FILE}; give a folder of trained shared parts")
    raise InputError(f"no shared parts '{name}'{did_you_mean(name, shipped_names())}")


def adapter_of(folder: Path) -> Path | None:
    """The tuned reader's adapter, if there is one."""
    adapter = folder / ADAPTER_FOLDER
    return adapter if adapter.is_dir() else None
