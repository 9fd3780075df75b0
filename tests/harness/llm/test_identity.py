"""What a model is in a run's id: settings, and local files by what they hold."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from harness import fingerprint
from harness.errors import InputError
from harness.llm.catalogue import DEFAULT_MODEL, catalogue, resolve_model
from harness.llm.identity import identity, places
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.powers import ALLOWED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder, by the names of its files alone."""
    folder = tmp_path / "here" / "model"
    (folder / "additional_chat_templates").mkdir(parents=True)
    for name in (
        "config.json",
        "generation_config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "tokenizer.json",
        "tokenizer.model.v3",
        "merges.txt",
        "chat_template.jinja",
        "additional_chat_templates/rag.jinja",
        "modeling_mine.py",
        "README.md",
        "optimizer.pt",
    ):
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "here" / "lora"
    folder.mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).write_text(name)
    return folder


def of(spec, **options):
    """The identity of a spec, of one with options, or of a board's mapping."""
    return identity(resolved(spec, **options))


def resolved(spec, **options):
    """A model whose prompt style is known, since that of a hub id is asked of the hub."""
    config = resolve_model({"name": spec, **options} if options else spec)
    return config if config.prompt_style else config.with_style("completion", "")


def test_the_default_model_is_what_it_was_in_every_earlier_run():
    assert identity(resolve_model(DEFAULT_MODEL).on("cpu")) == {
        "kind": "transformers",
        "path": "",
        "revision": None,
        "prompt_style": "completion",
        "dtype": "float32",
        "quantization": None,
        "adapter": None,
        "gguf_file": None,
        "window": None,
        "trust_remote_code": False,
        "weights_sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    }


@pytest.mark.parametrize(
    "spec",
    [
        *catalogue(),
        "hf:org/name@abc",
        {"name": "hf:org/name", "adapter": "org/lora"},
        {"name": "hf:org/name", "gguf_file": "a.gguf"},
        {"name": "openai:m@http://h/v1", "tokenizer": "org/name"},
        "lm-eval:hf,pretrained=org/name,dtype=float32",
    ],
)
def test_models_from_elsewhere_are_what_their_settings_say(spec):
    config = resolved(spec)
    assert identity(config) == config.settings()
    assert places(config) == {}


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("config.json", True),
        ("generation_config.json", True),
        ("model-00002-of-00002.safetensors", True),
        ("tokenizer.json", True),
        ("tokenizer.model.v3", True),
        ("merges.txt", True),
        ("chat_template.jinja", True),
        ("additional_chat_templates/rag.jinja", True),
        ("adapter_model.safetensors", True),
        ("modeling_mine.py", False),
        ("README.md", False),
        ("optimizer.pt", False),
        ("checkpoint-500/model.safetensors", False),
    ],
)
def test_a_folder_counts_by_the_files_that_are_read(folder, name, counts):
    before = of(f"path:{folder}")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("changed")
    assert (of(f"path:{folder}") != before) == counts


def test_python_files_count_if_they_are_run(folder, monkeypatch):
    monkeypatch.setenv(ALLOWED, "remote-code")
    before = of(f"path:{folder}", trust_remote_code=True)
    (folder / "modeling_mine.py").write_text("changed")
    assert of(f"path:{folder}", trust_remote_code=True) != before


def test_the_same_files_elsewhere_are_the_same_model(folder, adapter, tmp_path):
    gguf = folder / "weights.gguf"
    gguf.write_bytes(b"weights")
    specs = [
        f"path:{folder}",
        {"path": str(folder)},
        f"gguf:{gguf}",
        {"name": "hf:org/name", "adapter": str(adapter)},
        {"name": "openai:m@http://h/v1", "tokenizer": str(folder)},
        f"lm-eval:hf,pretrained={folder},dtype=float32",
    ]
    moved = json.loads(json.dumps(specs).replace("/here/", "/there/"))
    before = [(resolve_model(spec).name, of(spec)) for spec in specs]
    (tmp_path / "here").rename(tmp_path / "there")
    assert [(resolve_model(spec).name, of(spec)) for spec in moved] == before
    assert str(tmp_path) not in json.dumps(before)


