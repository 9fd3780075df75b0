"""Soft prompts: vectors stand exactly where a prompt has places, whatever the template."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harness.errors import ConfigError
from harness.llm import generation
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest
from harness.llm.soft import woven
from harness.prompts import SOFT, Message, without_places
from methods.parametric_qa.prompts import recall_prompt
from tests.tiny_checkpoints import build_tiny_llama_chat, build_tiny_self_rag

INST = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]{% else %}"
    " {{ m['content'] }} {{ eos_token }}{% endif %}{% endfor %}"
)
TURNS = (
    Message("user", "Is Vell an island?"),
    Message("assistant", "yes"),
    Message("user", f"Use it.\n\nMemory 1:{SOFT}Memory 2:{SOFT}Question: Who?"),
)
# What each template writes, with a bar where a memory stands.
WRITTEN = {
    "chatml": "<|im_start|>user\nIs Vell an island?<|im_end|>\n<|im_start|>assistant\nyes"
    "<|im_end|>\n<|im_start|>user\nUse it.\n\nMemory 1:|Memory 2:|Question: Who?<|im_end|>\n"
    "<|im_start|>assistant\n",
    "llama-3": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nIs Vell an island?"
    "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nyes<|eot_id|><|start_header_id|>"
    "user<|end_header_id|>\n\nUse it.\n\nMemory 1:|Memory 2:|Question: Who?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "llama-2": "<s>[INST] Is Vell an island? [/INST] yes </s>[INST] Use it.\n\nMemory 1:|Memory 2:"
    "|Question: Who? [/INST]",
}


@pytest.fixture(scope="module")
def models(tiny_model_dir, tmp_path_factory):
    root = tmp_path_factory.mktemp("chats")
    folders = {
        "chatml": tiny_model_dir,
        "llama-3": build_tiny_llama_chat(root / "llama-3"),
        "llama-2": build_tiny_self_rag(root / "llama-2"),
    }
    opened = {
        name: LocalModel(ModelConfig(name=name, path=str(folder), prompt_style="chat"), str(folder))
        for name, folder in folders.items()
    }
    opened["llama-2"].tokenizer.chat_template = INST
    return opened


@pytest.fixture(params=WRITTEN)
def llm(request, models):
    return models[request.param]


def vectors(llm, *lengths):
    source = torch.Generator().manual_seed(0)
    width = llm.model.config.hidden_size
    return tuple(torch.randn(length, width, generator=source) for length in lengths)


def by_hand(llm, text, soft):
    embed, rows = llm.model.get_input_embeddings(), []
    for n, part in enumerate(text.split("|||")):
        ids = llm.tokenizer(part, add_special_tokens=False)["input_ids"]
        rows += [embed(torch.tensor(ids)), *soft[n : n + 1]]
    return torch.cat(rows)


def sent(llm, request):
    seen = []
    hook = llm.model.register_forward_pre_hook(
        lambda _, args, given: seen.append(given["inputs_embeds"]), with_kwargs=True
    )
    (_, reply), *_ = llm.generate([request])
    hook.remove()
    return seen[0], reply


def test_vectors_stand_inside_the_users_turn(llm):
    soft = vectors(llm, 3, 5)
    text = WRITTEN[llm.name]
    for place in ("1:|", "2:|"):
        text = text.replace(place, place[:2] + "|||")
    inputs, reply = sent(llm, GenerateRequest(TURNS, 1, soft_prompts=soft))
    expected = by_hand(llm, text, soft)
    assert torch.equal(inputs, expected.unsqueeze(0))
    assert reply.prompt_tokens == len(expected) == llm.count_tokens(TURNS) + 8


@pytest.mark.parametrize("name", ["chatml", "llama-3"])
def test_a_completion_has_its_vectors_after_the_start_token(models, name):
    llm, soft = models[name], vectors(models[name], 2)
    inputs, _ = sent(llm, GenerateRequest(f"{SOFT}Question: Who?", 1, soft_prompts=soft))
    start = llm.tokenizer.bos_token
    assert torch.equal(inputs[0], by_hand(llm, f"{start}|||Question: Who?", soft))


def test_replies_do_not_depend_on_the_batch(llm):
    requests = [
        GenerateRequest(
            (Message("user", f"Use it. {SOFT * len(lengths)}Question: {ask}"),),
            8,
            soft_prompts=vectors(llm, *lengths),
        )
        for lengths, ask in [
            ((3,), "Who?"),
            ((), "Which river?"),
            ((1, 9, 2), "yes or no?"),
            ((7,), ""),
        ]
    ]
    together = dict(llm.generate(requests))
    assert [together[n] for n in range(4)] == [next(llm.generate([r]))[1] for r in requests]
    assert len({reply.text for reply in together.values()}) > 1


def mixed(llm, head=""):
    """Requests with several numbers of vectors, and others with none, some with a place for one."""
    asks = ["Who?", "Which river?", "yes or no?", "Who wrote it?", "When?", "Which of the two?"]
    lengths = [(3,), (), (1, 9), (), (7,), ()]
    return [
        GenerateRequest(f"{head}{SOFT * max(len(own), n % 2)}{ask}", 8, soft_prompts=soft)
        for n, (ask, own) in enumerate(zip(asks, lengths, strict=True))
        for soft in [vectors(llm, *own)]
    ]


@pytest.mark.parametrize("head", ["", "The capital of France is Paris, a city on the Seine. " * 4])
def test_vectors_and_text_share_a_batch(models, monkeypatch, head):
    llm, rows = models["chatml"], []
    asked = mixed(llm, head)
    alone = [next(llm.generate([request]))[1] for request in asked]
    decode = generation._decode
    monkeypatch.setattr(generation, "_decode", lambda *a: rows.append(len(a[1])) or decode(*a))
    found = dict(llm.generate(asked))
    assert [found[n] for n in range(6)] == alone
    assert max(rows) == 6 and len({reply.text for reply in alone}) > 1


def test_what_is_kept_of_a_text_beside_vectors_serves_its_question(models):
    llm = models["chatml"]
    text = f"{'The telephone was invented by Alexander Graham Bell in 1876. ' * 4}Who?"
    asked = [*mixed(llm), GenerateRequest(text, 8, keep_for="q1")]
    later = GenerateRequest(f"{text} yes", 8)
    alone = next(llm.generate([later]))[1]
    list(llm.generate(asked))
    assert llm.runtime.kept.prefix("q1", llm.encode(later.prompt)).length
    assert next(llm.generate([replace(later, keep_for="q1")]))[1] == alone
    llm.release("q1")


def test_a_place_is_nothing_where_there_are_no_vectors(llm):
    (turn,) = (Message("user", f"Who{SOFT}?"),)
    plain = llm.tokenizer("Who", add_special_tokens=False)["input_ids"]
    assert without_places(turn.content) == "Who?"
    ids = llm.encode((turn,))
    assert "\ufdd0" not in llm.tokenizer.decode(ids)
    assert any(ids[n : n + len(plain)] == plain for n in range(len(ids)))


@pytest.mark.parametrize("prompt", ["Who?", f"{SOFT}{SOFT}Who?", (Message("user", "Who?"),)])
def test_places_and_vectors_must_be_as_many(models, prompt):
    with pytest.raises(ConfigError, match="places for 1 soft prompts; put harness.prompts.SOFT"):
        GenerateRequest(prompt, 1, soft_prompts=vectors(models["chatml"], 2))


def test_a_template_that_leaves_the_turn_out_is_refused(models, monkeypatch):
    llm = models["llama-2"]
    monkeypatch.setattr(llm.tokenizer, "chat_template", "{{ bos_token }}Hello")
    with pytest.raises(ConfigError, match="its chat template leaves 0 of 2 places"):
        list(llm.generate([GenerateRequest(TURNS, 1, soft_prompts=vectors(llm, 1, 1))]))


def test_writing_and_training_are_refused_there_as_well(models, monkeypatch):
    """A place that was lost would fail as a row that does not fit its memories."""
    llm = models["llama-2"]
    monkeypatch.setattr(llm.tokenizer, "chat_template", "{{ messages[0]['role'] }}")
    with pytest.raises(ConfigError, match="its chat template leaves 0 of 1 places"):
        llm.parts(recall_prompt())


def test_weaving_needs_a_segment_between_each_two_parts():
    embed = torch.nn.Embedding(5, 2)
    with pytest.raises(ValueError, match="zip"):
        woven(embed, [[1], [2]], [])
    found = woven(embed, [[], [3], []], [torch.ones(2, 2), torch.zeros(0, 2)])
    assert torch.equal(found, torch.cat([torch.ones(2, 2), embed(torch.tensor([3]))]))


def test_a_batch_holds_as_many_rows_as_their_vectors_leave_room_for(models, monkeypatch):
    llm, held = models["chatml"], []
    batch = generation._generate_batch

    def noted(runtime, prompts, requests, prefix, rows):
        held.append(len(rows))
        return batch(runtime, prompts, requests, prefix, rows)

    monkeypatch.setattr(generation, "_generate_batch", noted)
    many = [GenerateRequest(f"{SOFT}a", 1, soft_prompts=vectors(llm, 1990))] * 16
    list(llm.generate(many))
    assert max(held) <= llm.runtime.held_tokens // 1990 < 16
