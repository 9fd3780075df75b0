"""Adapters of single requests: what they change, for whom, and that nothing of them stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import CapabilityError, ConfigError, InputError
from harness.llm.adapters import adapted
from harness.llm.chosen_adapters import ChosenAdapters
from harness.llm.edits import weights_digest
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest, NextTokenRequest, ScoreRequest
from harness.testing.models import RuleModel
from tests.tiny import save_tiny_adapter

pytestmark = pytest.mark.numeric

ASK = "Question: Who wrote Hamlet? " * 8 + "\nAnswer:"
WORDS = (" William", " Paris")


def load(path: Path | str, **options) -> LocalModel:
    return LocalModel(ModelConfig(name="tiny", path=str(path), **options), str(path))


def scored(llm, adapters=(), prompt=ASK) -> tuple[float, ...]:
    return dict(llm.score([ScoreRequest(prompt, WORDS, tuple(adapters))]))[0].logprobs


def texts(llm, requests) -> list[str]:
    replies = dict(llm.generate(requests))
    return [replies[i].text for i in range(len(requests))]


@pytest.fixture(scope="module")
def tiny(tiny_model_dir) -> LocalModel:
    return load(tiny_model_dir)


@pytest.fixture(scope="module")
def folders(tiny_model_dir, tmp_path_factory) -> list[Path]:
    place = tmp_path_factory.mktemp("adapters")
    targets = (["q_proj", "down_proj"], ["v_proj", "down_proj"], ["up_proj"])
    return [
        save_tiny_adapter(tiny_model_dir, place / f"passage-{n}", target_modules=list(modules))
        for n, modules in enumerate(targets)
    ]


def test_a_request_has_the_adapter_that_it_names(tiny, folders):
    one = scored(tiny, [folders[0]])
    with tiny.adapted(folders[0]):
        merged = scored(tiny)
    assert one == pytest.approx(merged, abs=1e-3)
    assert abs(one[0] - scored(tiny)[0]) > 0.1


def test_several_are_added_whatever_their_order(tiny, tiny_model_dir, folders, tmp_path):
    both = scored(tiny, folders[:2])
    with tiny.adapted(folders[0]):
        merged = load(tiny_model_dir)
        merged.model.load_state_dict(tiny.model.state_dict())
    with merged.adapted(folders[1]):
        assert both == pytest.approx(scored(merged), abs=1e-3)
    assert (
        tiny.chosen_adapters(folders[1::-1])
        == tiny.chosen_adapters(folders[:2])
        == tuple(folders[:2])
    )
    assert tiny.chosen_adapters([folders[0], folders[0]]) == (folders[0],)


def test_answers_do_not_depend_on_who_else_asks(tiny, folders):
    """Prompts begin alike, so a prefix is shared among those of one adapter, and no others."""
    sets = [(), (folders[0],), (folders[1],), tuple(folders[:2]), (folders[2],)]
    requests = [
        GenerateRequest(f"{ASK} {word}", 4, adapters=adapters)
        for word in ("yes", "Paris") for adapters in sets
    ]  # fmt: skip
    alone = [texts(tiny, [request])[0] for request in requests]
    assert texts(tiny, requests) == alone
    assert texts(tiny, requests[::-1]) == alone[::-1]
    assert len(set(alone)) > 3, "adapters make a difference"


def test_what_is_kept_of_a_question_never_serves_another_adapter(tiny, folders):
    longer = ASK + " and then?"
    (expected,) = texts(tiny, [GenerateRequest(longer, 6, adapters=(folders[0],))])
    texts(tiny, [GenerateRequest(ASK, 6, keep_for="q1")])
    asked = GenerateRequest(longer, 6, keep_for="q1", adapters=(folders[0],))
    assert texts(tiny, [asked]) == [expected]
    (plain,) = texts(tiny, [GenerateRequest(longer, 6)])
    assert texts(tiny, [GenerateRequest(longer, 6, keep_for="q1")]) == [plain]
    tiny.release("q1")


def test_afterwards_the_model_is_what_it_was_to_the_bit(tiny, folders):
    before, plain = weights_digest(tiny.model), scored(tiny)
    scored(tiny, folders)
    results = tiny.generate([GenerateRequest(ASK, 4, adapters=(folders[0],)) for _ in range(2)])
    next(results)
    assert scored(tiny) == plain, "also between two results, while others use the model"
    list(results)
    assert (weights_digest(tiny.model), scored(tiny)) == (before, plain)


def test_next_tokens_are_compared_with_adapters(tiny, folders):
    asked = [NextTokenRequest(ASK, WORDS, (folders[0],)), NextTokenRequest(ASK, WORDS)]
    first, second = dict(tiny.next_token_probs(asked)).values()
    assert first.probs != second.probs


def test_an_adapter_is_read_once_and_room_is_bounded(tiny_model_dir, folders):
    llm = load(tiny_model_dir)
    for _ in range(2):
        scored(llm, folders)
    assert llm.chosen.reads == 3
    llm.chosen = ChosenAdapters(most_bytes=1)
    for folder in (folders[0], folders[0], folders[1], folders[0]):
        scored(llm, [folder])
    assert llm.chosen.reads == 3, "the last used stays, the others go"


def test_a_memory_that_was_updated_is_read_again(tiny_model_dir, folders, tmp_path):
    folder = save_tiny_adapter(tiny_model_dir, tmp_path / "one", target_modules=["q_proj"])
    llm = load(tiny_model_dir)
    before = scored(llm, [folder])
    save_tiny_adapter(tiny_model_dir, folder, target_modules=["v_proj"])
    assert scored(llm, [folder]) != before


def test_rounded_weights_take_them_too(tiny_model_dir, folders):
    llm = load(tiny_model_dir, quantization="nf4")
    with llm.adapted(folders[0]):
        beside = scored(llm)
        with pytest.raises(InputError, match="already has one that cannot be merged"):
            with adapted(llm.runtime, llm.config, folders[1]):
                pass
    assert scored(llm, [folders[0]]) == pytest.approx(beside, abs=1e-3)


def test_what_is_no_plain_lora_is_refused(tiny, folders, tmp_path, tiny_model_dir):
    dora = save_tiny_adapter(tiny_model_dir, tmp_path / "dora", target_modules=["q_proj"])
    config = json.loads((dora / "adapter_config.json").read_text())
    (dora / "adapter_config.json").write_text(json.dumps({**config, "use_rslora": True}))
    with pytest.raises(InputError, match="use_rslora True is more than LoRA layers"):
        scored(tiny, [dora])
    table = save_tiny_adapter(tiny_model_dir, tmp_path / "table", target_modules=["embed_tokens"])
    with pytest.raises(InputError, match="no pair of LoRA weights"):
        scored(tiny, [table])


def test_a_prefix_that_was_read_without_them_is_refused_beside_them(tiny, folders):
    prefix = tiny.read(ASK)
    assert tiny.chosen_adapters((), prefix) == ()
    with pytest.raises(ConfigError, match="the text was read without the adapters"):
        tiny.chosen_adapters(folders[:1], prefix)


def test_a_model_that_takes_none_is_refused_before_it_is_asked(tiny_model_dir, folders):
    tuned = load(tiny_model_dir, adapter=str(folders[0]))
    assert tuned.capabilities.isdisjoint({"adapters", "weights"})
    for llm in (RuleModel(), tuned):
        with pytest.raises(CapabilityError, match="takes no adapters with a request"):
            llm.chosen_adapters([folders[1]])
    with pytest.raises(ConfigError, match="an adapter of its own"):
        with tuned.adapted(folders[1]):
            pass
