from __future__ import annotations

import math

import pytest

from harness.errors import CapabilityError, ConfigError, InputError
from harness.llm import lm_eval_model
from harness.llm.catalogue import resolve_model
from harness.llm.lm_eval_model import LMEvalModel
from harness.llm.requests import GenerateRequest, NextTokenRequest, ScoreRequest
from harness.prompts import Message
from tests.tiny_checkpoints import build_tiny_self_rag
from tests.tiny_thinker import LESSONS

PROMPTS = tuple(f"Question: who wrote book {i}?\nAnswer:" for i in range(5))


@pytest.fixture(scope="module")
def tiny(tiny_model_dir) -> LMEvalModel:
    config = resolve_model(f"lm-eval:hf,pretrained={tiny_model_dir},dtype=float32")
    return LMEvalModel(config, batch_size=2, device="cpu")


@pytest.fixture(scope="module")
def dummy() -> LMEvalModel:
    return LMEvalModel(resolve_model("lm-eval:dummy"))


@pytest.fixture(scope="module")
def local(tiny_model_dir):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    return model, AutoTokenizer.from_pretrained(tiny_model_dir)


def _logprobs(local, ids: list[int]):
    import torch

    with torch.no_grad():
        return local[0](torch.tensor([ids])).logits[0].log_softmax(-1)


def test_generation_equals_greedy_transformers(tiny, local):
    model, tokenizer = local
    replies = dict(tiny.generate([GenerateRequest(p, max_tokens=8) for p in PROMPTS]))
    for i, prompt in enumerate(PROMPTS):
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        out = model.generate(input_ids=ids, max_new_tokens=8, do_sample=False)
        text = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        assert replies[i].text == text
        assert replies[i].prompt_tokens == ids.shape[1] == tiny.count_tokens(prompt)
        assert 0 < replies[i].completion_tokens <= 8


def test_stop_and_mixed_requests(tiny):
    requests = [
        GenerateRequest(PROMPTS[0], max_tokens=8, temperature=1.0, seed=5),
        GenerateRequest(PROMPTS[0], max_tokens=8),
        GenerateRequest(PROMPTS[0], max_tokens=8, stop=("e", "zzz")),
    ]
    replies = dict(tiny.generate(requests))
    whole = replies[1].text
    assert "e" in whole
    assert replies[2].text == whole[: whole.index("e")]
    # lm-eval cuts before the stop string and does not tell which it was.
    assert replies[2].stop is None
    assert replies[0].text != whole


def test_the_seed_alone_fixes_a_draw(tiny):
    def draw(seed: int) -> str:
        request = GenerateRequest(PROMPTS[0], max_tokens=8, temperature=1.0, seed=seed)
        other = GenerateRequest(PROMPTS[1], max_tokens=3, temperature=1.0, seed=seed + 9)
        return dict(tiny.generate([other, request]))[1].text

    assert draw(1) == draw(1) != draw(2)


def test_scores_equal_transformers(tiny, local):
    prompt, continuations = PROMPTS[0], (" yes", " William Shakespeare")
    ((_, scores),) = tiny.score([ScoreRequest(prompt, continuations)])
    start = len(local[1](prompt)["input_ids"])
    for k, continuation in enumerate(continuations):
        ids = local[1](prompt + continuation)["input_ids"]
        table = _logprobs(local, ids)
        expected = sum(float(table[at - 1, ids[at]]) for at in range(start, len(ids)))
        assert scores.logprobs[k] == pytest.approx(expected, abs=1e-3)
        assert scores.token_counts[k] == len(ids) - start
    assert scores.prompt_tokens == start


def test_next_token_probabilities_equal_transformers(tiny, local):
    strings = (" yes", " no")
    ((_, found),) = tiny.next_token_probs([NextTokenRequest(PROMPTS[0], strings)])
    ids = local[1](PROMPTS[0])["input_ids"]
    last = _logprobs(local, ids)[-1]
    for string in strings:
        first = local[1](string, add_special_tokens=False)["input_ids"][0]
        assert found.probs[string] == pytest.approx(math.exp(float(last[first])), rel=1e-3)
    assert found.prompt_tokens == len(ids)
    with pytest.raises(InputError, match="no token for ''"):
        list(tiny.next_token_probs([NextTokenRequest(PROMPTS[0], ("",))]))


