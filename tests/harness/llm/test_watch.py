"""Watched tokens: probabilities at every step, special tokens in the text, answers as alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from harness.errors import ConfigError
from harness.llm import generation
from harness.llm.hooks import GumbelSampler
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest, Reply
from harness.prompts import SOFT
from tests.tiny_checkpoints import build_tiny_self_rag

pytestmark = pytest.mark.numeric

PROMPT = "Question: Who wrote the play about the prince of Denmark?\nAnswer:"
WATCHED = ("[Relevant]", "[Irrelevant]", " yes")
PLAIN = GenerateRequest(PROMPT, max_tokens=10)
WATCHING = replace(PLAIN, watch=WATCHED)


def load(path, **options) -> LocalModel:
    return LocalModel(ModelConfig(name="tiny", path=str(path), **options), str(path))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> LocalModel:
    return load(build_tiny_self_rag(tmp_path_factory.mktemp("self-rag") / "model"))


def reply(llm: LocalModel, request: GenerateRequest) -> Reply:
    return dict(llm.generate([request]))[0]


def distributions(llm: LocalModel, count: int):
    """Greedy tokens after PROMPT, each with the whole distribution, one forward pass each."""
    import torch

    ids, found = llm.encode(PROMPT), []
    for _ in range(count):
        with torch.inference_mode():
            probs = llm.model(torch.tensor([ids])).logits[0, -1].double().softmax(dim=-1)
        ids = [*ids, int(probs.argmax())]
        found.append((ids[-1], probs))
    return found


def force(llm: LocalModel, monkeypatch, *texts: str) -> None:
    """Make every row say these tokens; what the model itself thinks of them stays as it is."""

    class Forced(GumbelSampler):
        step = 0

        def __call__(self, input_ids, scores):
            scores = scores.clone()
            scores[:, llm.runtime.token_id(texts[min(self.step, len(texts) - 1)])] += 1e6
            self.step += 1
            return scores

    monkeypatch.setattr("harness.llm.hooks.GumbelSampler", Forced)


def test_choices_are_those_of_a_plain_forward_pass(tiny):
    answer = reply(tiny, WATCHING)
    expected = distributions(tiny, 10)
    assert len(answer.choices) == answer.completion_tokens == 10
    for choice, (token, probs) in zip(answer.choices, expected, strict=True):
        assert choice.text == tiny.tokenizer.decode([token])
        assert choice.logprob == pytest.approx(math.log(probs[token]), abs=1e-4)
        ids = {text: tiny.runtime.token_id(text) for text in WATCHED}
        wanted = {text: float(probs[place]) for text, place in ids.items()}
        assert dict(choice.probs) == pytest.approx(wanted, abs=1e-6)
    assert any(max(choice.probs.values()) > 1e-4 for choice in answer.choices)


def test_without_watching_nothing_changes(tiny):
    plain, watching = reply(tiny, PLAIN), reply(tiny, WATCHING)
    assert plain.choices == ()
    assert plain == replace(watching, choices=(), text=plain.text)
    together = dict(tiny.generate([PLAIN, WATCHING, PLAIN]))
    assert [together[i] for i in range(3)] == [plain, watching, plain]


def test_special_tokens_stay_in_a_watched_text_alone(tiny, monkeypatch):
    force(tiny, monkeypatch, "[Relevant]", " yes", "[Fully supported]", "[Utility:5]")
    watching = reply(tiny, replace(WATCHING, max_tokens=4))
    assert watching.text == "[Relevant] yes[Fully supported][Utility:5]"
    assert [c.text for c in watching.choices] == [
        "[Relevant]", "yes", "[Fully supported]", "[Utility:5]",
    ]  # fmt: skip
    assert reply(tiny, replace(PLAIN, max_tokens=4)).text == "yes"


def test_the_end_token_is_chosen_but_not_written(tiny, monkeypatch):
    force(tiny, monkeypatch, "[Relevant]", " yes", "</s>", " no")
    answer = reply(tiny, WATCHING)
    assert answer.text == "[Relevant] yes"
    assert [c.text for c in answer.choices] == ["[Relevant]", "yes", "</s>"]
    assert answer.completion_tokens == 3


def test_an_end_token_at_once_gives_an_empty_text(tiny, monkeypatch):
    force(tiny, monkeypatch, "</s>")
    answer = reply(tiny, WATCHING)
    assert (answer.text, answer.completion_tokens, len(answer.choices)) == ("", 1, 1)


@pytest.mark.parametrize("stop", ["[Fully supported]", "yes"])
def test_stop_strings_work_on_special_tokens_and_text(tiny, monkeypatch, stop):
    said = ("[Relevant]", " yes", "[Fully supported]", "[Utility:5]")
    force(tiny, monkeypatch, *said)
    answer = reply(tiny, replace(WATCHING, stop=(stop,)))
    full = "[Relevant] yes[Fully supported]"
    assert answer.text == full[: full.index(stop)]
    # The token that stopped it is among the choices: it was generated.
    assert answer.choices[-1].text == stop
    assert answer.completion_tokens == len(answer.choices)


def test_sampling_noise_does_not_enter_the_probabilities(tiny):
    sampled = [replace(WATCHING, temperature=2.0, seed=seed) for seed in range(8)]
    first = distributions(tiny, 1)[0][1]
    found = [reply(tiny, request) for request in sampled]
    assert len({answer.choices[0].text for answer in found}) > 3
    for answer in found:
        for text in WATCHED:
            wanted = float(first[tiny.runtime.token_id(text)])
            assert answer.choices[0].probs[text] == pytest.approx(wanted, abs=1e-6)
        assert math.exp(answer.choices[0].logprob) <= float(first.max()) + 1e-6


def test_batches_and_order_change_nothing_at_all(tiny):
    requests = [
        replace(WATCHING, prompt=f"{PROMPT} {'the river ' * n}", temperature=0.7 * (n % 2), seed=n)
        for n in range(9)
    ]
    alone = [reply(tiny, request) for request in requests]
    for batch in (requests, requests[::-1], [PLAIN, *requests, replace(WATCHING, watch=(" yes",))]):
        together = dict(tiny.generate(batch))
        for index, request in enumerate(batch):
            if request.watch == WATCHED:
                assert together[index] == alone[requests.index(request)]


def test_below_float32_requests_share_batches(tiny, monkeypatch):
    requests = [replace(WATCHING, prompt=f"{PROMPT} {'the river ' * n}") for n in range(5)]
    alone = [reply(tiny, request) for request in requests]
    sizes = []
    decode = generation._decode
    monkeypatch.setattr(
        generation, "_decode", lambda *args: sizes.append(len(args[1])) or decode(*args)
    )
    monkeypatch.setattr(tiny, "runtime", replace(tiny.runtime, exact=False))
    together = dict(tiny.generate(requests))
    assert max(sizes) > 1
    for index, answer in enumerate(alone):
        assert together[index].text == answer.text
        for mine, other in zip(together[index].choices, answer.choices, strict=True):
            assert mine.logprob == pytest.approx(other.logprob, abs=1e-3)
            assert dict(mine.probs) == pytest.approx(dict(other.probs), abs=1e-4)


def test_rows_that_end_at_different_steps_keep_their_own_choices(tiny, monkeypatch):
    monkeypatch.setattr(tiny, "runtime", replace(tiny.runtime, exact=False))
    long = replace(WATCHING, max_tokens=12)
    text = reply(tiny, long).text
    short = replace(long, stop=(text[len(text) // 2],))
    together = dict(tiny.generate([long, short]))
    assert together[1].completion_tokens < together[0].completion_tokens
    for index, answer in together.items():
        alone = reply(tiny, [long, short][index])
        assert answer.text == alone.text
        assert len(answer.choices) == len(alone.choices) == answer.completion_tokens
        for mine, other in zip(answer.choices, alone.choices, strict=True):
            assert mine.logprob == pytest.approx(other.logprob, abs=1e-3)
            assert dict(mine.probs) == pytest.approx(dict(other.probs), abs=1e-4)


def test_a_soft_prompt_may_be_watched(tiny):
    vectors = tiny.model.get_input_embeddings()(_ids(tiny, "The river Seine."))
    prompt = SOFT + WATCHING.prompt
    answer = reply(tiny, replace(WATCHING, prompt=prompt, soft_prompts=(vectors,)))
    assert len(answer.choices) == answer.completion_tokens


def _ids(llm: LocalModel, text: str):
    import torch

    return torch.tensor(llm.tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("text", ["[Retrieve]", "two words", ""])
def test_what_is_not_one_token_cannot_be_watched(tiny, text):
    with pytest.raises(ConfigError, match=r"is not one token of 'tiny'"):
        reply(tiny, replace(WATCHING, watch=("[Relevant]", text)))


def test_a_token_is_known_by_its_spelling_in_the_vocabulary_or_in_text(tiny, tiny_model_dir):
    assert tiny.has_token("[Relevant]") and tiny.has_token(" yes") and tiny.has_token("▁yes")
    assert tiny.runtime.token_id(" yes") == tiny.runtime.token_id("▁yes")
    assert not tiny.has_token("[Relevant]x") and not tiny.has_token("")
    other = load(tiny_model_dir)
    assert not other.has_token("[Relevant]")
    assert other.has_token(" yes") and other.runtime.token_id(" yes") == other.runtime.token_id(
        "Ġyes"
    )
