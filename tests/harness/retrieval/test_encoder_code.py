"""A folder of an encoder runs no code of its own, and reads no weights of another place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InputError
from harness.retrieval.catalogue import encoder_entry
from harness.retrieval.encoder_code import check_no_code
from harness.retrieval.encoders import open_encoder
from tests.tiny_encoder import build_tiny_encoder

MINE = "the_attackers.Module"
CODE = """
from pathlib import Path
Path(__file__).with_name("ran").touch()
class Module: ...
"""
PLAIN = {"query_prefix": "", "passage_prefix": "", "normalize": True}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An encoder as sentence-transformers saves it, and a module of code beside it."""
    from sentence_transformers import SentenceTransformer

    plain = build_tiny_encoder(tmp_path / "plain", ["paris", "france"])
    folder = tmp_path / "saved"
    SentenceTransformer(str(plain)).save(str(folder))
    (folder / "the_attackers.py").write_text(CODE)
    return folder


def change(file: Path, at: tuple[Any, ...], value: object) -> None:
    whole = inner = json.loads(file.read_text()) if file.exists() else {}
    for key in at[:-1]:
        inner = inner[key] if not isinstance(inner, dict) else inner.setdefault(key, {})
    inner[at[-1]] = value
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(whole))


def test_what_sentence_transformers_saves_is_opened(folder: Path) -> None:
    check_no_code(folder)
    encoder = open_encoder("dense", {"path": str(folder), **PLAIN})
    assert encoder.encode_queries(["paris"]).shape == (1, encoder.dimensions)


@pytest.mark.parametrize(
    ("file", "at"),
    [
        ("modules.json", (0, "type")),
        ("router_config.json", ("types", "query_0")),
        ("2_Asym/config.json", ("types", "query_0")),
        ("2_Dense/config.json", ("activation_function",)),
        ("0_Words/wordembedding_config.json", ("tokenizer_class",)),
    ],
)
def test_a_class_of_somebody_elses_is_refused_unread(
    folder: Path, file: str, at: tuple[Any, ...]
) -> None:
    change(folder / file, at, MINE)
    settings = {"path": str(folder), **PLAIN}
    for use in (lambda: encoder_entry("dense", settings).config(), lambda: open_encoder(
        "dense", settings
    )):  # fmt: skip
        with pytest.raises(InputError, match=f"{file}: names the class '{MINE}'"):
            use()
    assert not (folder / "ran").exists()


def test_an_adapter_over_other_weights_is_refused(folder: Path) -> None:
    change(folder / "adapter_config.json", ("base_model_name_or_path",), "/somewhere/else")
    with pytest.raises(InputError, match=r"adapter_config.json: an adapter is read over weights"):
        encoder_entry("dense", {"path": str(folder), **PLAIN}).config()
