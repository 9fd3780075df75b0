"""Opening local models: encoding, adapters, provenance and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.errors import ConfigError, InputError
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest, ScoreRequest
from harness.prompts import Message
from tests.tiny import build_tiny_model, save_tiny_adapter

CHAT = (
    Message("system", "Answer the question with a short phrase."),
    Message("user", "Who wrote Hamlet?"),
)
ASK = "Question: Who wrote Hamlet?\nAnswer:"


def load(path: Path | str, **options) -> LocalModel:
    return LocalModel(ModelConfig(name="tiny", path=str(path), **options), str(path))


@pytest.fixture(scope="module")
def tiny(tiny_model_dir) -> LocalModel:
    return load(tiny_model_dir)


@pytest.fixture
def copy(tiny_model_dir, tmp_path) -> Path:
    """The tiny model's folder, to be damaged."""
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "copy"))


def refusal(path: Path | str, **options) -> str:
    with pytest.raises(InputError) as caught:
        load(path, **options)
    message = str(caught.value)
    assert "model 'tiny'" in message and "\n" not in message
    return message


def test_plain_text_begins_with_the_models_start_token(tiny):
    ids = tiny.encode(ASK)
    assert ids[0] == tiny.tokenizer.bos_token_id
    assert tiny.tokenizer.decode(ids[1:]) == ASK
    assert tiny.count_tokens(ASK) == len(ids)


def test_messages_go_through_the_chat_template(tiny):
    ids = tiny.encode(CHAT)
    text = tiny.tokenizer.decode(ids)
    assert text.startswith("<|im_start|>system\nAnswer the question")
    assert text.endswith("<|im_start|>assistant\n")
    assert tiny.count_tokens(CHAT) == len(ids)


def test_a_turn_of_the_assistant_is_gone_on_with(tiny):
    begun = (*CHAT, Message("assistant", "Ann was born in Rome.\n"))
    text = tiny.tokenizer.decode(tiny.encode(begun))
    assert text == tiny.tokenizer.decode(tiny.encode(CHAT)) + "Ann was born in Rome.\n"


def test_a_template_that_writes_the_start_token_does_not_double_it(tiny_model_dir):
    llm = load(tiny_model_dir)
    llm.tokenizer.chat_template = "{{ bos_token }}" + llm.tokenizer.chat_template
    assert llm.encode(CHAT).count(llm.tokenizer.bos_token_id) == 1


def test_without_a_chat_template(tiny_model_dir):
    llm = load(tiny_model_dir)
    llm.tokenizer.chat_template = None
    with pytest.raises(ConfigError, match="'tiny' has no chat template; set prompt_style"):
        llm.encode(CHAT)


def test_a_template_that_refuses_the_messages(tiny_model_dir):
    llm = load(tiny_model_dir)
    llm.tokenizer.chat_template = "{{ raise_exception('System role not supported') }}"
    with pytest.raises(ConfigError, match=r"'tiny': its chat template.*System role not supported"):
        llm.encode(CHAT)


def test_sampling_defaults_of_a_checkpoint_do_not_leak(copy, tiny):
    (copy / "generation_config.json").write_text(
        '{"do_sample": true, "temperature": 5.0, "repetition_penalty": 9.0, "eos_token_id": [1, 2]}'
    )
    llm = load(copy)
    request = GenerateRequest(ASK, 12)
    assert dict(llm.generate([request])) == dict(tiny.generate([request]))
    assert llm.model.generation_config.eos_token_id == [1, 2]


def test_provenance_of_a_folder(tiny):
    record = tiny.provenance()
    assert record["revision"] is None
    assert (record["dtype"], record["device"]) == ("float32", "cpu")
    assert record["parameters"] == sum(p.numel() for p in tiny.model.parameters())
    assert record["independent_of_batch"] is True
    low = load(tiny.config.path, dtype="bfloat16")
    assert low.provenance()["dtype"] == "bfloat16"
    assert not low.runtime.exact


