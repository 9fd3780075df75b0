"""The same answer whoever else is in the batch."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from harness.data.questions import read_questions
from harness.llm import generation, prefix
from harness.llm.batches import neighbours
from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.llm.decoding import Decoder, read_shared
from harness.llm.kvcache import plain_layers
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.open import open_model
from harness.llm.requests import GenerateRequest, NextTokenRequest, Reply, ScoreRequest
from harness.llm.runtime import Replays
from harness.prompts import QAPrompts, demonstration
from harness.records import Query
from tests.tiny import SENTENCES

pytestmark = pytest.mark.numeric

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


@pytest.fixture
def tiny(tiny_model_dir) -> LocalModel:
    return LocalModel(ModelConfig(name="tiny", path=str(tiny_model_dir)), str(tiny_model_dir))


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
    llm.runtime = replace(llm.runtime, batch_size=batch_size, replays=Replays())
    found = dict(llm.generate(requests))
    return [found[index] for index in range(len(requests))]


@pytest.mark.parametrize("head", [HEAD, ""], ids=["shared prefix", "nothing shared"])
def test_batches_of_any_size_and_order(tied, head):
    requests = requests_for(1, count=16, head=head)
    alone = [dict(tied.generate([request]))[0] for request in requests]
    for batch_size in (1, 3, 16):
        order = random.Random(batch_size).sample(range(len(requests)), len(requests))
        shuffled = replies(tied, [requests[i] for i in order], batch_size)
        assert shuffled == [alone[i] for i in order]
        assert tied.runtime.replays.count or (batch_size == 1 and not head)
        window = replies(tied, requests[:7], batch_size)
        assert window == alone[:7]


def test_prefix_or_none(tied, monkeypatch):
    requests = requests_for(2)
    assert read_shared(tied.runtime, [tied.encode(r.prompt) for r in requests]).length
    shared = replies(tied, requests, 16)
    monkeypatch.setattr(prefix, "MIN_LENGTH", 10_000)
    assert replies(tied, requests, 16) == shared


def test_replaying_near_ties_is_what_makes_it_so(tied, monkeypatch):
    requests = [replace(request, temperature=0.0) for request in requests_for(3, count=32)]
    alone = [dict(tied.generate([request]))[0] for request in requests]
    assert replies(tied, requests, 16) == alone
    assert 0 < tied.runtime.replays.count < len(requests)
    monkeypatch.setattr(generation, "TIE", 0.0)
    assert replies(tied, requests, 16) != alone
    assert tied.runtime.replays.count == 0


def test_only_its_own_steps_make_a_row_replay(tied):
    # After "stop", the batch goes on for the long row and this row's logits mean nothing.
    long = GenerateRequest(HEAD, max_tokens=40)
    letter = dict(tied.generate([long]))[0].text[0]
    short = replace(long, stop=(letter,))
    watched = generation._decode(tied.runtime, [tied.encode(HEAD)] * 2, [short, long])[1]
    assert watched[0] >= watched[1]
    alone = generation._decode(tied.runtime, [tied.encode(HEAD)], [short])[1]
    assert watched[0] == pytest.approx(alone[0], abs=1e-3)


def test_scores_do_not_depend_on_the_batch_at_all(tied):
    prompts = [request.prompt for request in requests_for(4, count=12)]
    scores = [ScoreRequest(prompt, (" Paris", " the river Seine", " no")) for prompt in prompts]
    nexts = [NextTokenRequest(prompt, (" yes", " no")) for prompt in prompts]
    for batch_size in (1, 16):
        tied.runtime = replace(tied.runtime, batch_size=batch_size)
        together, probs = dict(tied.score(scores)), dict(tied.next_token_probs(nexts))
        for index, (score, following) in enumerate(zip(scores, nexts, strict=True)):
            assert together[index] == dict(tied.score([score]))[0]
            assert probs[index] == dict(tied.next_token_probs([following]))[0]


def test_rows_read_apart_and_written_together_say_the_same(tied, monkeypatch):
    requests = requests_for(9, count=13)
    alone = [dict(tied.generate([request]))[0] for request in requests]
    for batch_tokens, held_tokens in [(60, 16_384), (1024, 200), (1, 1)]:
        limits = {"batch_tokens": batch_tokens, "held_tokens": held_tokens}
        monkeypatch.setattr(tied, "runtime", replace(tied.runtime, **limits))
        assert replies(tied, requests, 16) == alone


@pytest.mark.parametrize("share", [0.0, 0.75, 1.0])
def test_finished_rows_leave_the_batch_and_change_no_other(tiny, monkeypatch, share):
    monkeypatch.setattr("harness.llm.decoding.KEPT_SHARE", share)
    held = []
    forward = Decoder._forward
    monkeypatch.setattr(
        Decoder, "_forward", lambda self, *a, **k: held.append(len(a[1])) or forward(self, *a, **k)
    )
    plain = [replace(r, max_tokens=12, stop=(), temperature=0) for r in requests_for(5, count=8)]
    full = [dict(tiny.generate([request]))[0].text for request in plain]
    # Six rows end early, each at another step.
    requests = [
        replace(request, stop=(text[2 * n : 2 * n + 3],) if n < 6 else ())
        for n, (request, text) in enumerate(zip(plain, full, strict=True))
    ]
    alone = [dict(tiny.generate([request]))[0] for request in requests]
    assert len({reply.completion_tokens for reply in alone}) > 3
    held.clear()
    assert replies(tiny, requests, 16) == alone
    assert tiny.runtime.replays.count == 0
    assert (min(held) < 8) == (share > 0)


def test_models_with_another_memory_write_by_transformers(tiny, monkeypatch):
    requests = [replace(request, temperature=0) for request in requests_for(7, count=6)]
    ours = replies(tiny, requests, 4)
    monkeypatch.setattr(prefix, "MIN_LENGTH", 10_000)
    monkeypatch.setattr("harness.llm.kvcache.plain_layers", lambda _: 0)
    monkeypatch.setattr(Decoder, "__init__", None)
    assert replies(tiny, requests, 4) == ours


def test_what_counts_as_keys_and_values_alone(tiny):
    from transformers import LlamaConfig, MistralConfig

    assert plain_layers(tiny.model.config) == 2
    assert plain_layers(LlamaConfig(num_hidden_layers=3)) == 3
    assert plain_layers(MistralConfig(sliding_window=64)) == 0


def test_neighbours_cover_all_rows_within_the_limits():
    lengths = [5, 5, 9, 1, 1, 1, 1]
    assert list(neighbours(lengths, 3, 10, (0, 7))) == [(0, 2), (2, 3), (3, 6), (6, 7)]
    assert list(neighbours(lengths, 3, 10, (3, 5))) == [(3, 5)]
    assert list(neighbours([99], 4, 10, (0, 1))) == [(0, 1)]
    assert list(neighbours([], 4, 10, (0, 0))) == []


def growing(seed: int, questions: int, steps: int) -> list[list[GenerateRequest]]:
    """Prompts of questions that grow step by step, as IRCoT's do."""
    rng = random.Random(seed)
    words = " ".join(SENTENCES).split()
    texts = [HEAD for _ in range(questions)]
    calls = []
    for _ in range(steps):
        texts = [f"{text} {' '.join(rng.choices(words, k=rng.randint(8, 40)))}" for text in texts]
        calls.append(
            [
                GenerateRequest(f"{text}\nAnswer:", 10, ("\n",), keep_for=f"q{n}")
                for n, text in enumerate(texts)
            ]
        )
    return calls


