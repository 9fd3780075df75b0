"""A beginning that is read once changes no reply, score or probability, and survives a file."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import CapabilityError, ConfigError, InputError
from harness.llm import apart, generation
from harness.llm.generation import TIE
from harness.llm.keyvalues import KeyValues
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest, NextTokenRequest, Reply, ScoreRequest
from harness.llm.runtime import Replays
from harness.prompts import SOFT, Message
from harness.writing.stored import key_of
from tests.tiny import SENTENCES, tiny_tokenizer

pytestmark = pytest.mark.numeric

HEAD = " ".join(SENTENCES[:4]) + "\n"
ASKED = [" ".join(random.Random(n).choices(HEAD.split(), k=n)) for n in (1, 3, 9, 20, 33, 5)]
SHAPE = {"initializer_range": 0.3, "pad_token_id": 2, "bos_token_id": 0, "eos_token_id": 1}


def opened(folder: Path) -> LocalModel:
    config = ModelConfig(name=folder.name, path=str(folder), prompt_style="completion")
    return LocalModel(config, str(folder))


@pytest.fixture(scope="module")
def models(tiny_model_dir, tmp_path_factory) -> dict[str, LocalModel]:
    """Models of random weights: Llama's, Qwen's, GPT-2's (learned positions), a sliding window."""
    import torch
    from transformers import (
        AutoModelForCausalLM,
        GPT2Config,
        MistralConfig,
        Qwen2Config,
    )

    tokenizer = tiny_tokenizer()
    size = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        **SHAPE,
    }
    gpt2 = {"n_embd": 64, "n_layer": 2, "n_head": 2, "vocab_size": len(tokenizer)}
    configs = {
        "qwen": Qwen2Config(**size, max_position_embeddings=512),
        "gpt2": GPT2Config(**gpt2, n_positions=512, **SHAPE),
        "window": MistralConfig(**size, sliding_window=8),
    }
    found = {"llama": opened(tiny_model_dir)}
    for name, config in configs.items():
        folder = tmp_path_factory.mktemp("models") / name
        with torch.random.fork_rng():
            torch.manual_seed(0)
            AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        found[name] = opened(folder)
    return found


@pytest.fixture
def llama(models) -> LocalModel:
    return models["llama"]


@pytest.fixture(params=[apart.LEAST, 1], ids=["in rows", "apart"])
def held(request, monkeypatch):
    """Where a prefix lies in a batch: in every row, or once beside them."""
    monkeypatch.setattr(apart, "LEAST", request.param)


def replies(llm: LocalModel, requests: list[GenerateRequest]) -> list[Reply]:
    found = dict(llm.generate(requests))
    return [found[place] for place in range(len(requests))]


def said(found: list[Reply]) -> list[str]:
    return [reply.text for reply in found]


@pytest.mark.parametrize("name", ["llama", "qwen", "gpt2"])
@pytest.mark.usefixtures("held")
def test_replies_are_those_to_the_whole_prompt(models, name):
    """In one batch and alone, sampled and greedy; the question's tokens alone are counted."""
    llm = models[name]
    prefix = llm.read(HEAD)
    whole = [
        GenerateRequest(HEAD + asked, max_tokens=8, temperature=t, seed=3)
        for asked in ASKED
        for t in (0.0, 0.7)
    ]
    given = [replace(request, prefix=prefix) for request in whole]
    expected, found = replies(llm, whole), replies(llm, given)
    assert said(found) == said(expected)
    assert [said(replies(llm, [request]))[0] for request in given] == said(expected)
    for short, long in zip(found, expected, strict=True):
        assert short.prefix_tokens > 50
        assert short.prompt_tokens + short.prefix_tokens == long.prompt_tokens


@pytest.mark.parametrize(("name", "takes"), [("llama", True), ("qwen", True), ("gpt2", True)])
def test_a_model_is_tried_before_its_prefix_is_held_apart(models, name, takes):
    assert apart.takes(models[name].model) == takes


def test_requests_with_the_same_prefix_share_batches(llama, monkeypatch):
    decode, rows = generation._decode, []
    monkeypatch.setattr(generation, "_decode", lambda *a: rows.append(len(a[1])) or decode(*a))
    prefix = llama.read(HEAD)
    replies(llama, [GenerateRequest(HEAD + asked, 2, prefix=prefix) for asked in ASKED])
    assert rows[0] == len(ASKED)


@pytest.mark.parametrize("name", ["llama", "qwen", "gpt2"])
def test_scores_and_probabilities_are_those_of_the_whole_prompt(models, name):
    """Within rounding, which never comes near to what decides a token elsewhere."""
    llm = models[name]
    prefix, texts = llm.read(HEAD), (" yes", " no", " Paris is a city")
    score, ask = ScoreRequest(HEAD + ASKED[2], texts), NextTokenRequest(HEAD + ASKED[3], texts[:2])
    (_, whole), (_, short) = *llm.score([score]), *llm.score([replace(score, prefix=prefix)])
    assert short.logprobs == pytest.approx(whole.logprobs, abs=TIE / 2)
    assert short.prompt_tokens + short.prefix_tokens == whole.prompt_tokens
    asked = list(llm.next_token_probs([ask, replace(ask, prefix=prefix)]))
    assert asked[1][1].probs == pytest.approx(asked[0][1].probs, abs=TIE / 2)


