"""Trained shared parts in a folder: parts, selector, and an encoder and an adapter if trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from harness.errors import ConfigError, InputError, did_you_mean
from harness.files import expanded, folder_bytes, read_object, write_json, writing
from harness.fingerprint import fingerprint, folder_fingerprint
from harness.llm.adapters import adapter_fingerprint
from harness.prompts import PromptStyle
from methods.parametric_qa.shared.contextual import ContextualEncoder, Size
from methods.parametric_qa.shared.encoder import CONFIG_FILE as ENCODER_CONFIG
from methods.parametric_qa.shared.encoder import TENSORS_FILE as ENCODER_TENSORS
from methods.parametric_qa.shared.encoder import DocumentEncoder
from methods.parametric_qa.shared.encoders import find_encoder
from methods.parametric_qa.shared.parts import (
    ADAPTER_FOLDER,
    CONFIG_FILE,
    MOST_SLOTS,
    TENSORS_FILE,
    SharedParts,
    input_table,
    loaded,
    read_shape,
    save_tensors,
)
from methods.parametric_qa.shared.picks import numbers_of
from methods.parametric_qa.shared.rounding import GRIDS, Grid
from methods.parametric_qa.shared.selection import (
    AttentionSelector,
    SelectionName,
    Selector,
    StateSelector,
    make_selector,
)
from methods.parametric_qa.shared.stop import STOP_FILE, StopRule
from methods.parametric_qa.shared.token_ids import TokenIds, token_ids

if TYPE_CHECKING:
    from harness.llm.local import LocalModel

SELECTOR_FILE = "selector.safetensors"
BASE = "base"
"""The name, in ``shared.json``, of the shipped parts to which an encoder was trained."""
CONTENTS = (
    CONFIG_FILE, ENCODER_CONFIG, ENCODER_TENSORS, ADAPTER_FOLDER, SELECTOR_FILE, STOP_FILE,
    TENSORS_FILE,
)  # fmt: skip
"""What makes up shared parts in a folder; checkpoints and learning curves do not.