def test_chat_uses_the_models_template(tiny, local):
    messages = (Message("system", "Be short."), Message("user", "Who?"))
    chat = [{"role": m.role, "content": m.content} for m in messages]
    text = local[1].apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    replies = dict(tiny.generate([GenerateRequest(messages, 6), GenerateRequest(text, 6)]))
    assert replies[0] == replies[1]
    assert tiny.count_tokens(messages) == tiny.count_tokens(text)


def test_a_turn_of_the_assistant_is_gone_on_with(tiny):
    messages = (Message("user", "Who?"), Message("assistant", "Ann was"))
    text = tiny._context(messages[:1]) + "Ann was"
    replies = dict(tiny.generate([GenerateRequest(messages, 6), GenerateRequest(text, 6)]))
    assert replies[0] == replies[1]


def test_properties(tiny):
    assert tiny.window == 2048
    assert tiny.capabilities == {"logprobs", "next-token-probs"}
    assert tiny.provenance()["lm_eval_model"] == "hf"
    assert tiny.provenance()["device"] == "cpu"
    assert tiny.name == "hf-tiny"


def test_dummy_has_no_tokens(dummy, capfd):
    replies = dict(dummy.generate([GenerateRequest("a")] * 3))
    assert [replies[i].text for i in range(3)] == ["lol"] * 3
    # Nobody counted.
    assert (replies[0].prompt_tokens, replies[0].completion_tokens) == (None, None)
    ((_, scores),) = dummy.score([ScoreRequest("a", ("b", "c"))])
    assert (len(scores.logprobs), scores.prompt_tokens) == (2, None)
    assert dummy.window is None
    assert dummy.count_tokens("a") is None
    with pytest.raises(CapabilityError, match="no tokens"):
        list(dummy.next_token_probs([NextTokenRequest("a", ("b",))]))
    assert capfd.readouterr().err == ""


def test_long_lists_are_answered_in_chunks(dummy, monkeypatch):
    monkeypatch.setattr(lm_eval_model, "CHUNK", 2)
    answers = dummy.generate([GenerateRequest(str(i)) for i in range(5)])
    assert next(answers)[0] == 0
    assert sorted(i for i, _ in answers) == [1, 2, 3, 4]


def test_models_that_cannot_score_say_so(dummy, monkeypatch):
    def refuse(requests, **kwargs):
        raise NotImplementedError

    monkeypatch.setattr(dummy._lm, "loglikelihood", refuse)
    assert not dummy._has_loglikelihood()
    with pytest.raises(CapabilityError, match="'dummy' has no loglikelihood"):
        list(dummy.score([ScoreRequest("a", ("b",))]))


def test_chat_without_a_template(dummy, monkeypatch):
    def refuse(messages):
        raise NotImplementedError("none")

    monkeypatch.setattr(dummy._lm, "apply_chat_template", refuse)
    with pytest.raises(ConfigError, match="prompt_style: completion"):
        list(dummy.generate([GenerateRequest((Message("user", "a"),))]))


