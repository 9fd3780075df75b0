"""Stop strings, sampling, soft prompts and batches that do not fit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from harness.llm import generation
from harness.llm.encoding import Encoder
from harness.llm.hooks import GumbelSampler
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest, Reply
from harness.prompts import SOFT

PROMPT = "Question: Who wrote the play about the prince of Denmark?\nAnswer:"
LONG = GenerateRequest(PROMPT, max_tokens=24)


@pytest.fixture(scope="module")
def tiny(tiny_model_dir) -> LocalModel:
    return LocalModel(ModelConfig(name="tiny", path=str(tiny_model_dir)), str(tiny_model_dir))


@pytest.fixture
def steps(tiny, monkeypatch) -> Counter[str]:
    """Counts the model's forward passes."""
    counter: Counter[str] = Counter()
    forward = tiny.model.forward

    def counted(*args, **kwargs):
        counter["steps"] += 1
        return forward(*args, **kwargs)

    monkeypatch.setattr(tiny.model, "forward", counted)
    return counter


def reply(llm: LocalModel, request: GenerateRequest) -> Reply:
    return dict(llm.generate([request]))[0]


def new_tokens(llm: LocalModel, count: int = 24) -> list[int]:
    """The first tokens after PROMPT, by a plain loop over arg-maxima."""
    import torch

    ids = llm.encode(PROMPT)
    for _ in range(count):
        with torch.inference_mode():
            ids = [*ids, int(llm.model(torch.tensor([ids])).logits[0, -1].argmax())]
    return ids[-count:]


def test_greedy_is_the_arg_max_at_every_step(tiny):
    tokens = new_tokens(tiny)
    assert not set(tokens) & set(tiny.tokenizer.all_special_ids)
    answer = reply(tiny, LONG)
    assert answer.text == tiny.tokenizer.decode(tokens)
    assert (answer.completion_tokens, answer.prompt_tokens) == (24, len(tiny.encode(PROMPT)))
    for count in (1, 5):
        assert reply(tiny, replace(LONG, max_tokens=count)).completion_tokens == count


@pytest.mark.filterwarnings("error::FutureWarning")
def test_nothing_is_used_that_transformers_will_drop(tiny):
    requests = [replace(LONG, prompt=f"{PROMPT * 3}{' yes' * n}", max_tokens=3) for n in range(3)]
    assert len(dict(tiny.generate(requests))) == 3


def test_stops_early_before_the_string(tiny, steps):
    tokens = new_tokens(tiny)
    pieces = [tiny.tokenizer.decode([token]) for token in tokens]
    full = reply(tiny, LONG).text
    spanning = pieces[5][-1] + pieces[6][0]
    assert "\ufffd" not in spanning and full.index(spanning) == len("".join(pieces[:6])) - 1
    steps.clear()
    answer = reply(tiny, replace(LONG, stop=(spanning,)))
    assert answer.text == full[: full.index(spanning)]
    assert answer.completion_tokens == 7
    assert steps["steps"] == 7


def test_the_earliest_of_several_stops_wins_and_empty_ones_are_ignored(tiny, steps):
    full = reply(tiny, LONG).text
    early, late = full[4:7], full[10:14]
    steps.clear()
    answer = reply(tiny, replace(LONG, stop=("", late, early, "never said")))
    assert answer.text == full[: full.index(early)]
    assert answer.stop == early
    assert steps["steps"] < 24
    assert reply(tiny, replace(LONG, stop=("",))).text == full
    assert reply(tiny, replace(LONG, stop=("never said",))).stop == ""


def test_each_row_has_its_own_stops(tiny):
    full = reply(tiny, LONG).text
    stops = [(), (full[3:5],), (full[9:12],), ("never said",)]
    requests = [replace(LONG, stop=stop) for stop in stops]
    together = dict(tiny.generate(requests))
    assert [together[i] for i in range(4)] == [reply(tiny, request) for request in requests]
    assert len({answer.completion_tokens for answer in together.values()}) == 3


def test_the_end_token_ends_and_is_counted_but_not_written(tiny, steps, monkeypatch):
    third = new_tokens(tiny, 3)[-1]
    text = tiny.tokenizer.decode(new_tokens(tiny, 2))
    monkeypatch.setattr(tiny.model.generation_config, "eos_token_id", [third, 1])
    steps.clear()
    with_others = dict(tiny.generate([LONG, replace(LONG, prompt="Who? yes no")]))
    alone = reply(tiny, LONG)
    assert alone == with_others[0]
    assert alone.completion_tokens == 3
    assert alone.text.startswith(text)


def test_special_tokens_are_not_part_of_the_text(tiny):
    class Forced(GumbelSampler):
        def __call__(self, input_ids, scores):
            scores = scores.clone()
            scores[:, tiny.tokenizer.convert_tokens_to_ids("<|im_start|>")] += 1e6
            return scores

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.llm.hooks.GumbelSampler", Forced)
        answer = reply(tiny, replace(LONG, max_tokens=4))
    assert answer == Reply("", len(tiny.encode(PROMPT)), 4, cut_off=True)


