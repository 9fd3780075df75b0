"""The prompt style of models whose entry leaves it open: what decides it, and where it is said."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

import harness.llm.open
from harness.boards.config import parse_board
from harness.boards.run import plan_runs, run_plans
from harness.errors import InputError
from harness.llm.catalogue import DEFAULT_MODEL, catalogue, resolve_model
from harness.llm.identity import identity
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.open import open_model
from harness.llm.style import prompt_style, settled
from tests.harness.lab import CountingModel

TEMPLATE = "{{ messages[0]['content'] }}"


@pytest.fixture
def plain(tiny_model_dir, tmp_path) -> Path:
    """The tiny model's folder without its chat template."""
    folder = Path(shutil.copytree(tiny_model_dir, tmp_path / "plain"))
    (folder / "chat_template.jinja").unlink()
    return folder


def set_template(folder: Path, template: Any) -> None:
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": template}))


@pytest.mark.parametrize(
    ("template", "style"),
    [
        (TEMPLATE, "chat"),
        ([{"name": "default", "template": TEMPLATE}], "chat"),
        ([{"name": "rag", "template": TEMPLATE}], "completion"),
        (None, "completion"),
    ],
)
def test_a_folder_is_chat_if_its_tokenizer_has_a_template(plain, template, style):
    if template is not None:
        set_template(plain, template)
    assert prompt_style(resolve_model(f"path:{plain}")) == style
    # The server of such a model is asked in the same way.
    server = {"name": "openai:m@http://h/v1", "tokenizer": str(plain)}
    assert prompt_style(resolve_model(server)) == style


def test_what_is_decided_is_what_the_opened_model_does(plain, tiny_model_dir):
    assert open_model(resolve_model(f"path:{plain}"), device="cpu").prompt_style == "completion"
    llm = open_model(resolve_model(f"path:{tiny_model_dir}"), device="cpu")
    assert llm.prompt_style == "chat"
    assert llm.tokenizer.chat_template is not None


def test_an_entry_that_says_its_style_keeps_it(tiny_model_dir):
    asked = resolve_model({"name": f"path:{tiny_model_dir}", "prompt_style": "completion"})
    assert settled(asked) is asked
    assert asked.style_reason == ""
    assert all(entry.prompt_style is not None for entry in catalogue().values())
    assert catalogue()[DEFAULT_MODEL].prompt_style == "completion"


def test_servers_and_lm_eval_where_no_tokenizer_is_known():
    server, evaluated = map(resolve_model, ("openai:m@http://h/v1", "lm-eval:dummy"))
    assert settled(server).prompt_style == "chat"
    assert "server" in settled(server).style_reason
    assert settled(evaluated).prompt_style == "completion"


def test_a_gguf_file_is_asked_itself(tmp_path):
    from gguf import GGUFWriter

    for name, style in (("with", "chat"), ("without", "completion")):
        writer = GGUFWriter(tmp_path / f"{name}.gguf", "llama")
        if name == "with":
            writer.add_chat_template(TEMPLATE)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        assert prompt_style(resolve_model(f"gguf:{tmp_path / name}.gguf")) == style
    with pytest.raises(InputError, match="GGUF file on the hub.*set prompt_style"):
        settled(resolve_model({"name": "hf:org/name", "gguf_file": "a.gguf"}))


@pytest.mark.parametrize(
    ("files", "style"),
    [
        ({"tokenizer_config.json": {"chat_template": TEMPLATE}}, "chat"),
        ({"tokenizer_config.json": {}, "chat_template.jinja": TEMPLATE}, "chat"),
        ({"tokenizer_config.json": {}}, "completion"),
    ],
)
def test_a_hub_model_by_its_small_files(files, style, tmp_path, monkeypatch):
    """From the hub's cache, as the network is out of reach here."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository, commit = tmp_path / "models--org--name", "a" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots" / commit).mkdir(parents=True)
    for name, content in files.items():
        (repository / "snapshots" / commit / name).write_text(
            content if isinstance(content, str) else json.dumps(content)
        )
    assert identity(resolve_model("hf:org/name"))["prompt_style"] == style


def test_a_hub_model_out_of_reach_is_asked_for_its_style():
    with pytest.raises(InputError, match="set prompt_style: chat or completion") as caught:
        identity(resolve_model("hf:no-org/no-model"))
    assert "\n" not in str(caught.value)
    asked = resolve_model({"name": "hf:no-org/no-model", "prompt_style": "chat"})
    assert identity(asked) == asked.settings()


def test_a_hub_file_that_is_not_there_means_no_template(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import RemoteEntryNotFoundError

    def missing(*_: Any, **__: Any) -> str:
        response = SimpleNamespace(headers={}, status_code=404, request=None)
        raise RemoteEntryNotFoundError("404", response=response)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", missing)
    assert prompt_style(resolve_model("hf:org/name")) == "completion"


def test_the_style_is_part_of_the_runs_id_and_an_explicit_one_is_the_same_run(tiny_model_dir):
    name = f"path:{tiny_model_dir}"
    taken = identity(resolve_model(name))
    assert taken["prompt_style"] == "chat"
    assert taken == identity(resolve_model({"name": name, "prompt_style": "chat"}))
    assert taken != identity(resolve_model({"name": name, "prompt_style": "completion"}))


def test_a_run_says_which_style_was_taken_and_why(files, tiny_model_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(harness.llm.open, "open_model", lambda *_, **__: CountingModel())
    paths = {kind: str(files / f"{kind}.jsonl") for kind in ("questions", "corpus", "train")}
    content = {
        "name": "b",
        "methods": ["no-retrieval"],
        "tasks": [{"name": "toy", "files": paths}],
        "models": [f"path:{tiny_model_dir}", DEFAULT_MODEL],
        "latency": {"queries": 0},
    }
    plans = list(plan_runs(parse_board(content, "board.yaml"), "cpu"))
    assert [plan.model.prompt_style for plan in plans] == ["chat", "completion"]
    screen = StringIO()
    run_plans(plans, tmp_path / "runs", Console(file=screen, width=40))
    lines = screen.getvalue().splitlines()
    reason = "prompt_style chat, since its tokenizer has a chat template"
    assert f"loading tiny ({reason})" in lines
    assert f"loading {DEFAULT_MODEL}" in lines


def test_provenance_says_why(tiny_model_dir):
    config, path = ModelConfig(name="tiny", path=str(tiny_model_dir)), str(tiny_model_dir)
    record = LocalModel(config, path, device="cpu").provenance()
    assert record["prompt_style_because"] == "its tokenizer has a chat template"
    chosen = config.model_copy(update={"prompt_style": "chat"})
    assert "prompt_style_because" not in LocalModel(chosen, path, device="cpu").provenance()


def test_lm_evals_provenance_says_why_too():
    record = open_model(resolve_model("lm-eval:dummy")).provenance()
    assert record["prompt_style_because"] == "lm-eval's own default"