The configuration first: without it a folder is no folder of shared parts.
"""
SHIPPED = Path(__file__).parents[1] / "trained"


class SelectorConfig(BaseModel):
    """Which selector, and how wide its vectors are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: SelectionName = "attention"
    width: int = Field(128, ge=1, description="dimension of the vectors that are compared")
    key_dim: int | None = Field(
        None, ge=1, exclude_if=lambda value: value is None, description="numbers of each slot that "
        "a document's vector is made of, for states",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bundle:
    """Shared parts, the selector made for them and the encoder trained with them, if one was.

    ``folder`` is None if they are untrained, ``size`` unless they were cut to one.
    """

    parts: SharedParts
    selector: Selector
    selection: SelectorConfig
    folder: Path | None = None
    encoder: DocumentEncoder | None = None
    size: Size | None = None
    codebook: Tensor | None = None
    """Codes of all tokens, of parts whose slots are tokens, once the model is there."""
    stop: StopRule | None = None
    """When rounds of selection stop, if that was learned for this selector."""

    @classmethod
    def untrained(
        cls, parts: SharedParts, selection: SelectorConfig, embeddings: Tensor | None = None
    ) -> Self:
        """A selector as it is before training.

        Given the model's input embeddings [vocabulary, hidden], it weighs tokens by their salience.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            selector = make_selector(selection.name, parts, selection.width, selection.key_dim)
        attention = getattr(selector, "attention", selector)
        if embeddings is not None and isinstance(attention, AttentionSelector):
            attention.fit_weights(embeddings, parts.salience)
        return cls(parts, selector.eval().requires_grad_(False), selection)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder that ``save`` wrote. Raises InputError naming the file and the fix."""
        base = base_of(folder)
        parts = SharedParts.load(base)
        again = "train the shared parts again or restore the folder"
        try:
            selection = SelectorConfig.model_validate(read_object(base / CONFIG_FILE)["selector"])
        except (KeyError, ValidationError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{base / CONFIG_FILE}: 'selector': {reason}; {again}") from error
        build = partial(make_selector, selection.name, parts, selection.width, selection.key_dim)
        selector = loaded(base / SELECTOR_FILE, build, again)
        encoder = find_encoder(folder)
        try:
            if encoder is not None:
                encoder.join(parts)
        except ValueError as error:
            raise InputError(f"{folder}: {error}; {again}") from error
        selector, stop = selector.eval().requires_grad_(False), StopRule.find(base)
        return cls(parts, selector, selection, folder, encoder, stop=stop)

    def save(
        self, folder: Path, extra: dict[str, Any] | None = None, *, half: bool = False
    ) -> None:
        """Write parts, selector and encoder; an adapter is saved beside them by peft.

        ``half``: numbers in bfloat16. With a ``base`` in ``extra`` (the name of shipped parts), the
        encoder alone: all else is that of the shipped ones.
        """
        if self.encoder is not None:
            self.encoder.save(folder, half=half)
        if extra and BASE in extra:
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / CONFIG_FILE, extra)
            return
        save_parts = {"selector": self.selection.model_dump(), **(extra or {})}
        self.parts.save(folder, save_parts, half=half)
        save_tensors(folder / SELECTOR_FILE, self.selector.state_dict(), half=half)
        if self.stop is not None:
            self.stop.save(folder)

    def cut(self, name: str | None) -> Self:
        """The bundle of one of its sizes; of the first one if ``name`` is None.

        Codes that are tokens have any number of them. Raises ConfigError naming the sizes that
        there are.
        """
        if self.parts.config.picks and name is not None:
            return self._of_tokens(name)
        if not isinstance(self.encoder, ContextualEncoder):
            if name is None:
                return self
            raise ConfigError(
                f"size '{name}': the shared parts in {self.folder} have one size; leave it out"
            )
        sizes = {size.name: size for size in self.encoder.sizes}
        if name is not None and name not in sizes:
            raise ConfigError(f"no size '{name}' in {self.folder}; it has {', '.join(sizes)}")
        size = sizes[name] if name else self.encoder.sizes[0]
        config = self.parts.config.model_copy(update={"slots": size.slots, "z_dim": size.z_dim})
        parts = self.parts.cut(config)
        selector = self.selector
        if isinstance(selector, StateSelector):
            selector = selector.cut(parts)
        encoder = self.encoder.cut(config)
        return replace(self, parts=parts, selector=selector, encoder=encoder, size=size)

    def _of_tokens(self, name: str) -> Self:
        if not (name.isascii() and name.isdigit() and 1 <= int(name) <= MOST_SLOTS):
            raise ConfigError(
                f"size '{name}': codes of {self.folder} are tokens of the text; give how many, 1 "
                f"to {MOST_SLOTS}"
            )
        config = self.parts.config.model_copy(update={"slots": int(name)})
        return replace(self, parts=self.parts.cut(config))

    def fingerprint(self) -> str:
        """What codes mean depends on it: shared parts, encoder, the model they are for, adapter."""
        adapter = adapter_of(self.folder) if self.folder else None
        tuned = adapter_fingerprint(adapter) if adapter else None
        # Without an encoder as before there were any, so that banks of that time can be read.
        own = [self.encoder.fingerprint()] if self.encoder else []
        return fingerprint([self.parts.fingerprint(), tuned, *own])

    @property
    def init(self) -> Literal["spans", "encoder"]:
        """What first codes the parts were trained with: an encoder's, of whatever kind, if any."""
        return "encoder" if self.encoder else "spans"

    @property
    def question_encoder(self) -> ContextualEncoder | None:
        """What gives a question's state, if memories are selected by it."""
        by_state = self.selection.name == "states"
        return self.encoder if by_state and isinstance(self.encoder, ContextualEncoder) else None

    @property
    def stored_as(self) -> Grid | TokenIds | None:
        """How codes of this size are stored; None: as the method's parameters say."""
        if self.parts.config.picks:
            return token_ids(self.parts.config.vocabulary)
        return GRIDS[self.size.bits] if self.size else None

    @property
    def stored_dim(self) -> int:
        """Numbers of a slot as a bank holds it: of a token, its id."""
        return 1 if self.parts.config.picks else self.parts.config.z_dim

    def numbers(self, codes: Tensor) -> Tensor:
        """Codes [..., slots, z_dim] of what a bank holds [..., slots, ``stored_dim``]."""
        return codes if self.codebook is None else self.codebook[codes.squeeze(-1).long()]

    def joined(self, llm: LocalModel) -> Self:
        """The bundle with what it needs of the model."""
        if not self.parts.config.picks:
            return self
        every = torch.arange(self.parts.config.vocabulary + 1)
        with torch.no_grad():
            return replace(self, codebook=numbers_of(self.parts, input_table(llm), every))

    @property
    def bytes(self) -> int:
        """Bytes of the folder's ``CONTENTS``; of the numbers alone if there is no folder."""
        if self.folder is not None:
            places = {f / name for f in (self.folder, base_of(self.folder)) for name in CONTENTS}
            return sum(p.stat().st_size if p.is_file() else folder_bytes(p) for p in places)
        modules = [m for m in (self.parts, self.selector, self.encoder) if m is not None]
        tensors = [tensor for m in modules for tensor in m.state_dict().values()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def shipped_names() -> list[str]:
    """Shared parts that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{CONFIG_FILE}"))


def find_bundle(name: str) -> Path:
    """The folder of shipped shared parts, or one given by its path."""
    if name in shipped_names():
        return SHIPPED / name
    folder = expanded(name)
    if "/" in name or folder.is_dir():
        if (folder / CONFIG_FILE).is_file():
            return folder
        raise InputError(f"{folder}: holds no {CONFIG_FILE}; give a folder of trained shared parts")
    raise InputError(f"no shared parts '{name}'{did_you_mean(name, shipped_names())}")


def check_style(folder: Path, style: PromptStyle, name: str) -> None:
    """Raise ConfigError unless the parts were trained on prompts of the style ``name`` is asked in.

    Parts of before styles were noted are of completions; chats had memories in another place then.
    """
    trained = read_object(folder / CONFIG_FILE).get("prompt_style", "completion")
    if trained != style:
        shape, _ = read_shape(base_of(folder) / CONFIG_FILE, "restore the folder")
        raise ConfigError(
            f"{folder}: trained on {trained} prompts, but '{name}' is asked in {style} style; set "
            f"prompt_style: {trained} if it is '{shape.model}', else take that model, or train "
            "shared parts for this one: memory-harness train"
        )


def adapter_of(folder: Path) -> Path | None:
    """The tuned reader's adapter, if there is one."""
    adapter = base_of(folder) / ADAPTER_FOLDER
    return adapter if adapter.is_dir() else None


def base_of(folder: Path) -> Path:
    """Where maps, selector and adapter of shared parts are: there, or in shipped ones they name.

    Raises InputError for shipped parts that there are not.
    """
    values = read_object(folder / CONFIG_FILE)
    if values.get(BASE) is None:
        return folder
    if (name := str(values[BASE])) not in shipped_names():
        raise InputError(
            f"{folder / CONFIG_FILE}: '{BASE}': no shipped shared parts "
            f"'{name}'{did_you_mean(name, shipped_names())}"
        )
    return SHIPPED / name


def contents_fingerprint(folder: Path) -> str:
    """A hash of all files that make up shared parts, those that they take from others included."""
    own, base = folder_fingerprint(folder, CONTENTS), base_of(folder)
    return own if base == folder else fingerprint([own, folder_fingerprint(base, CONTENTS)])
