"""A method's adapter: what the model answers with it, and that nothing of it stays behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.errors import CapabilityError, ConfigError, InputError
from harness.llm.adapters import adapter_fingerprint
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest, ScoreRequest
from harness.testing.models import RuleModel
from tests.tiny import save_tiny_adapter

pytestmark = pytest.mark.numeric

ASK = "Question: Who wrote Hamlet? " * 8 + "\nAnswer:"
SCORE = ScoreRequest(ASK, (" William Shakespeare", " Paris"))


def load(path: Path | str, **options) -> LocalModel:
    return LocalModel(ModelConfig(name="tiny", path=str(path), **options), str(path))


def logits(model):
    import torch

    with torch.inference_mode():
        return model(torch.arange(40)[None]).logits


def weights(model) -> dict:
    return {name: weight.data.clone() for name, weight in model.named_parameters()}


def assert_as_before(llm: LocalModel, model, before: dict) -> None:
    import torch

    assert llm.model is model
    now = {name: weight.data for name, weight in model.named_parameters()}
    assert list(now) == list(before)
    assert all(torch.equal(now[name], before[name]) for name in before)
    assert not any(weight.requires_grad for weight in model.parameters())


@pytest.fixture(scope="module")
def tiny(tiny_model_dir) -> LocalModel:
    return load(tiny_model_dir)


@pytest.fixture(scope="module")
def adapter(tiny_model_dir, tmp_path_factory) -> Path:
    return save_tiny_adapter(tiny_model_dir, tmp_path_factory.mktemp("adapter") / "lora")


@pytest.fixture(scope="module")
def tied(tiny_model_dir, tmp_path_factory) -> Path:
    """The tiny model with one table for the tokens that it reads and those that it writes."""
    from transformers import LlamaForCausalLM

    folder = Path(shutil.copytree(tiny_model_dir, tmp_path_factory.mktemp("tied") / "model"))
    model = LlamaForCausalLM.from_pretrained(folder)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(folder)
    return folder


def test_inside_the_model_is_the_one_that_was_trained(tiny, adapter):
    unmerged = load(tiny.config.path, adapter=str(adapter))
    plain, model = logits(tiny.model), tiny.model
    with tiny.adapted(adapter):
        inside = logits(tiny.model)
        assert tiny.model is model, "merged, so that it is as fast as before"
        scores = dict(tiny.score([SCORE]))[0].logprobs
    # Relative to logits of about ten, these are float32's last digits.
    assert (inside - logits(unmerged.model)).abs().max() < 1e-5 * inside.abs().max()
    assert (inside - plain).abs().max() > 1
    assert scores == pytest.approx(dict(unmerged.score([SCORE]))[0].logprobs, abs=1e-3)


def test_afterwards_every_weight_is_what_it_was(tiny, adapter):
    before, model, output = weights(tiny.model), tiny.model, logits(tiny.model)
    for _ in range(2):
        with tiny.adapted(adapter):
            assert any((before[name] != now).any() for name, now in model.named_parameters())
        assert_as_before(tiny, model, before)
    assert (logits(tiny.model) == output).all()


def test_a_failure_inside_leaves_nothing_behind(tiny, adapter):
    before, model = weights(tiny.model), tiny.model
    with pytest.raises(ZeroDivisionError):
        with tiny.adapted(adapter):
            raise ZeroDivisionError
    assert_as_before(tiny, model, before)


def test_without_an_adapter_nothing_happens(tiny):
    runtime = tiny.runtime
    with tiny.adapted(None):
        assert tiny.runtime is runtime
    with RuleModel().adapted(None):
        pass


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_rounded_weights_keep_the_adapter_beside_them(tiny_model_dir, adapter, kind):
    llm = load(tiny_model_dir, quantization=kind)
    unmerged = load(tiny_model_dir, quantization=kind, adapter=str(adapter))
    output = None
    for _ in ("never used before", "used before"):
        before, model = weights(llm.model), llm.model
        with llm.adapted(adapter):
            inside = logits(llm.model)
        assert_as_before(llm, model, before)
        # A last digit may round an activation of int8 the other way, about 1 in 127.
        assert (inside - logits(unmerged.model)).abs().max() < 1e-2 * inside.abs().max()
        output = logits(llm.model) if output is None else output
        assert (logits(llm.model) == output).all()
    assert (inside - output).abs().max() > 0.1 * inside.abs().max()


@pytest.mark.parametrize("modules", [["q_proj"], ["q_proj", "embed_tokens"], ["lm_head"]])
def test_a_table_that_two_layers_share_stays_shared(tied, tmp_path, modules):
    folder = save_tiny_adapter(tied, tmp_path / "lora", target_modules=modules)
    llm, unmerged = load(tied), load(tied, adapter=str(folder))
    before, model, output = weights(llm.model), llm.model, logits(llm.model)
    with llm.adapted(folder):
        inside = logits(llm.model)
    assert (inside - logits(unmerged.model)).abs().max() < 1e-5 * inside.abs().max()
    assert (inside - output).abs().max() > 0.1
    assert_as_before(llm, model, before)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert model.config.tie_word_embeddings


def test_what_was_read_on_one_side_is_not_used_on_the_other(tiny_model_dir, adapter):
    def answer(llm: LocalModel) -> str:
        return dict(llm.generate([GenerateRequest(ASK, 12, keep_for="q")]))[0].text

    def fresh() -> LocalModel:
        return load(tiny_model_dir)

    llm, other = fresh(), fresh()
    plain = answer(llm)
    with llm.adapted(adapter):
        inside = answer(llm)
    with other.adapted(adapter):
        assert answer(other) == inside != plain
    assert answer(llm) == answer(fresh()) == plain


# What is refused


def refusal(llm: LocalModel, folder: Path) -> str:
    before, model = weights(llm.model), llm.model
    with pytest.raises(InputError) as caught, llm.adapted(folder):
        pass
    message = str(caught.value)
    assert f"model 'tiny': cannot load the adapter from '{folder}'" in message
    assert "\n" not in message
    assert_as_before(llm, model, before)
    return message


def test_a_folder_without_an_adapter(tiny, adapter, tmp_path):
    assert "holds no adapter_config.json" in refusal(tiny, tmp_path)
    shutil.copy(adapter / "adapter_config.json", tmp_path)
    (tmp_path / "adapter_model.bin").write_bytes(b"cbuiltins\nexec\n(S'raise SystemExit(3)'\ntR.")
    message = refusal(tiny, tmp_path)
    assert "holds no adapter_model.safetensors" in message and "pickle" in message
    with pytest.raises(InputError, match="holds no adapter_model.safetensors"):
        adapter_fingerprint(tmp_path)


def test_an_adapter_that_does_not_fit_leaves_the_model_as_it_was(tiny, adapter, tmp_path):
    from safetensors.torch import load_file, save_file

    other = Path(shutil.copytree(adapter, tmp_path / "other"))
    read = load_file(other / "adapter_model.safetensors")
    tensors = {name: tensor.clone() for name, tensor in read.items()}
    wide = {name: tensor.repeat(1, 2) for name, tensor in tensors.items()}
    fewer = dict(list(tensors.items())[2:])
    more = {**tensors, "base_model.model.model.embed_tokens.weight": wide.popitem()[1]}
    for changed, problem in ((wide, "RuntimeError"), (fewer, "missing"), (more, "embed_tokens")):
        save_file(changed, other / "adapter_model.safetensors")
        assert problem in refusal(tiny, other)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bias", "all"),
        ("modules_to_save", ["lm_head"]),
        ("init_lora_weights", "olora"),
        ("peft_type", "LOHA"),
    ],
)
def test_adapters_that_change_the_models_own_weights(tiny, adapter, tmp_path, key, value):
    other = Path(shutil.copytree(adapter, tmp_path / "other"))
    path = other / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    assert f"adapter_config.json: {key} {value!r} is more than LoRA" in refusal(tiny, other)


def test_a_model_with_an_adapter_of_its_own_takes_no_second_one(tiny, adapter):
    llm = load(tiny.config.path, adapter=str(adapter))
    with pytest.raises(ConfigError, match="'tiny' has an adapter of its own .* without it"):
        with llm.adapted(adapter):
            pass


def test_models_elsewhere_take_no_adapter(adapter):
    with pytest.raises(CapabilityError, match=r"model 'rules' cannot take .*local transformers"):
        with RuleModel().adapted(adapter):
            pass


def test_the_fingerprint_is_that_of_the_adapter_alone(adapter, tmp_path):
    other = Path(shutil.copytree(adapter, tmp_path / "other"))
    (other / "README.md").write_text("changed")
    assert adapter_fingerprint(other) == adapter_fingerprint(adapter)
    weights = other / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert adapter_fingerprint(other) != adapter_fingerprint(adapter)


def test_an_adapter_is_no_model(tiny_model_dir: Path, adapter: Path, tmp_path: Path) -> None:
    whole = shutil.copytree(adapter, tmp_path / "whole")
    for file in tiny_model_dir.glob("tokenizer*"):
        shutil.copy(file, whole)
    with pytest.raises(InputError, match="holds an adapter over weights of another place"):
        load(whole)