def test_errors(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'huggingface'"):
        LMEvalModel(resolve_model("lm-eval:hugingface"))
    with pytest.raises(InputError, match="cannot open 'hf'"):
        LMEvalModel(resolve_model(f"lm-eval:hf,pretrained={tmp_path}/none"))


def test_arguments_of_the_config_win(tiny_model_dir):
    args = f"pretrained={tiny_model_dir},batch_size=3"
    model = LMEvalModel(resolve_model(f"lm-eval:hf,{args}"), batch_size=1, device="cpu")
    assert model._lm.batch_size == 3
    model.close()


def thinker(folder, **options) -> LMEvalModel:
    # It was trained without the <s> that lm-eval would put first.
    spec = f"lm-eval:hf,pretrained={folder},dtype=float32,add_bos_token=False"
    config = resolve_model({"name": spec, "prompt_style": "chat", **options})
    return LMEvalModel(config, batch_size=2, device="cpu")


@pytest.mark.parametrize("template", ["switch", "opened"])
def test_thoughts_are_parted_and_have_their_own_budget(thinkers, template):
    model = thinker(thinkers[template], thinking_tokens=60)
    assert model.thinking_tokens == 60
    chats = [(Message("user", question),) for question in LESSONS]
    replies = dict(model.generate([GenerateRequest(chat, stop=("\n",)) for chat in chats]))
    limited = dict(model.generate([GenerateRequest(chat, max_tokens=1) for chat in chats]))
    for index, (thoughts, answer) in enumerate(LESSONS.values()):
        assert replies[index].thoughts == limited[index].thoughts == thoughts
        assert replies[index].text == answer.split("\n")[0]
        assert not replies[index].cut_off
        assert answer.startswith(limited[index].text) and limited[index].cut_off
        assert len(model._encode(limited[index].text)) <= 2


def test_thoughts_that_do_not_end_leave_no_answer(thinkers):
    model = thinker(thinkers["opened"], thinking_tokens=2)
    ((_, reply),) = model.generate(
        [GenerateRequest((Message("user", "The capital of France?"),), 2)]
    )
    assert (reply.text, reply.cut_off, reply.completion_tokens) == ("", True, 4)
    assert "France".startswith(reply.thoughts[:6])


def test_thinking_is_switched_off(thinkers):
    chats = [(Message("user", question),) for question in LESSONS]
    off = thinker(thinkers["switch"], thinking="off")
    replies = dict(off.generate([GenerateRequest(chat, stop=("\n",)) for chat in chats]))
    for index, (_, answer) in enumerate(LESSONS.values()):
        assert (replies[index].thoughts, replies[index].text) == ("", answer.split("\n")[0])
    with pytest.raises(ConfigError, match="enable_thinking=False"):
        LMEvalModel(resolve_model({"name": "lm-eval:dummy", "thinking": "off"}))


@pytest.mark.parametrize("template", ["switch", "opened"])
def test_probabilities_of_a_reasoning_model_are_those_of_an_answer(thinkers, template):
    model = thinker(thinkers[template])
    asked = NextTokenRequest((Message("user", "The capital of France?"),), ("Paris", "the"))
    ((_, found),) = model.next_token_probs([asked])
    assert found.probs["Paris"] > 0.9


def test_the_limit_is_told_from_the_models_end(tiny):
    requests = [GenerateRequest(PROMPTS[0], max_tokens=8), GenerateRequest(PROMPTS[0], 8, ("e",))]
    replies = dict(tiny.generate(requests))
    assert [replies[i].cut_off for i in range(2)] == [True, False]


def test_a_reply_that_has_begun_comes_after_thoughts(thinkers):
    """Of a template with a switch, they are the empty ones that it writes."""
    model = thinker(thinkers["switch"])
    turns = Message("user", "Which river is longer?"), Message("assistant", "the")
    assert model._context(turns).endswith("assistant\n<think>\n\n</think>\n\nthe")
    ((_, reply),) = model.generate([GenerateRequest(turns, stop=("\n",))])
    assert (reply.thoughts, reply.text) == ("", " Nile")
    assert model._context(turns[:1]).endswith("assistant\n")


def test_a_reply_in_a_chat_follows_as_the_template_writes_replies(tmp_path):
    """Mistral's template has a space there, without which no model reads "Yes" as a word."""
    folder = build_tiny_self_rag(tmp_path / "tiny")
    (folder / "chat_template.jinja").write_text(
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}"
        "[INST] {{ m['content'] }} [/INST]{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}"
        "{% endfor %}"
    )
    spec = f"lm-eval:hf,pretrained={folder},dtype=float32"
    config = resolve_model({"name": spec, "prompt_style": "chat"})
    theirs = LMEvalModel(config, batch_size=1, device="cpu")
    asked = []
    theirs._lm.loglikelihood = lambda instances, **_: [
        asked.append(i.args) or (-1.0, True) for i in instances
    ]
    chat = (Message("user", "Is it so?"),)
    list(theirs.score([ScoreRequest(chat, ("Yes", " No"))]))
    assert [continuation for _, continuation in asked] == [" Yes", " No"]
    list(theirs.score([ScoreRequest("Is it so?", ("Yes",))]))
    assert asked[-1] == ("Is it so?", "Yes")
