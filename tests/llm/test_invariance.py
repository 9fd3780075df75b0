"""The same answer whoever else is in the batch."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from harness.llm import generation, prefix
from harness.llm.base import GenerateRequest, NextTokenRequest, Reply, ScoreRequest
from harness.llm.catalogue import DEFAULT_MODEL, ModelConfig, resolve_model
from harness.llm.local import LocalModel
from harness.llm.open import open_model
from harness.prompts import QAPrompts, demonstration
from harness.questions import read_questions
from harness.records import Query
from tests.tiny import SENTENCES

HEAD = " ".join(SENTENCES[:3]) + " "


@pytest.fixture(scope="module")
def tied(tiny_model_dir) -> LocalModel:
    """The tiny model with pairs of tokens whose logits differ by less than rounding."""
    import torch

    llm = LocalModel(ModelConfig(name="tiny", path=str(tiny_model_dir)), str(tiny_model_dir))
    weight = llm.model.lm_head.weight
    noise = 1e-6 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        weight[1::6] = (weight + noise)[0:-1:6][: len(weight[1::6])]
    return llm


def requests_for(seed: int, count: int = 24, head: str = HEAD) -> list[GenerateRequest]:
    rng = random.Random(seed)
    words = " ".join(SENTENCES).split()
    return [
        GenerateRequest(
            head + " ".join(rng.choices(words, k=rng.randint(1, 30))),
            max_tokens=rng.choice([6, 12]),
            stop=rng.choice([(), ("\n",), ("a",)]),
            temperature=rng.choice([0.0, 0.0, 0.7]),
            seed=rng.randint(0, 99),
        )
        for _ in range(count)
    ]


def replies(llm: LocalModel, requests: list[GenerateRequest], batch_size: int) -> list[Reply]:
    llm.batch_size, llm.replays = batch_size, 0
    found = dict(llm.generate(requests))
    return [found[index] for index in range(len(requests))]


@pytest.mark.parametrize("head", [HEAD, ""], ids=["shared prefix", "nothing shared"])
def test_batches_of_any_size_and_order(tied, head):
    requests = requests_for(1, head=head)
    alone = [dict(tied.generate([request]))[0] for request in requests]
    for batch_size in (1, 3, 16):
        assert replies(tied, requests, batch_size) == alone
        assert tied.replays or (batch_size == 1 and not head)
        order = random.Random(batch_size).sample(range(len(requests)), len(requests))
        shuffled = replies(tied, [requests[i] for i in order], batch_size)
        assert shuffled == [alone[i] for i in order]
        window = replies(tied, requests[:7], batch_size)
        assert window == alone[:7]


def test_prefix_or_none(tied, monkeypatch):
    requests = requests_for(2)
    assert prefix.SharedPrefix.of(tied, [tied.encode(r.prompt) for r in requests]).length
    shared = replies(tied, requests, 16)
    monkeypatch.setattr(prefix, "MIN_LENGTH", 10_000)
    assert replies(tied, requests, 16) == shared


def test_replaying_near_ties_is_what_makes_it_so(tied, monkeypatch):
    requests = [replace(request, temperature=0.0) for request in requests_for(3, count=64)]
    alone = [dict(tied.generate([request]))[0] for request in requests]
    assert replies(tied, requests, 16) == alone
    assert 0 < tied.replays < len(requests)
    monkeypatch.setattr(generation, "TIE", 0.0)
    assert replies(tied, requests, 16) != alone
    assert tied.replays == 0


def test_only_its_own_steps_make_a_row_replay(tied):
    # After "stop", the batch goes on for the long row and this row's logits mean nothing.
    long = GenerateRequest(HEAD, max_tokens=40)
    letter = dict(tied.generate([long]))[0].text[0]
    short = replace(long, stop=(letter,))
    watched = generation._decode(tied, [tied.encode(HEAD)] * 2, [short, long])[1]
    assert watched[0] >= watched[1]
    alone = generation._decode(tied, [tied.encode(HEAD)], [short])[1]
    assert watched[0] == pytest.approx(alone[0], abs=1e-3)


def test_scores_do_not_depend_on_the_batch_at_all(tied):
    prompts = [request.prompt for request in requests_for(4, count=12)]
    scores = [ScoreRequest(prompt, (" Paris", " the river Seine", " no")) for prompt in prompts]
    nexts = [NextTokenRequest(prompt, (" yes", " no")) for prompt in prompts]
    for batch_size in (1, 16):
        tied.batch_size = batch_size
        together, probs = dict(tied.score(scores)), dict(tied.next_token_probs(nexts))
        for index, (score, following) in enumerate(zip(scores, nexts, strict=True)):
            assert together[index] == dict(tied.score([score]))[0]
            assert probs[index] == dict(tied.next_token_probs([following]))[0]


@pytest.mark.parametrize("architecture", ["sliding window", "recurrent"])
def test_a_prefix_is_shared_only_by_plain_attention(architecture):
    from transformers.cache_utils import (
        DynamicCache,
        DynamicLayer,
        DynamicSlidingWindowLayer,
        LinearAttentionLayer,
    )

    other = {
        "sliding window": lambda: DynamicSlidingWindowLayer(sliding_window=8),
        "recurrent": LinearAttentionLayer,
    }[architecture]
    cache = DynamicCache()
    cache.layers = [DynamicLayer(), DynamicLayer()]
    assert prefix._takes_gaps(cache)
    cache.layers[1] = other()
    assert not prefix._takes_gaps(cache)
    assert not prefix._takes_gaps(None)


@pytest.mark.model
def test_default_model_alone_and_in_batches(monkeypatch):
    llm = open_model(resolve_model(DEFAULT_MODEL))
    assert isinstance(llm, LocalModel)
    questions = read_questions("tasks/nq/sample/train.jsonl")
    prompts = QAPrompts(tuple(demonstration(question, []) for question in questions[:5]))
    requests = [
        GenerateRequest(prompts.closed_book(Query(q.id, q.text)).render("completion"), 10, ("\n",))
        for q in questions[5:29]
    ]
    alone = [dict(llm.generate([request]))[0] for request in requests]
    assert replies(llm, requests, 16) == alone
    replayed = llm.replays
    tie = generation.TIE
    monkeypatch.setattr(generation, "TIE", 0.0)
    flips = sum(a != b for a, b in zip(replies(llm, requests, 16), alone, strict=True))
    noise = batching_noise(llm, [llm.encode(request.prompt) for request in requests[:16]])
    print(f"replayed {replayed}, would have differed {flips} of {len(requests)}, noise {noise:.1e}")
    assert noise < tie / 4


def batching_noise(llm: LocalModel, prompts: list[list[int]]) -> float:
    """Largest difference of a logit read alone and in a padded batch after a shared prefix."""
    import torch

    shared = prefix.SharedPrefix.of(llm, prompts)
    own = [prompt[shared.length :] for prompt in prompts]
    ids, mask = generation.pad_left(own, llm.tokenizer.pad_token_id, llm.device)
    largest = 0.0
    with torch.inference_mode():
        inputs = shared.before(ids, mask)
        inputs["position_ids"] = (inputs["attention_mask"].cumsum(1) - 1)[:, shared.length :]
        batch = llm.model(**{**inputs, "input_ids": ids}, logits_to_keep=1).logits[:, -1]
        for row, prompt in zip(batch, prompts, strict=True):
            alone = llm.model(torch.tensor([prompt]), logits_to_keep=1).logits[0, -1]
            largest = max(largest, float((row - alone).abs().max()))
    assert shared.length
    return largest