def test_a_gguf_file_and_an_adapter_count_by_what_they_hold(folder, adapter):
    gguf = folder / "weights.gguf"
    gguf.write_bytes(b"weights")
    alone, tuned = of(f"gguf:{gguf}"), of("hf:org/name", adapter=str(adapter))
    (folder / "config.json").write_text("is not read with a GGUF file")
    (adapter / "README.md").write_text("nor is this")
    assert (of(f"gguf:{gguf}"), of("hf:org/name", adapter=str(adapter))) == (alone, tuned)
    gguf.write_bytes(b"weighty")
    (adapter / "adapter_model.safetensors").write_text("changed")
    assert of(f"gguf:{gguf}") != alone
    assert of("hf:org/name", adapter=str(adapter)) != tuned


@pytest.mark.parametrize(
    ("name", "by_server", "by_lm_eval"),
    [
        ("tokenizer.json", True, True),
        ("model-00001-of-00002.safetensors", False, True),
        ("pytorch_model.bin", False, True),
        ("README.md", False, False),
    ],
)
def test_folders_that_servers_and_lm_eval_are_told_of(folder, name, by_server, by_lm_eval):
    def both():
        server = {"name": "openai:m@http://h/v1", "tokenizer": str(folder)}
        return of(server), of(f"lm-eval:hf,pretrained={folder},dtype=float32")

    before = both()
    (folder / name).write_text("changed")
    assert tuple(a != b for a, b in zip(before, both(), strict=True)) == (by_server, by_lm_eval)


def test_a_folder_of_a_hub_ids_name_goes_before_the_hub_as_in_transformers(
    folder, tmp_path, monkeypatch
):
    (tmp_path / "org").mkdir()
    folder.rename(tmp_path / "org" / "name")
    assert of("hf:org/name")["path"] == "org/name"
    monkeypatch.chdir(tmp_path)
    assert of("hf:org/name")["path"].startswith("sha256:")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("path:{}/none", "model 'none': .*/none is no transformers model folder"),
        ("gguf:{}/none.gguf", "none.gguf: no such file"),
        ({"name": "hf:org/name", "adapter": "{}/none"}, "none holds no adapter_config.json"),
        ({"name": "openai:m@http://h/v1", "tokenizer": "{}/none"}, "tokenizer: .*/none is no f"),
    ],
)
def test_what_is_missing_is_one_line(spec, words, tmp_path):
    text = json.dumps(spec).replace("{}", str(tmp_path))
    with pytest.raises(InputError, match=words) as caught:
        of(json.loads(text))
    assert "\n" not in str(caught.value)


def test_a_folder_without_weights_is_refused(folder):
    for file in folder.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(InputError, match=r"model 'model': .* holds no weights \(no .safetensors"):
        of(f"path:{folder}")


def test_what_was_read_once_is_not_read_again_unless_it_was_written(folder, monkeypatch):
    read: Counter[str] = Counter()
    file_sha256 = fingerprint.file_sha256

    def counted(path: Path) -> str:
        read[path.name] += 1
        return file_sha256(path)

    monkeypatch.setattr(fingerprint, "file_sha256", counted)
    for style in ("completion", "chat", "completion"):
        of(f"path:{folder}", prompt_style=style)
    assert len(read) > 5
    assert set(read.values()) == {1}
    (folder / "config.json").write_text("longer than it was before")
    of(f"path:{folder}")
    assert [name for name, times in read.items() if times == 2] == ["config.json"]


def test_naming_a_model_reads_no_file():
    spec = {"name": "path:/no/where", "adapter": "/no/lora", "prompt_style": "chat"}
    assert resolve_model(spec).name == "where-chat-lora"


def test_provenance_says_where_the_files_lay(tiny_model_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny_model_dir.parent)
    path = f"./{tiny_model_dir.name}"
    record = LocalModel(ModelConfig(name="tiny", path=path), path).provenance()
    assert record["path"] == str(tiny_model_dir)
    assert places(resolve_model("gguf:/m/a.gguf")) == {"path": "/m/a.gguf"}
    assert places(resolve_model({"name": "hf:a/b", "adapter": "/m/lora"})) == {"adapter": "/m/lora"}
    server = {"name": "openai:m@http://h/v1", "tokenizer": "/m/words"}
    assert places(resolve_model(server)) == {"tokenizer": "/m/words"}
    shutil.copytree(tiny_model_dir, tmp_path / "copy")
    args = f"pretrained={tmp_path / 'copy'}"
    assert places(resolve_model(f"lm-eval:hf,{args}")) == {"lm_eval_args": args}


def test_a_model_folder_that_points_to_other_weights_is_refused(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "/elsewhere"}')
    with pytest.raises(InputError, match=r"adapter_config.json would have other weights read"):
        of(f"path:{folder}")
