"""Replies kept across runs are those that the model gives, and of nothing but what it was asked."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.llm.changes import Changes
from harness.llm.edit import Added, LowRank
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.reply_cache import ReplyCache
from harness.llm.reply_keys import read, written
from harness.llm.reply_store import ReplyStore
from harness.llm.requests import (
    GenerateRequest,
    NextTokenProbs,
    NextTokenRequest,
    Reply,
    ScoreRequest,
    Scores,
    TokenChoice,
)
from harness.llm.server.model import ServerModel
from harness.prompts import SOFT, Message
from tests.tiny import save_tiny_adapter

ASK = "Question: Who wrote the play about the prince of Denmark?\nAnswer:"
GREEDY = GenerateRequest(ASK, 6, ("\n",))
SCORED = ScoreRequest(ASK, (" William Shakespeare", " Paris"))
NEXT = NextTokenRequest(ASK, (" yes", " no"))
ASKED = {
    "generate": [
        GREEDY,
        replace(GREEDY, temperature=0.7, seed=3),
        replace(GREEDY, watch=(" yes", " no")),
        replace(GREEDY, prompt=(Message("user", "Who?"),)),
    ],
    "score": [SCORED],
    "next_token_probs": [NEXT],
}


def load(folder: Path, **options: Any) -> LocalModel:
    return LocalModel(ModelConfig(name="tiny", path=str(folder), **options), str(folder))


@pytest.fixture(scope="module")
def llm(tiny_model_dir: Path) -> LocalModel:
    return load(tiny_model_dir)


@pytest.fixture
def cache(llm: LocalModel, tmp_path: Path) -> ReplyCache:
    return ReplyCache(llm, ReplyStore(tmp_path, 10**7), "machine")


def never(requests: Any) -> Any:
    raise AssertionError(f"{len(requests)} were asked")


@pytest.mark.parametrize("kind", ASKED)
def test_what_is_kept_is_what_the_model_says(llm, cache, kind):
    asked, ask = ASKED[kind], getattr(llm, kind)
    plain = dict(ask(asked))
    assert dict(cache.complete(ask, asked)) == plain
    assert (cache.calls, cache.cached) == (len(asked), 0)
    again = ReplyCache(load(Path(llm.config.path)), cache.store, "machine")
    found = dict(again.complete(never, asked))
    assert found == plain
    assert [value.stop for value in found.values() if kind == "generate"] == [
        value.stop for value in plain.values() if kind == "generate"
    ]
    assert again.used() == {"calls": len(asked), "cached": len(asked), "oldest": again.oldest}
    assert len(again.oldest) == len("2026-11-28")


def test_only_what_is_new_is_asked(llm, cache):
    new, seen = replace(GREEDY, prompt=f"{ASK} yes"), []
    list(cache.complete(llm.generate, [GREEDY]))
    found = dict(
        cache.complete(lambda rest: seen.extend(rest) or llm.generate(rest), [new, GREEDY])
    )
    assert seen == [new] and found == dict(llm.generate([new, GREEDY]))


def soft(llm: LocalModel, seed: int) -> GenerateRequest:
    source = torch.Generator().manual_seed(seed)
    vectors = torch.randn(2, llm.model.config.hidden_size, generator=source)
    return GenerateRequest(f"{SOFT}{ASK}", 6, soft_prompts=(vectors,))


def trained(llm: LocalModel, by: float) -> Any:
    """A prefix whose positions are of no token."""
    held = llm.read(ASK)
    layers = tuple(replace(layer, keys=layer.keys + by) for layer in held.layers)
    return replace(held, layers=layers, ids=(), text="")


def test_whatever_decides_a_reply_is_in_its_key(llm, tiny_model_dir, tmp_path):
    adapters = [save_tiny_adapter(tiny_model_dir, tmp_path / f"lora-{n}") for n in range(2)]
    held, longer = llm.read(ASK), llm.read(f"{ASK} yes no")
    further = replace(GREEDY, prompt=f"{ASK} yes no yes")
    different = [
        GREEDY,
        further,
        replace(GREEDY, max_tokens=7),
        replace(GREEDY, stop=()),
        replace(GREEDY, one_line=True),
        replace(GREEDY, watch=(" yes",)),
        replace(GREEDY, temperature=0.5),
        replace(GREEDY, temperature=0.5, seed=1),
        replace(GREEDY, prompt=(Message("user", ASK),)),
        replace(GREEDY, adapters=(adapters[0],)),
        replace(further, prefix=held),
        replace(further, prefix=longer),
        replace(GREEDY, prefix=trained(llm, 0.0)),
        replace(GREEDY, prefix=trained(llm, 1e-6)),
        soft(llm, 0),
        soft(llm, 1),
        SCORED,
        replace(SCORED, continuations=(" Paris",)),
        NEXT,
        NextTokenRequest(ASK, SCORED.continuations),
    ]
    keys = [llm.reply_key(request) for request in different]
    assert None not in keys and len(set(keys)) == len(keys)
    same = [
        replace(GREEDY, keep_for="q1", seed=5),
        replace(further, prefix=llm.read(ASK)),
        replace(GREEDY, prefix=trained(llm, 0.0)),
        soft(llm, 1),
    ]
    assert {llm.reply_key(request) for request in same} <= set(keys)
    moved = tmp_path / "elsewhere"
    adapters[0].rename(moved)
    assert llm.reply_key(replace(GREEDY, adapters=(moved,))) in keys


def test_weights_that_are_changed_have_replies_of_their_own(llm, tiny_model_dir, tmp_path):
    name = "model.layers.0.mlp.down_proj.weight"
    shape = llm.model.get_parameter(name).shape
    one = torch.zeros(shape)
    one[0, 0] = 1e-3
    changes = [
        Changes(),
        Changes(adapter=save_tiny_adapter(tiny_model_dir, tmp_path / "lora")),
        Changes(edits={name: Added(one)}),
        Changes(edits={name: Added(2 * one)}),
        Changes(edits={name: LowRank(torch.ones(shape[0], 1), torch.ones(1, shape[1]))}),
        Changes(edits={name: one}),
    ]
    keys = []
    for change in changes:
        with llm.changed(change):
            keys.append(llm.reply_key(GREEDY))
    assert None not in keys and len(set(keys)) == len(keys)
    assert llm.reply_key(GREEDY) == keys[0]


def test_a_module_in_place_of_another_keeps_nothing(llm):
    module = torch.nn.Linear(64, 64)
    with ExitStack() as open_:
        open_.enter_context(llm.edited({"model.layers.0.mlp": module}))
        assert llm.reply_key(GREEDY) is None
        assert llm.reply_key(NEXT) is None


def test_models_whose_replies_depend_on_their_batch_keep_nothing(tiny_model_dir):
    assert load(tiny_model_dir, dtype="bfloat16").reply_key(GREEDY) is None
    other = load(tiny_model_dir, prompt_style="completion")
    assert other.reply_key(GREEDY) not in (None, load(tiny_model_dir).reply_key(GREEDY))


def test_another_machine_has_its_own(llm, cache):
    list(cache.complete(llm.generate, [GREEDY]))
    other = ReplyCache(llm, cache.store, "another")
    assert len(dict(other.complete(llm.generate, [GREEDY]))) == 1 and other.cached == 0


def server(url: str, path: str = "some-model") -> ServerModel:
    return ServerModel(
        ModelConfig(name="m", kind="openai", path=path, base_url=url, prompt_style="completion")
    )


def test_a_server_is_known_by_its_place_and_model(monkeypatch):
    one = server("http://127.0.0.1:1/v1")
    keys = [
        model.reply_key(GREEDY)
        for model in (one, server("http://127.0.0.1:2/v1"), server("http://127.0.0.1:1/v1", "x"))
    ]
    assert None not in keys and len(set(keys)) == 3
    assert server("http://127.0.0.1:1/v1").reply_key(GREEDY) == keys[0]
    sampled = replace(GREEDY, temperature=0.5)
    assert one.reply_key(sampled)
    monkeypatch.setattr(type(one._transport.adaptation), "names", ["seed"])
    assert one.reply_key(sampled) is None and one.reply_key(GREEDY) not in (None, keys[0])
    monkeypatch.setattr(type(one._transport.adaptation), "names", ["seed", "temperature"])
    assert one.reply_key(GREEDY) is None


@pytest.mark.parametrize(
    ("request_", "result"),
    [
        (GREEDY, Reply("été \ud800", None, 3, (TokenChoice(" a", -0.1, {" yes": 1e-30}),), "hm")),
        (GREEDY, Reply("", 3, None, cut_off=True, stop="\n", prefix_tokens=2)),
        (SCORED, Scores((-0.1, float("-inf")), (2, 1), 7)),
        (NEXT, NextTokenProbs({" yes": 0.1 + 0.2, " no": 0.0}, None, 3)),
    ],
)
def test_a_reply_is_read_as_it_was_written(request_, result):
    found = read(request_, written(result))
    assert found == result and type(found) is type(result)
    assert getattr(found, "stop", None) == getattr(result, "stop", None)