def test_provenance_of_a_hub_model_names_the_commit(tiny_model_dir, tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "models--org--tiny"
    shutil.copytree(tiny_model_dir, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert load("org/tiny").provenance()["revision"] == commit
    assert load("org/tiny", revision="main").provenance()["revision"] == commit


def test_close_frees_the_weights(tiny_model_dir):
    llm = load(tiny_model_dir)
    llm.close()
    assert not hasattr(llm, "model")


# Refused checkpoints


@pytest.mark.parametrize(
    ("device", "problem"),
    [("cudax", "unknown device 'cudax'; such as cpu"), ("cuda:1", "'cuda:1': torch finds no GPU")],
)
def test_a_device_that_is_not_there(device, problem, tiny_model_dir, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    config = ModelConfig(name="tiny", path=str(tiny_model_dir))
    with pytest.raises(ConfigError, match=problem):
        LocalModel(config, str(tiny_model_dir), device=device)


def test_a_missing_folder_and_an_unknown_hub_model(tmp_path):
    message = refusal(tmp_path / "none")
    assert "the tokenizer" in message and "tokenizer.json" in message
    assert "hub id" in refusal("no-such-org/no-such-model")


def test_a_folder_without_weights(copy):
    (copy / "model.safetensors").unlink()
    message = refusal(copy)
    assert "the weights" in message and str(copy) in message


def test_pickled_weights_are_refused_unread(copy):
    (copy / "model.safetensors").unlink()
    bomb = b"cbuiltins\nexec\n(S'raise SystemExit(3)'\ntR."
    (copy / "pytorch_model.bin").write_bytes(bomb)
    assert "pickle files can run code" in refusal(copy)


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_broken_safetensors(copy, damage):
    file = copy / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes({"cut": data[: len(data) // 2], "garbage": b"\xff" * 99, "empty": b""}[damage])
    assert "the weights" in refusal(copy)


def test_a_broken_config_and_an_unknown_architecture(copy):
    for text in ("{", '{"model_type": "no-such-architecture"}'):
        (copy / "config.json").write_text(text)
        refusal(copy)


def test_a_folder_without_a_tokenizer(copy):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copy / name).unlink()
    assert "the tokenizer" in refusal(copy)
    (copy / "tokenizer.json").write_text("{")
    assert "the tokenizer" in refusal(copy)


def test_weights_that_do_not_fit_in_memory(tiny_model_dir, monkeypatch):
    import torch
    from transformers import AutoModelForCausalLM

    def refuse(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", refuse)
    assert "set quantization: nf4" in refusal(tiny_model_dir)


# Adapters


@pytest.fixture(scope="module")
def adapter(tiny_model_dir, tmp_path_factory) -> Path:
    folder = save_tiny_adapter(tiny_model_dir, tmp_path_factory.mktemp("adapter") / "lora")
    for file in tiny_model_dir.glob("tokenizer*"):
        shutil.copy(file, folder / "merged")
    return folder


def test_an_adapter_answers_like_its_merged_model(tiny, adapter):
    adapted, merged = load(tiny.config.path, adapter=str(adapter)), load(adapter / "merged")
    score = ScoreRequest(ASK, (" William Shakespeare", " Paris"))
    logprobs = [dict(llm.score([score]))[0].logprobs for llm in (tiny, adapted, merged)]
    assert logprobs[1] == pytest.approx(logprobs[2], abs=1e-3)
    assert logprobs[1] != pytest.approx(logprobs[0], abs=0.1)
    requests = [GenerateRequest(f"{ASK}{' yes' * n}", 10) for n in range(4)]
    texts = [[dict(llm.generate(requests))[i].text for i in range(4)] for llm in (adapted, merged)]
    assert texts[0] == texts[1]
    assert not any(weight.requires_grad for weight in adapted.model.parameters())


def test_adapters_for_other_models_are_refused(tiny, tmp_path, tiny_model_dir):
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    GPT2LMHeadModel(GPT2Config(n_embd=64, n_layer=1, n_head=2, vocab_size=64)).save_pretrained(
        tmp_path / "gpt2"
    )
    sizes = {"vocab_size": 99, "num_attention_heads": 4, "intermediate_size": 128}
    for name, hidden, layers in (("wide", 128, 2), ("deep", 64, 4), ("flat", 64, 1)):
        config = LlamaConfig(hidden_size=hidden, num_hidden_layers=layers, **sizes)
        LlamaForCausalLM(config).save_pretrained(tmp_path / name)
    for name in ("gpt2", "wide", "deep", "flat"):
        modules = {"target_modules": ["c_attn"]} if name == "gpt2" else {}
        folder = save_tiny_adapter(tmp_path / name, tmp_path / f"adapter-{name}", **modules)
        message = refusal(tiny.config.path, adapter=str(folder))
        assert "cannot load the adapter" in message and str(folder) in message


def test_adapters_that_cannot_be_read(tiny, adapter, tmp_path):
    refusal(tiny.config.path, adapter=str(tmp_path / "none"))
    assert "hub id" in refusal(tiny.config.path, adapter="no-such-org/no-such-adapter")
    broken = Path(shutil.copytree(adapter, tmp_path / "broken"))
    weights = broken / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    refusal(tiny.config.path, adapter=str(broken))
    weights.rename(broken / "adapter_model.bin")
    message = refusal(tiny.config.path, adapter=str(broken))
    assert "holds no adapter_model.safetensors" in message and "pickle" in message


def test_seeds_of_the_tiny_model_differ(tiny, tmp_path):
    other = load(build_tiny_model(tmp_path / "other", seed=1))
    request = GenerateRequest(ASK, 8)
    assert dict(other.generate([request])) != dict(tiny.generate([request]))