@pytest.fixture(scope="module")
def forgetful(tied) -> list[list[Reply]]:
    """Replies to growing prompts of which nothing is kept, each asked alone."""
    calls = growing(2, questions=4, steps=3)
    return [replies(tied, [replace(r, keep_for=None) for r in call], 1) for call in calls]


@pytest.mark.parametrize(
    ("batch_size", "most"), [(1, 49_152), (3, 400), (3, 49_152), (16, 400), (16, 0)]
)
def test_what_is_kept_of_a_question_changes_no_reply(
    tied, forgetful, monkeypatch, batch_size, most
):
    kept = prefix.KeptPrompts(most)
    monkeypatch.setattr(tied, "runtime", replace(tied.runtime, kept=kept))
    for call, plain in zip(growing(2, questions=4, steps=3), forgetful, strict=True):
        assert replies(tied, call, batch_size) == plain
    for n in range(4):
        tied.release(f"q{n}")
    assert kept._held == {}


def test_a_kept_prompt_is_not_read_again_and_serves_its_question_alone(tiny, monkeypatch):
    read = []
    forward = Decoder._forward

    def counted(self, cache, mask, **inputs):
        read.append(next(iter(inputs.values())).shape[1])
        return forward(self, cache, mask, **inputs)

    monkeypatch.setattr(Decoder, "_forward", counted)
    (first,), (second,) = growing(3, questions=1, steps=2)
    lengths = [len(tiny.encode(request.prompt)) for request in (first, second)]
    for request in (first, second):
        read.clear()
        list(tiny.generate([request]))
        expected = lengths[0] if request is first else lengths[1] - lengths[0]
        assert read[0] == pytest.approx(expected, abs=6)
    read.clear()
    list(tiny.generate([replace(second, keep_for="another")]))
    assert read[0] == lengths[1]
    tiny.release("q0")
    read.clear()
    list(tiny.generate([second]))
    assert read[0] == lengths[1]


def test_there_is_no_room_for_more_than_was_set():
    kept = prefix.KeptPrompts(100)
    kept.keep("a", range(60), [])
    assert kept.has_room("a", 100)
    assert kept.has_room("b", 40)
    assert not kept.has_room("b", 41)


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
    assert prefix.takes_gaps(cache)
    cache.layers[1] = other()
    assert not prefix.takes_gaps(cache)
    assert not prefix.takes_gaps(None)


@pytest.mark.model
def test_default_model_alone_and_in_batches():
    llm = open_model(resolve_model(DEFAULT_MODEL))
    assert isinstance(llm, LocalModel)
    questions = read_questions("tasks/nq/sample/train.jsonl")
    prompts = QAPrompts(tuple(demonstration(question, []) for question in questions[:2]))
    requests = [
        GenerateRequest(prompts.closed_book(Query(q.id, q.text)).render("completion"), 6, ("\n",))
        for q in questions[2:5]
    ]
    alone = [dict(llm.generate([request]))[0] for request in requests]
    assert replies(llm, requests, 6) == alone
    noise = batching_noise(llm, [llm.encode(request.prompt) for request in requests])
    print(f"replayed {llm.runtime.replays.count} of {len(requests)}, noise {noise:.1e}")
    assert noise < generation.TIE / 4


def batching_noise(llm: LocalModel, prompts: list[list[int]]) -> float:
    """Largest difference of a logit read alone and in a padded batch after a shared prefix."""
    import torch

    shared = read_shared(llm.runtime, prompts)
    own = [torch.tensor(prompt[shared.length :]) for prompt in prompts]
    largest = 0.0
    with torch.inference_mode():
        batch = Decoder(llm.runtime, own, [shared] * len(own), 1).logits
        for row, prompt in zip(batch, prompts, strict=True):
            alone = llm.model(torch.tensor([prompt]), logits_to_keep=1).logits[0, -1]
            largest = max(largest, float((row - alone).abs().max()))
    assert shared.length
    return largest
