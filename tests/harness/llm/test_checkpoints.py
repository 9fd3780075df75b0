"""Checkpoints as their authors left them: tokenizers and weights in older formats."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.llm import loading
from harness.llm.catalogue import catalogue, resolve_model
from harness.llm.identity import identity
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest, NextTokenRequest
from tests.tokenizers import save_sentencepiece

ASK = "Question: Who wrote Hamlet?\nAnswer:"


def load(path: Path) -> LocalModel:
    config = ModelConfig(name="old", path=str(path), prompt_style="completion")
    return LocalModel(config, str(path), device="cpu")


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert "model 'old'" in message and "\n" not in message
    return message


@pytest.fixture
def bare(tiny_model_dir, tmp_path) -> Path:
    """The tiny model's folder without its tokenizer."""
    folder = Path(shutil.copytree(tiny_model_dir, tmp_path / "bare"))
    for file in (*folder.glob("tokenizer*"), *folder.glob("*.jinja")):
        file.unlink()
    return folder


@pytest.fixture
def pickled(tiny_model_dir, tmp_path) -> Path:
    """The tiny model's folder with its weights as a pickle."""
    import torch
    from safetensors.torch import load_file

    folder = Path(shutil.copytree(tiny_model_dir, tmp_path / "pickled"))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def test_a_folder_with_a_tokenizer_model_alone_opens(bare):
    save_sentencepiece(bare)
    names = {file.name for file in bare.glob("token*")}
    assert names == {"tokenizer.model", "tokenizer_config.json"}
    llm = load(bare)
    ids = llm.encode(ASK)
    assert ids[0] == llm.tokenizer.bos_token_id
    assert llm.tokenizer.decode(ids, skip_special_tokens=True) == ASK
    ((_, reply),) = llm.generate([GenerateRequest(ASK, 4)])
    assert reply.completion_tokens > 0
    ((_, found),) = llm.next_token_probs([NextTokenRequest(ASK, (" Yes", " No"))])
    assert sum(found.probs.values()) < 1


def test_tokens_added_beside_a_tokenizer_model_are_there(bare):
    """As in Self-RAG's checkpoint, whose reflection tokens stand in added_tokens.json."""
    save_sentencepiece(bare)
    added = {"[No Retrieval]": 430, "[Retrieval]": 431}
    (bare / "added_tokens.json").write_text(json.dumps(added))
    llm = load(bare)
    prompt = "### Response:\n"
    assert llm.has_token("[Retrieval]")
    assert llm.runtime.pairs(prompt, tuple(added)) == (llm.encode(prompt), [[430], [431]])


def test_what_reads_a_tokenizer_model_is_installed_with_the_harness():
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    needed = " ".join(tomllib.loads(text)["project"]["dependencies"])
    assert "sentencepiece" in needed and "protobuf" in needed


@pytest.mark.parametrize("settings", [{}, {"tokenizer_class": "LlamaTokenizer"}])
def test_a_tokenizer_without_a_vocabulary_says_so_and_speaks_of_no_weights(bare, settings):
    """transformers makes a tokenizer of Llama's class that knows no word."""
    (bare / "tokenizer_config.json").write_text(json.dumps(settings))
    message = refusal(bare)
    assert "cannot load the tokenizer" in message
    assert "tokenizer.json" in message and "tokenizer.model" in message
    assert "weights" not in message and "safetensors" not in message


def test_a_broken_tokenizer_names_what_is_broken(bare):
    (bare / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    (bare / "tokenizer.model").write_bytes(b"not a model")
    message = refusal(bare)
    assert "the tokenizer" in message and "tokenizer.model" in message
    assert "weights" not in message


def test_a_missing_reader_of_tokenizers_is_to_be_installed(bare, monkeypatch):
    readers = {"sentencepiece": "no_such_module", "protobuf": "google.protobuf"}
    monkeypatch.setattr(loading, "_READERS", readers)
    (bare / "tokenizer.model").write_bytes(b"not a model")
    message = refusal(bare)
    assert message.endswith("pip install sentencepiece")
    assert "weights" not in message


def test_weights_in_bin_files_alone_are_refused_with_the_way_out(pickled):
    for message in (refusal(pickled), _unplanned(pickled)):
        assert "pickle" in message and "refs/pr/" in message
        assert f"from_pretrained('{pickled}', use_safetensors=False)" in message
        assert f"save_pretrained('{pickled}')" in message


def test_the_way_out_works(pickled, tiny_model_dir):
    code = refusal(pickled).split('python -c "')[1].rstrip('"')
    exec(compile(code, "the way out", "exec"), {})  # here, where torch is loaded already
    request = GenerateRequest(ASK, 6)
    assert dict(load(pickled).generate([request])) == dict(load(tiny_model_dir).generate([request]))


def _unplanned(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        identity(resolve_model(f"path:{folder}"))
    return str(caught.value)


def test_the_catalogue_names_a_revision_of_self_rags_model_with_safetensors():
    entry = catalogue()["selfrag-llama2-7b"]
    assert entry.revision == "refs/pr/7"
    assert "safetensors" in entry.notes
    assert entry.settings()["revision"] == "refs/pr/7"


def rewritten(folder: Path, change) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def test_weights_that_are_not_there_are_never_drawn_at_random(tiny_model_dir, tmp_path):
    name = "model.layers.1.mlp.down_proj.weight"
    folder = Path(shutil.copytree(tiny_model_dir, tmp_path / "less"))
    rewritten(folder, lambda tensors: tensors.pop(name))
    assert f"such as {name}; they would be random" in refusal(folder)


def test_weights_that_the_architecture_has_no_place_for_are_told(tiny_model_dir, tmp_path, caplog):
    """As those of a checkpoint with a memory of its own, opened as the model beneath."""
    import torch

    folder = Path(shutil.copytree(tiny_model_dir, tmp_path / "more"))
    load(folder)
    assert "left out" not in caplog.text
    rewritten(folder, lambda tensors: tensors.update({"memory": torch.zeros(2, 8, 64)}))
    load(folder)
    assert "1 weights in its files are no part of a LlamaForCausalLM, such as memory" in caplog.text