def test_a_seed_fixes_a_sample_in_any_batch(tiny):
    sampled = replace(LONG, max_tokens=8, temperature=1.5)
    requests = [replace(sampled, seed=seed) for seed in range(12)]
    alone = [reply(tiny, request) for request in requests]
    assert len({answer.text for answer in alone}) > 6
    assert alone == [reply(tiny, request) for request in requests]
    for batch in (requests, requests[::-1], [LONG, *requests, replace(LONG, max_tokens=8)]):
        together = dict(tiny.generate(batch))
        for index, request in enumerate(batch):
            if request.temperature:
                assert together[index] == alone[request.seed]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_samples_follow_the_softmax(tiny, temperature):
    import torch
    from scipy.stats import chisquare

    draws = 4000
    with torch.inference_mode():
        ids = torch.tensor([tiny.encode(PROMPT)])
        logits = tiny.model(ids).logits[0, -1]
    likely = logits.topk(20).values
    expected = (likely / temperature).softmax(dim=-1).double()
    requests = [replace(LONG, temperature=temperature, seed=seed) for seed in range(draws)]
    sampler = GumbelSampler(requests, tiny.device)
    drawn = sampler(ids, likely.expand(draws, -1)).argmax(dim=-1)
    seen = torch.bincount(drawn, minlength=20).double()
    rare = expected * draws < 5
    seen = torch.cat([seen[~rare], seen[rare].sum(dim=0, keepdim=True) + 5])
    expected = torch.cat([expected[~rare], expected[rare].sum(dim=0, keepdim=True) + 5 / draws])
    expected = expected / expected.sum() * seen.sum()
    assert chisquare(seen.numpy(), expected.numpy()).pvalue > 1e-3


def test_token_embeddings_as_a_soft_prompt_read_like_the_tokens(tiny):
    import torch

    before = "The capital of France is Paris, a city on the river Seine. "
    embed = tiny.model.get_input_embeddings()
    plain, soft = [], []
    for length, ask in [(3, "Who?"), (11, PROMPT), (7, "yes no"), (0, "the Nile")]:
        head = tiny.tokenizer(before, add_special_tokens=False)["input_ids"][:length]
        start, *tail = tiny.encode(ask)
        assert start == tiny.tokenizer.bos_token_id
        plain.append([start, *head, *tail])
        vectors = embed(torch.tensor(head, dtype=torch.long))
        soft.append(GenerateRequest(SOFT + ask, 8, soft_prompts=(vectors,)))
    together = dict(tiny.generate(soft))
    for index, ids in enumerate(plain):
        expected = generation._decode(tiny.runtime, [ids], [GenerateRequest("", 8)])[0][0]
        assert together[index] == expected == reply(tiny, soft[index])
        assert expected.prompt_tokens == len(ids)
    assert len({answer.text for answer in together.values()}) == 4


def test_soft_prompts_and_plain_ones_in_one_call(tiny):
    import torch

    vectors = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    with_vectors = replace(LONG, prompt=SOFT + LONG.prompt, soft_prompts=(vectors,))
    requests = [LONG, with_vectors, replace(LONG, prompt="Who?")]
    together = dict(tiny.generate(requests))
    assert [together[i] for i in range(3)] == [reply(tiny, request) for request in requests]
    assert together[0].text != together[1].text
    assert together[1].prompt_tokens == together[0].prompt_tokens + 4


def test_prompts_of_one_token_and_of_none(tiny, monkeypatch):
    no_bos = tiny.tokenizer.backend_tokenizer.post_processor
    without = replace(tiny.runtime, encoder=Encoder.of(WithoutStart(tiny.tokenizer)))
    monkeypatch.setattr(tiny, "runtime", without)
    assert no_bos is not None
    assert tiny.encode("") == [tiny.tokenizer.bos_token_id]
    assert len(tiny.encode("a")) == 1
    requests = [replace(LONG, prompt=prompt, max_tokens=6) for prompt in ("", "a", PROMPT)]
    together = dict(tiny.generate(requests))
    assert [together[i] for i in range(3)] == [reply(tiny, request) for request in requests]
    assert [together[i].prompt_tokens for i in (0, 1)] == [1, 1]


class WithoutStart:
    """A tokenizer that puts no special token before text, as GPT-2's does not."""

    def __init__(self, tokenizer) -> None:
        self.tokenizer = tokenizer

    def __call__(self, text, add_special_tokens=True):
        return self.tokenizer(text, add_special_tokens=False)

    def __getattr__(self, name):
        return getattr(self.tokenizer, name)


def test_one_line_ends_with_the_first_that_is_not_empty(tiny, monkeypatch):
    from harness.llm.text import cut_after_line

    said = ["\n", " yes", "\n", " no", "\n"]
    ids = [tiny.tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in said]

    class Forced(GumbelSampler):
        def __call__(self, input_ids, scores):
            scores = scores.clone()
            scores[:, ids[min(input_ids.shape[1], len(ids) - 1)]] += 1e6
            return scores

    monkeypatch.setattr("harness.llm.hooks.GumbelSampler", Forced)
    whole = replace(LONG, max_tokens=5)
    line, full = reply(tiny, replace(whole, one_line=True)), reply(tiny, whole)
    assert (line.text, line.completion_tokens) == (cut_after_line(full.text), 3)
    assert line.first_line == full.first_line == "yes"
    assert full.completion_tokens == 5
    assert [cut_after_line(t) for t in ("", "a", " \n a \n b", "a\n")] == ["", "a", " \n a ", "a"]
