"""Log-probabilities against a plain computation, one text at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import ConfigError
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import NextTokenRequest, ScoreRequest, Scores
from harness.prompts import Message

pytestmark = pytest.mark.numeric

PROMPTS = (
    "Question: Who wrote Hamlet?\nAnswer:",
    "The capital of France is Paris, a city on the river Seine. " * 4,
    "a",
    "",
    (Message("user", "Which of the two rivers is longer?"),),
)
CONTINUATIONS = (" William Shakespeare", " no", " Marie Curie discovered polonium and radium", "?")


@pytest.fixture(scope="module")
def tiny(tiny_model_dir) -> LocalModel:
    return LocalModel(ModelConfig(name="tiny", path=str(tiny_model_dir)), str(tiny_model_dir))


@pytest.fixture(params=["alone", "in padded batches"])
def llm(request, tiny, monkeypatch) -> LocalModel:
    """Both ways of reading: exact for float32, batched for everything coarser."""
    exact = request.param == "alone"
    monkeypatch.setattr(tiny, "runtime", replace(tiny.runtime, exact=exact))
    return tiny


def log_probability(llm: LocalModel, prompt: list[int], continuation: list[int]) -> float:
    """The sum of log-probabilities, each from its own forward pass, in float64."""
    import torch

    total = 0.0
    for place, token in enumerate(continuation):
        with torch.inference_mode():
            ids = torch.tensor([prompt + continuation[:place]])
            total += float(llm.model(ids).logits[0, -1].double().log_softmax(dim=-1)[token])
    return total


def test_scores_are_sums_over_tokens(llm):
    requests = [ScoreRequest(prompt, CONTINUATIONS) for prompt in PROMPTS]
    for batch_size in (1, 3, 16):
        llm.runtime = replace(llm.runtime, batch_size=batch_size)
        found = dict(llm.score(requests))
        assert sorted(found) == list(range(len(PROMPTS)))
        for index, request in enumerate(requests):
            prompt = llm.encode(request.prompt)
            ids = [llm.tokenizer.encode(t, add_special_tokens=False) for t in CONTINUATIONS]
            naive = [log_probability(llm, prompt, continuation) for continuation in ids]
            assert found[index].logprobs == pytest.approx(naive, abs=1e-4)
            assert found[index].token_counts == tuple(map(len, ids))
            assert found[index].prompt_tokens == len(prompt) * len(ids)


def test_requests_with_few_or_no_continuations(llm):
    requests = [
        ScoreRequest("Who?", ()),
        ScoreRequest("Who?", (" no", " no")),
        ScoreRequest("", ()),
    ]
    found = dict(llm.score(requests))
    assert found[0] == found[2] == Scores((), ())
    assert found[1].logprobs[0] == pytest.approx(found[1].logprobs[1], abs=1e-5)
    assert not dict(llm.score([]))


def test_each_request_is_there_as_soon_as_it_is_known(tiny, monkeypatch):
    from harness.llm import scoring

    batches = []
    run = scoring._score_batch
    monkeypatch.setattr(scoring, "_score_batch", lambda *a: batches.append(a[-1]) or run(*a))
    results = tiny.score([ScoreRequest(prompt, (" yes", " no")) for prompt in ("a", "b")])
    assert next(results)[0] == 0
    assert len(batches) == 2


def test_next_token_probabilities_are_the_softmax(llm):
    import torch

    strings = (" Paris", " no", "?")
    requests = [NextTokenRequest(prompt, strings) for prompt in PROMPTS]
    found = dict(llm.next_token_probs(requests))
    for index, prompt in enumerate(PROMPTS):
        ids = llm.encode(prompt)
        with torch.inference_mode():
            expected = llm.model(torch.tensor([ids])).logits[0, -1].softmax(dim=-1)
        tokens = [llm.tokenizer.encode(t, add_special_tokens=False)[0] for t in strings]
        assert list(found[index].probs) == list(strings)
        assert list(found[index].probs.values()) == pytest.approx(expected[tokens].tolist(), 1e-4)
        assert found[index].prompt_tokens == len(ids)


def test_strings_that_begin_alike_cannot_be_told_apart(tiny):
    shared = tiny.tokenizer.encode(" Seine", add_special_tokens=False)
    assert shared == tiny.tokenizer.encode(" Seine yes", add_special_tokens=False)[:1]
    with pytest.raises(ConfigError, match="share a first token in 'tiny'"):
        list(tiny.next_token_probs([NextTokenRequest("Who?", (" Seine", " Seine yes"))]))


def test_a_continuation_without_tokens_is_refused(tiny):
    with pytest.raises(ConfigError, match="continuation '' has no tokens"):
        list(tiny.score([ScoreRequest("Who?", ("",))]))
    with pytest.raises(ConfigError, match="has no tokens"):
        list(tiny.next_token_probs([NextTokenRequest("Who?", ("",))]))
