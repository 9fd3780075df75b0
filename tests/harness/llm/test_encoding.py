"""Prompts and continuations as token ids, with tokenizers that add a space, a start or an end."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.llm.catalogue import resolve_model
from harness.llm.encoding import Encoder, parted
from harness.llm.lm_eval_model import LMEvalModel
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest, NextTokenRequest, ScoreRequest
from harness.prompts import SOFT, Message, Prompt
from harness.records import Prediction
from tests.harness.programs import Steps, predictions, queries
from tests.tokenizers import build_ending, build_spaced

ASK = "Question: Who wrote Hamlet?\nAnswer:"
CHAT = (Message("user", "Which of the two rivers is longer?"),)
OPTIONS = (" Yes", " No")
CONTINUATIONS = (" William Shakespeare", " yes", " Marie Curie discovered polonium", "?")


def load(path: Path, style="completion") -> LocalModel:
    config = ModelConfig(name="tiny", path=str(path), prompt_style=style)
    return LocalModel(config, str(path), device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return build_spaced(tmp_path_factory.mktemp("spaced") / "spaced")


@pytest.fixture(scope="module")
def llm(folder) -> LocalModel:
    return load(folder)


@pytest.fixture(scope="module")
def lm_eval(folder) -> LMEvalModel:
    config = resolve_model(f"lm-eval:hf,pretrained={folder},dtype=float32")
    return LMEvalModel(config, batch_size=1, device="cpu")


@pytest.fixture(scope="module")
def ending(tmp_path_factory) -> Path:
    return build_ending(tmp_path_factory.mktemp("ending") / "ending")


def tokens(llm: LocalModel, ids: list[int]) -> list[str]:
    return llm.tokenizer.convert_ids_to_tokens(ids)


def after(prompt: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    """The texts as they follow a prompt that may end with their space."""
    return tuple(text.strip() for text in texts) if prompt.endswith(" ") else texts


def test_alone_the_tokenizer_makes_two_tokens_of_one(llm):
    alone = llm.tokenizer(" Yes", add_special_tokens=False)["input_ids"]
    assert tokens(llm, alone) == ["▁", "▁Yes"]


def test_next_tokens_are_those_that_follow_the_prompt(llm):
    import torch

    ((_, found),) = llm.next_token_probs([NextTokenRequest(ASK, OPTIONS)])
    ids = llm.tokenizer(ASK)["input_ids"]
    with torch.inference_mode():
        probs = llm.model(torch.tensor([ids])).logits[0, -1].softmax(dim=-1)
    wanted = [float(probs[llm.tokenizer.convert_tokens_to_ids(t)]) for t in ("▁Yes", "▁No")]
    assert list(found.probs.values()) == pytest.approx(wanted, rel=1e-4)
    assert found.prompt_tokens == len(ids)


@pytest.mark.parametrize("style", ["completion", "chat"])
def test_options_can_be_chosen_from(folder, style):
    async def body(method, query):
        shares = await method.llm.choose(Prompt(query.text), ("Yes", "No"))
        return Prediction(" ".join(f"{share:.6f}" for share in shares.values()))

    ((_, prediction),) = predictions(Steps(body), queries(1), load(folder, style)).items()
    yes, no = map(float, prediction.answer.split())
    assert yes + no == pytest.approx(1, abs=1e-5)
    assert yes != no


@pytest.mark.parametrize("prompt", [ASK, f"{ASK} ", "The capital of France is Paris,", "a"])
def test_scores_are_lm_evals(llm, lm_eval, prompt):
    continuations = after(prompt, CONTINUATIONS)
    request = ScoreRequest(prompt, continuations)
    ((_, ours),), ((_, theirs),) = llm.score([request]), lm_eval.score([request])
    assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-3)
    assert ours.token_counts == theirs.token_counts
    ids, found = llm.pairs(prompt, continuations)
    pairs = [lm_eval._lm._encode_pair(prompt, text) for text in continuations]
    assert [(ids, own) for own in found] == pairs


def test_next_tokens_are_lm_evals(llm, lm_eval):
    for prompt in (ASK, f"{ASK} ", "a"):
        options = after(prompt, OPTIONS)
        request = NextTokenRequest(prompt, options)
        ((_, ours),) = llm.next_token_probs([request])
        ((_, theirs),) = lm_eval.next_token_probs([request])
        assert ours.probs == pytest.approx(dict(theirs.probs), rel=1e-3)
        first = [lm_eval._lm._encode_pair(prompt, text)[1][:1] for text in options]
        assert [own[:1] for own in llm.pairs(prompt, options)[1]] == first


def test_a_line_end_stays_with_the_prompt(llm):
    """Self-RAG's prompt ends so; lm-eval would ask for the line's end in place of the option."""
    prompt = "### Response:\n"
    ids, after = llm.pairs(prompt, ("Yes", "No"))
    assert ids == llm.encode(prompt)
    assert len({own[0] for own in after}) == 2


def test_a_chat_prompt_is_rendered_once_and_begins_once(llm):
    ids, after = llm.pairs(CHAT, ("Yes", "12 15"))
    assert ids == llm.encode(CHAT)
    assert ids.count(llm.tokenizer.bos_token_id) == 1
    for text, own in zip(("Yes", "12 15"), after, strict=True):
        assert llm.tokenizer.decode([*ids, *own]).endswith(f"[/INST] {text}")
        assert llm.tokenizer.bos_token_id not in own


def test_a_reply_follows_a_chat_as_the_template_writes_replies(llm, tiny_model_dir):
    """After "[/INST]" Mistral's models write " Yes", and ChatML's write "Yes" on a new line."""
    _, after = llm.pairs(CHAT, ("Yes", " Yes", "No"))
    assert [tokens(llm, own) for own in after] == [["▁Yes"], ["▁Yes"], ["▁No"]]
    chatml = load(tiny_model_dir, "chat")
    _, after = chatml.pairs(CHAT, ("Yes", "no"))
    assert [chatml.tokenizer.decode(own) for own in after] == ["Yes", "no"]


def test_added_tokens_stand_after_a_prompt_as_they_are(folder):
    from transformers import AddedToken

    llm = load(folder)
    llm.tokenizer.add_tokens([AddedToken("[Yes]", lstrip=True), AddedToken("[No]")])
    ids, after = llm.pairs("### Response:\n", ("[Yes]", "[No]"))
    assert ids == llm.encode("### Response:\n")
    assert after == [[llm.runtime.token_id(text)] for text in ("[Yes]", "[No]")]


def test_what_is_one_token(llm):
    token_id, vocabulary = llm.runtime.token_id, llm.tokenizer.get_vocab()
    assert token_id(" Yes") == vocabulary["▁Yes"]
    assert token_id("</s>") == llm.tokenizer.eos_token_id
    assert llm.has_token(" No")
    assert not llm.has_token(" Yes No")
    assert not llm.has_token("")


def test_options_that_begin_alike_are_refused(llm):
    with pytest.raises(ConfigError, match="share a first token in 'tiny'"):
        list(llm.next_token_probs([NextTokenRequest(ASK, (" Yes", " Yes No"))]))
    with pytest.raises(ConfigError, match="continuation '' has no tokens"):
        list(llm.score([ScoreRequest(ASK, (" Yes", ""))]))


def test_what_a_tokenizer_drops_is_no_continuation():
    encoder = Encoder.of(Words())
    assert encoder.pairs("to be", (" or", " not to be"))[1] == [[100], [100, 101, 102]]
    with pytest.raises(ConfigError, match=r"continuation '\\n' has no tokens"):
        encoder.pairs("to be", ("\n",))
    assert encoder.token_id("\n") is None


class Words:
    """A tokenizer that knows words and drops blank space; one id a place."""

    unk_token_id = None

    def __call__(self, text, add_special_tokens=True):
        return {"input_ids": [98 + place for place, _ in enumerate(text.split())]}

    def get_added_vocab(self):
        return {}

    def convert_tokens_to_ids(self, text):
        return None


def test_a_prompt_is_cut_where_a_continuation_changes_it():
    assert parted([1, 2, 3], [[1, 2, 3, 4], [1, 2, 3, 5, 6]]) == ([1, 2, 3], [[4], [5, 6]])
    assert parted([1, 2, 3], [[1, 2, 9], [1, 2, 3, 5]]) == ([1, 2], [[9], [3, 5]])
    assert parted([1, 2, 3], [[1, 2]]) == ([1], [[2]])
    assert parted([], [[4]]) == ([], [[4]])
    assert parted([1, 2], []) == ([1, 2], [])


def test_an_end_token_stays_nowhere(llm, ending):
    with_end = load(ending)
    end = with_end.tokenizer.eos_token_id
    assert with_end.tokenizer(ASK)["input_ids"][-1] == end
    for prompt in (ASK, f"{ASK} ", "a", "", CHAT):
        assert with_end.encode(prompt) == llm.encode(prompt)
        assert with_end.pairs(prompt, CONTINUATIONS) == llm.pairs(prompt, CONTINUATIONS)
        assert with_end.count_tokens(prompt) == llm.count_tokens(prompt)
    assert with_end.begins == llm.begins == (with_end.tokenizer.bos_token_id,)
    assert [with_end.runtime.token_id(t) for t in OPTIONS] == list(
        map(llm.runtime.token_id, OPTIONS)
    )
    assert with_end.encode(f"{ASK}</s>")[-1] == end  # one that the prompt itself has


def test_a_model_goes_on_where_its_tokenizer_ends_texts(llm, ending):
    import torch

    with_end = load(ending)
    soft = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    requests = [GenerateRequest(ASK, 8), GenerateRequest(SOFT + ASK, 8, soft_prompts=(soft,))]
    assert dict(with_end.generate(requests)) == dict(llm.generate(requests))
    asked = [ScoreRequest(ASK, CONTINUATIONS)]
    assert dict(with_end.score(asked)) == dict(llm.score(asked))


def test_lm_eval_would_leave_the_end_token_and_is_refused(ending):
    with pytest.raises(ConfigError, match="end token after every text.*path:FOLDER"):
        config = resolve_model(f"lm-eval:hf,pretrained={ending},dtype=float32")
        LMEvalModel(config, batch_size=1, device="cpu")


def test_probabilities_are_probabilities(llm):
    ((_, scores),) = llm.score([ScoreRequest(ASK, OPTIONS)])
    ((_, found),) = llm.next_token_probs([NextTokenRequest(ASK, OPTIONS)])
    assert scores.token_counts == (1, 1)
    assert [math.exp(v) for v in scores.logprobs] == pytest.approx(list(found.probs.values()), 1e-4)
