"""Readers of weights: memory banks, shared parts of Parametric QA, LoRAs, model folders, GGUF."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.mutations import Files
from tests.fuzz.rule import Reader, contents, each

if TYPE_CHECKING:
    from harness.llm.local import LocalModel

_CODES = ("float16", "int8", "grid4", "tokens2")


@cache
def _model_files() -> Files:
    """The smallest Llama that has every part."""
    from tests.tiny import build_tiny_model

    with tempfile.TemporaryDirectory() as place:
        return contents(build_tiny_model(Path(place) / "tiny"))


@cache
def _place() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fuzz-model-")


@cache
def _tiny() -> LocalModel:
    from tests.fuzz.rule import write
    from tests.methods.parametric_qa.lab import load_tiny

    folder = Path(_place().name) / "tiny"
    write(_model_files(), folder)
    return load_tiny(folder)


@cache
def _banks() -> list[Files]:
    import torch

    from methods.parametric_qa.memory.bank import BankConfig, MemoryBank
    from methods.parametric_qa.memory.pages import Pages
    from methods.parametric_qa.memory.titles import Titles

    found = []
    for code in _CODES:
        with tempfile.TemporaryDirectory() as place:
            z_dim = 1 if code.startswith("tokens") else 4
            config = BankConfig(slots=2, z_dim=z_dim, dtype=code, fingerprint="m")
            bank = MemoryBank.create(Path(place) / "bank", config)
            codes = torch.zeros(3, 2, z_dim) + 0.5 if z_dim > 1 else torch.ones(3, 2, 1)
            bank.add(["a", "b", "c"], codes)
            bank.add(["d"], codes[:1])
            Pages.of(["x", "x", "y", ""]).save(Path(place) / "bank")
            Titles(torch.tensor([1, 2, 1, 0])).save(Path(place) / "bank")
            found.append(contents(Path(place) / "bank"))
    return found


def _bank(folder: Path) -> None:
    from methods.parametric_qa.memory.bank import MemoryBank
    from methods.parametric_qa.memory.pages import Pages
    from methods.parametric_qa.memory.titles import Titles

    def pages() -> None:
        Pages.load(folder, 4, 1.0).joined(["a", "b", "c", "d"])

    each(lambda: MemoryBank.open(folder).codes(), pages, lambda: Titles.load(folder, 4, 1.0))


@cache
def _shared() -> list[Files]:
    import torch

    from methods.parametric_qa.shared.bundle import Bundle, SelectorConfig
    from methods.parametric_qa.shared.contextual import ContextualEncoder, Size
    from methods.parametric_qa.shared.encoder import Encoder
    from methods.parametric_qa.shared.parts import SharedConfig, SharedParts
    from methods.parametric_qa.shared.span_encoder import SpanEncoder
    from methods.parametric_qa.shared.stop import StopRule

    config = SharedConfig(slots=2, z_dim=4, hidden=8, vocabulary=16, model="tiny",
                          model_fingerprint="f")  # fmt: skip
    stop = StopRule(coefficients=(1, 0, 0, 0, 0), constant=0.5)
    shapes = [(8, 8)] * 7
    encoders = (
        None,
        Encoder(config, [1]),
        SpanEncoder(config, [1], shapes, 1, 2),
        ContextualEncoder(config, [1], shapes, 1, 2, [Size(slots=2, z_dim=4, bits=4)]),
    )
    names = ("attention", "router", "cosine", "states")
    found = []
    for encoder, name in zip(encoders, names, strict=True):
        parts = SharedParts(config)
        selection = SelectorConfig(name=name, width=4)
        made = Bundle.untrained(parts, selection)
        bundle = Bundle(parts, made.selector, selection, encoder=encoder, stop=stop)
        with tempfile.TemporaryDirectory() as place, torch.no_grad():
            bundle.save(Path(place), {"prompt_style": "completion"})
            found.append(contents(Path(place)))
    return found


def _bundle(folder: Path) -> None:
    from methods.parametric_qa.shared.bundle import (
        Bundle,
        check_style,
        contents_fingerprint,
        find_bundle,
    )

    def load() -> None:
        bundle = Bundle.load(find_bundle(str(folder)))
        size = bundle.cut(None).size
        bundle.cut(size.name if size else None).fingerprint()

    each(
        load,
        lambda: check_style(folder, "completion", "m"),
        lambda: contents_fingerprint(folder),
    )


@cache
def _loras() -> list[Files]:
    from tests.tiny import save_tiny_adapter

    _tiny()
    with tempfile.TemporaryDirectory() as place:
        folder = save_tiny_adapter(Path(_place().name) / "tiny", Path(place))
        files = contents(folder)
    return [{name: files[name] for name in ("adapter_config.json", "adapter_model.safetensors")}]


def _lora(folder: Path) -> None:
    from harness.llm.adapters import adapted, adapter_fingerprint
    from harness.llm.chosen_adapters import ChosenAdapters

    llm = _tiny()

    def merged() -> None:
        with adapted(llm.runtime, llm.config, folder):
            pass

    def chosen() -> None:
        ChosenAdapters()._load(llm.runtime, folder)

    each(lambda: adapter_fingerprint(folder), merged, chosen)


def _folder(folder: Path) -> None:
    from harness.llm.catalogue import resolve_model
    from harness.llm.identity import identity
    from harness.llm.open import open_model
    from harness.llm.requests import GenerateRequest

    config = resolve_model(f"path:{folder}")
    identity(config)
    model = open_model(config, device="cpu")
    list(model.generate([GenerateRequest("Question: who?", max_tokens=2)]))


@cache
def _ggufs() -> list[Files]:
    from tests.tiny_gguf import write_gguf

    _tiny()
    with tempfile.TemporaryDirectory() as place:
        file = write_gguf(Path(_place().name) / "tiny", Path(place) / "tiny.gguf")
        return [{"tiny.gguf": file.read_bytes()}]


def _gguf(folder: Path) -> None:
    from harness.llm.catalogue import resolve_model
    from harness.llm.gguf import materialise
    from harness.llm.style import prompt_style

    config = resolve_model(f"gguf:{folder}/tiny.gguf")
    each(lambda: prompt_style(config), lambda: materialise(config))


READERS = (
    Reader("memory-bank", _banks, _bank),
    Reader("shared-parts", _shared, _bundle, share=0.5),
    Reader("lora", _loras, _lora, share=0.2),
    Reader("model-folder", lambda: [_model_files()], _folder, share=0.1),
    Reader("gguf", _ggufs, _gguf, share=0.1),
)