def test_near_ties_are_decided_on_the_whole_prompt(tiny_model_dir):
    """Pairs of tokens whose logits differ by less than rounding."""
    import torch

    llm = opened(tiny_model_dir)
    with torch.no_grad():
        weight = llm.model.lm_head.weight
        weight[1::6] = (weight + 1e-6)[0:-1:6][: len(weight[1::6])]
    llm.runtime = replace(llm.runtime, replays=Replays())
    prefix = llm.read(HEAD)
    whole = [GenerateRequest(HEAD + asked, max_tokens=8) for asked in ASKED]
    given = [replace(request, prefix=prefix) for request in whole]
    alone = [replies(llm, [request])[0].text for request in whole]
    assert said(replies(llm, given)) == alone
    assert llm.runtime.replays.count


def test_what_several_prompts_begin_with_is_read_of_chats_too(tiny_model_dir):
    llm = opened(tiny_model_dir)
    chats = [(Message("system", HEAD), Message("user", asked)) for asked in ASKED]
    prefix = llm.read(*chats)
    whole = [GenerateRequest(chat, max_tokens=8) for chat in chats]
    found = replies(llm, [replace(request, prefix=prefix) for request in whole])
    assert said(found) == said(replies(llm, whole))
    assert HEAD in prefix.text
    assert {reply.prefix_tokens for reply in found} == {prefix.length}


@pytest.mark.usefixtures("held")
def test_a_trained_prefix_stands_before_prompts_and_texts_read_after_it(llama):
    """Its positions come first: the same as text that was read, taken for trained."""
    read = llama.read(HEAD)
    trained = KeyValues(read.layers, read.model)
    assert trained.trained == read.length
    requests = [GenerateRequest(text, max_tokens=6, prefix=trained) for text in ASKED]
    batch = replies(llama, requests)
    assert said(batch) == [said(replies(llama, [request]))[0] for request in requests]
    assert [reply.prompt_tokens for reply in batch] == [llama.count_tokens(text) for text in ASKED]
    assert {reply.prefix_tokens for reply in batch} == {read.length}
    after = llama.read(*(f"{SENTENCES[5]}\n{asked}" for asked in ASKED), after=trained)
    both = [GenerateRequest(f"{SENTENCES[5]}\n{text}", 6, prefix=trained) for text in ASKED]
    assert after.trained == read.length
    assert said(replies(llama, [replace(r, prefix=after) for r in both])) == said(
        replies(llama, both)
    )


def test_soft_prompts_follow_a_prefix(llama):
    import torch

    vectors = torch.randn(3, 64, generator=torch.Generator().manual_seed(1))
    requests = [
        GenerateRequest(f"{HEAD}{SOFT} {asked}", 6, soft_prompts=(vectors,)) for asked in ASKED
    ]
    prefix = llama.read(*(request.prompt for request in requests))
    given = [replace(request, prefix=prefix) for request in requests]
    assert said(replies(llama, given)) == said(replies(llama, requests))


def test_a_file_holds_them_whole(llama, tmp_path):
    prefix = llama.read(HEAD)
    for name in ("one", "two"):
        prefix.save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    again = KeyValues.load(tmp_path / "one", llama.model, llama.name)
    assert (again.ids, again.text, again.length) == (prefix.ids, HEAD, prefix.length)
    assert (tmp_path / "one").stat().st_size == pytest.approx(prefix.nbytes, rel=0.05)
    for one, other in zip(again.layers, prefix.layers, strict=True):
        assert one.keys.equal(other.keys)
        assert one.values.equal(other.values)


def test_those_of_another_model_are_refused(models, tmp_path):
    llama, qwen = models["llama"], models["qwen"]
    llama.read(HEAD).save(tmp_path / "kv")
    with pytest.raises(ConfigError, match="another model than 'qwen'"):
        KeyValues.load(tmp_path / "kv", qwen.model, qwen.name)
    gpt2 = models["gpt2"]
    wide = GenerateRequest(HEAD + "a", prefix=gpt2.read(HEAD))
    with pytest.raises(ConfigError, match="2 heads"):
        replies(llama, [replace(wide, prefix=replace(wide.prefix, layers=wide.prefix.layers[:1]))])
    (tmp_path / "kv").write_bytes(b"no tensors")
    with pytest.raises(InputError, match="no key/value prompt"):
        KeyValues.load(tmp_path / "kv", llama.model, llama.name)


def test_prompts_that_begin_otherwise_are_refused(llama):
    read = llama.read(HEAD)
    other = replace(read, ids=(llama.tokenizer.eos_token_id,) * read.length)
    with pytest.raises(ConfigError, match="does not begin"):
        replies(llama, [GenerateRequest(HEAD, prefix=other)])
    with pytest.raises(ConfigError, match="nothing alike"):
        llama.read((Message("user", "a"),), "plain text")


def test_a_write_knows_calls_by_what_was_trained_before_them(llama):
    """Text that was read changes no reply, so a call with it is the same call."""
    read = llama.read(HEAD)
    plain = GenerateRequest(HEAD + "a")
    trained = [KeyValues(layers, read.model) for layers in (read.layers, read.layers[::-1])]
    keys = [key_of("generate", replace(plain, prefix=each)) for each in (None, read, *trained)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_a_model_that_forgets_takes_none(models):
    """It offers no such prompts, so that methods which need them are refused before any work."""
    assert "key-value-prompts" in models["llama"].capabilities
    assert "key-value-prompts" not in models["window"].capabilities
    with pytest.raises(CapabilityError, match="give it the text"):
        models["window"].read(HEAD)
