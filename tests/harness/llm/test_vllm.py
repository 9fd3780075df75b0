"""vLLM in this process answers as the local backend does.

Run against a stand-in of vLLM's public interface over the tiny model: vLLM itself needs a GPU.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.errors import CapabilityError, ConfigError, InputError
from harness.llm.catalogue import resolve_model
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.open import open_model
from harness.llm.requests import GenerateRequest, NextTokenRequest, ScoreRequest
from harness.llm.vllm.embedding import input_embedding
from harness.prompts import SOFT, Message
from tests.harness.llm.vllm_stand_in import LLM, install
from tests.tiny import save_tiny_adapter

ASK = "Question: Who wrote the play about the prince of Denmark?\nAnswer:"
GREEDY = GenerateRequest(ASK, 12)
TEXTS = {
    "plain": GREEDY,
    "stopped": replace(GREEDY, stop=("a",)),
    "one line": replace(GREEDY, one_line=True, stop=()),
    "chat": replace(GREEDY, prompt=(Message("user", "Who?"),)),
    "begun": replace(GREEDY, prompt=(Message("user", "Who?"), Message("assistant", "It was"))),
    "empty": replace(GREEDY, prompt=""),
    "watched": replace(GREEDY, watch=(" yes", " no")),
    "long": replace(GREEDY, prompt=ASK * 5, max_tokens=3),
}


@pytest.fixture(autouse=True)
def _vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)


@pytest.fixture(scope="module")
def local(tiny_model_dir: Path) -> LocalModel:
    return LocalModel(
        ModelConfig(name="tiny", path=str(tiny_model_dir), prompt_style="chat"), str(tiny_model_dir)
    )


def load(folder: Path, **options: Any) -> Any:
    return open_model(resolve_model({"name": f"vllm:{folder}", "prompt_style": "chat", **options}))


@pytest.fixture
def llm(tiny_model_dir: Path) -> Any:
    return load(tiny_model_dir, max_lora_rank=16, prompt_embeds=True)


def test_replies_are_those_of_the_local_backend(llm, local):
    asked = list(TEXTS.values())
    ours, theirs = dict(local.generate(asked)), dict(llm.generate(asked))
    for index, name in enumerate(TEXTS):
        one, other = ours[index], theirs[index]
        assert (other.text, other.thoughts, other.prompt_tokens) == (
            one.text, one.thoughts, one.prompt_tokens,
        ), name  # fmt: skip
        if name != "one line":  # written to the limit, and cut
            assert other.completion_tokens == one.completion_tokens, name
            assert (other.cut_off, other.stop) == (one.cut_off, one.stop), name
    watched = list(TEXTS).index("watched")
    assert len(theirs[watched].choices) == len(ours[watched].choices) == 12
    for one, other in zip(ours[watched].choices, theirs[watched].choices, strict=True):
        assert other.text == one.text
        assert other.logprob == pytest.approx(one.logprob, abs=1e-4)
        assert other.probs == pytest.approx(one.probs, abs=1e-5)


def test_scores_and_next_tokens_are_those_of_the_local_backend(llm, local):
    prompts = [ASK, "", (Message("user", "Is the Nile longer?"),)]
    scores = [ScoreRequest(prompt, (" William Shakespeare", " Paris")) for prompt in prompts]
    nexts = [NextTokenRequest(prompt, (" yes", " no", " Paris")) for prompt in prompts]
    for (_, one), (_, other) in zip(local.score(scores), llm.score(scores), strict=True):
        assert other.logprobs == pytest.approx(one.logprobs, abs=1e-3)
        assert (other.token_counts, other.prompt_tokens) == (one.token_counts, one.prompt_tokens)
    ours, theirs = dict(local.next_token_probs(nexts)), dict(llm.next_token_probs(nexts))
    for index in range(3):
        assert theirs[index].probs == pytest.approx(ours[index].probs, abs=1e-5)
        assert theirs[index].prompt_tokens == ours[index].prompt_tokens
    with pytest.raises(ConfigError, match="share a first token"):
        list(llm.next_token_probs([NextTokenRequest(ASK, (" Seine", " Seine yes"))]))


def test_soft_prompts_stand_where_the_local_backend_puts_them(llm, local):
    source = torch.Generator().manual_seed(0)
    asked = [
        GenerateRequest(
            (Message("user", f"Use it. {SOFT * n}Who?"),),
            8,
            soft_prompts=tuple(torch.randn(3, 64, generator=source) for _ in range(n)),
        )
        for n in (1, 2)
    ]
    ours, theirs = dict(local.generate(asked)), dict(llm.generate(asked))
    assert [theirs[n].text for n in range(2)] == [ours[n].text for n in range(2)]
    assert [theirs[n].prompt_tokens for n in range(2)] == [ours[n].prompt_tokens for n in range(2)]
    table = local.model.get_input_embeddings().weight
    assert torch.equal(input_embedding(llm.config, llm.config.path).weight, table)


def test_adapters_of_requests_runs_and_entries(llm, local, tiny_model_dir, tmp_path):
    folders = [save_tiny_adapter(tiny_model_dir, tmp_path / f"lora-{n}") for n in range(2)]
    asked = [replace(GREEDY, adapters=(folders[0],)), GREEDY]
    ours, theirs = dict(local.generate(asked)), dict(llm.generate(asked))
    assert [theirs[n].text for n in range(2)] == [ours[n].text for n in range(2)]
    assert ours[0].text != ours[1].text
    with local.adapted(folders[0]), llm.adapted(folders[0]):
        one, other = dict(local.generate([GREEDY])), dict(llm.generate([GREEDY]))
        assert other[0].text == one[0].text
        with pytest.raises(CapabilityError, match="one adapter, not 2"):
            llm.chosen_adapters([folders[1]])
    assert dict(llm.generate([GREEDY]))[0].text == ours[1].text
    with pytest.raises(CapabilityError, match="one adapter, not 2; take the model as hf: or path:"):
        llm.chosen_adapters(folders)
    numbers = [lora.lora_int_id for _, _, lora in llm._engine.asked if lora is not None]
    assert set(numbers) == {1}
    own = load(tiny_model_dir, adapter=str(folders[0]), max_lora_rank=8)
    assert dict(own.generate([GREEDY]))[0].text == ours[0].text
    assert "adapters" not in own.capabilities


def test_sampled_replies_follow_their_seed(llm):
    asked = [replace(GREEDY, temperature=1.0, seed=seed) for seed in (1, 2, 1)]
    found = dict(llm.generate(asked))
    assert found[0].text == found[2].text != found[1].text


def test_prompts_share_beginnings_but_while_they_are_timed(llm):
    list(llm.generate([GREEDY]))
    assert llm._engine.enable_prefix_caching and "cache_salt" not in llm._engine.asked[-1][0]
    with llm.streaming():
        list(llm.generate([GREEDY, GREEDY]))
        list(llm.score([ScoreRequest(ASK, (" yes",))]))
    salts = [prompt["cache_salt"] for prompt, *_ in llm._engine.asked[1:]]
    assert len(set(salts)) == len(salts) == 3
    list(llm.generate([GREEDY]))
    assert "cache_salt" not in llm._engine.asked[-1][0]


def test_long_lists_go_in_chunks(llm, monkeypatch):
    monkeypatch.setattr("harness.llm.vllm.model.CHUNK", 2)
    asked = [replace(GREEDY, prompt=f"{ASK} {n}", max_tokens=1) for n in range(3)]
    replies = llm.generate(asked)
    assert next(replies)[0] == 0 and len(llm._engine.asked) == 2
    assert [index for index, _ in replies] == [1, 2]


def test_what_the_entry_sets_reaches_the_engine(tiny_model_dir):
    llm = load(
        tiny_model_dir, dtype="bfloat16", quantization="nf4", window=512, gpu_memory_utilization=0.5
    )
    engine: LLM = llm._engine
    assert (engine.dtype, engine.quantization, engine.max_model_len) == (
        "bfloat16", "bitsandbytes", 512,
    )  # fmt: skip
    assert engine.gpu_memory_utilization == 0.5 and not engine.trust_remote_code
    assert not engine.enable_lora and not engine.enable_prompt_embeds
    assert llm.window == 512 and llm.provenance()["vllm"] == "0.11.0"
    assert llm.capabilities == {"next-token-probs", "logprobs"}
    assert load(tiny_model_dir).window == 2048


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"quantization": "int8"}, "int8 is none that kind vllm knows; take one of nf4, fp8"),
        ({"gpu_memory_utilization": 1.5}, "gpu_memory_utilization"),
        ({"max_lora_rank": 0}, "max_lora_rank"),
        ({"adapter": "some/lora"}, "adapter needs max_lora_rank"),
        ({"gguf_file": "a.gguf"}, "gguf_file works with kind transformers, not vllm"),
        ({"base_url": "http://127.0.0.1/v1"}, "base_url works with kind openai only"),
    ],
)
def test_options_that_do_not_fit_are_refused(tiny_model_dir, options, told):
    with pytest.raises(ConfigError, match=told):
        resolve_model({"name": f"vllm:{tiny_model_dir}", **options})


def test_options_of_vllm_fit_no_other_kind(tiny_model_dir):
    with pytest.raises(ConfigError, match="prompt_embeds works with kind vllm only"):
        resolve_model({"name": f"path:{tiny_model_dir}", "prompt_embeds": True})
    with pytest.raises(ConfigError, match="fp8 is none that kind transformers knows"):
        resolve_model({"name": f"path:{tiny_model_dir}", "quantization": "fp8"})
    with pytest.raises(ConfigError, match="--allow remote-code"):
        resolve_model({"name": "vllm:some/model", "trust_remote_code": True})


def test_what_its_engine_was_not_opened_for_is_refused(tiny_model_dir, tmp_path):
    plain = load(tiny_model_dir)
    soft = GenerateRequest(f"{SOFT}Who?", 1, soft_prompts=(torch.zeros(1, 64),))
    with pytest.raises(CapabilityError, match="set prompt_embeds: true"):
        list(plain.generate([soft]))
    with pytest.raises(CapabilityError, match="set max_lora_rank"), plain.adapted(tmp_path):
        pass


def test_an_engine_that_does_not_start_is_one_line(tiny_model_dir, monkeypatch):
    def fail(self: LLM) -> None:
        raise ValueError("No available memory for the cache blocks")

    monkeypatch.setattr(LLM, "__post_init__", fail)
    with pytest.raises(InputError, match="the weights in vLLM from .* No available memory"):
        load(tiny_model_dir)


def test_without_vllm_the_extra_is_named(tiny_model_dir, monkeypatch):
    monkeypatch.setattr("harness.llm.vllm.opening.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"vllm not installed; pip install 'lm-memory-harness\[v"):
        load(tiny_model_dir)


def test_its_specs_say_hub_or_folder(tiny_model_dir):
    hub, folder = resolve_model("vllm:org/Some-Model@abc"), resolve_model(f"vllm:{tiny_model_dir}")
    assert (hub.kind, hub.path, hub.revision, hub.name) == (
        "vllm", "org/Some-Model", "abc", "org-some-model-abc-vllm",
    )  # fmt: skip
    assert folder.is_local and folder.name == "tiny-vllm"
