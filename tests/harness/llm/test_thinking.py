"""A reasoning model's answer is what it says after its thoughts, which have their own budget."""

from __future__ import annotations

import random
from dataclasses import replace
from time import perf_counter

import pytest

from harness.errors import ConfigError
from harness.llm.decoding import Decoder
from harness.llm.hooks import GumbelSampler
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest, NextTokenRequest, Reply, ScoreRequest
from harness.llm.runtime import Replays
from harness.prompts import Message, Prompt
from tests.tiny_thinker import LESSONS, TEMPLATES

QUESTIONS = tuple(LESSONS)


def chat(question: str, begun: str = "") -> tuple[Message, ...]:
    turns = [Message("user", question), Message("assistant", begun)]
    return tuple(turn for turn in turns if turn.content)


REQUESTS = [GenerateRequest(chat(question)) for question in QUESTIONS]


@pytest.fixture(params=TEMPLATES)
def folder(request, thinkers):
    return thinkers[request.param]


def opened(folder, **options) -> LocalModel:
    config = ModelConfig(name="thinker", path=str(folder), prompt_style="chat", **options)
    return LocalModel(config, str(folder))


def replies(llm: LocalModel, requests: list[GenerateRequest]) -> list[Reply]:
    found = dict(llm.generate(requests))
    return [found[index] for index in range(len(requests))]


def raw(llm: LocalModel, question: str) -> tuple[str, int]:
    """All that the model writes, by transformers alone, and its number of tokens."""
    import torch

    ids = llm.encode(chat(question))
    output = llm.model.generate(torch.tensor([ids]), max_new_tokens=100, do_sample=False)
    written = output[0, len(ids) :]
    return llm.tokenizer.decode(written, skip_special_tokens=True), len(written)


def test_the_answer_is_what_follows_the_thoughts(folder):
    llm = opened(folder)
    for question, reply in zip(QUESTIONS, replies(llm, REQUESTS), strict=True):
        thoughts, answer = LESSONS[question]
        assert (reply.thoughts, reply.text, reply.cut_off) == (thoughts, answer, False)
        text, tokens = raw(llm, question)
        assert text.endswith(f"{thoughts}\n</think>\n\n{answer}")
        assert reply.completion_tokens == tokens


def test_stops_lines_and_limits_count_in_the_answer_alone(folder):
    llm = opened(folder)
    lines = replies(llm, [replace(request, one_line=True) for request in REQUESTS])
    stops = replies(llm, [replace(request, stop=("\n", "Nile.")) for request in REQUESTS])
    for question, line, stop in zip(QUESTIONS, lines, stops, strict=True):
        thoughts, answer = LESSONS[question]
        assert line.text == stop.text == answer.split("\n")[0]
        assert line.thoughts == stop.thoughts == thoughts
        assert not line.cut_off and not stop.cut_off
    for limit in (1, 2, 3):
        short = replies(llm, [replace(request, max_tokens=limit) for request in REQUESTS])
        for question, reply in zip(QUESTIONS, short, strict=True):
            thoughts, answer = LESSONS[question]
            ids = llm.tokenizer(answer, add_special_tokens=False)["input_ids"][:limit]
            assert (reply.text, reply.thoughts) == (llm.tokenizer.decode(ids), thoughts)
            assert reply.cut_off


def test_the_first_token_of_an_answer_is_after_the_thoughts(thinkers):
    llm, request = opened(thinkers["switch"]), replace(REQUESTS[0], max_tokens=1)
    replies(llm, [request])
    start = perf_counter()
    (reply,) = replies(llm, [request])
    took = perf_counter() - start
    assert reply.thoughts and reply.completion_tokens > 8
    assert reply.first_token - start > 0.6 * took  # it is the last one, too


@pytest.mark.parametrize("budget", [0, 4, 6])
def test_thoughts_that_go_on_for_too_long_are_ended_by_force(folder, budget):
    llm = opened(folder, thinking_tokens=budget)
    whole = replies(opened(folder), REQUESTS)
    for question, reply, full in zip(QUESTIONS, replies(llm, REQUESTS), whole, strict=True):
        assert reply.text == LESSONS[question][1]
        assert full.thoughts.startswith(reply.thoughts)
        assert len(reply.thoughts) < len(full.thoughts)
        assert reply.completion_tokens < full.completion_tokens
        assert not reply.cut_off


def test_thoughts_within_the_budget_are_left_alone(folder):
    whole = replies(opened(folder), REQUESTS)
    shortest = min(whole, key=lambda reply: reply.completion_tokens or 0)
    llm = opened(folder, thinking_tokens=shortest.completion_tokens)
    assert replies(llm, REQUESTS)[whole.index(shortest)] == shortest


def test_switched_off_by_the_template(thinkers):
    llm = opened(thinkers["switch"], thinking="off")
    assert llm.tokenizer.decode(llm.encode(chat("?"))).endswith("<think>\n\n</think>\n\n")
    for question, reply in zip(QUESTIONS, replies(llm, REQUESTS), strict=True):
        assert (reply.thoughts, reply.text) == ("", LESSONS[question][1])
    assert llm.thinking_tokens < 10
    by_argument = opened(thinkers["switch"], template={"enable_thinking": False})
    assert replies(by_argument, REQUESTS) == replies(llm, REQUESTS)
    assert by_argument.thinking_tokens == llm.thinking_tokens
    on = opened(thinkers["switch"], thinking="on")
    assert replies(on, REQUESTS) == replies(opened(thinkers["switch"]), REQUESTS)


@pytest.mark.numeric
@pytest.mark.parametrize("budget", [5, 2048])
def test_no_reply_depends_on_its_batch(folder, budget):
    llm = opened(folder, thinking_tokens=budget)
    rng = random.Random(0)
    requests = [
        GenerateRequest(
            rng.choice([chat(question), chat(question, "The"), f"{question}\nAnswer:"]),
            max_tokens=rng.choice([4, 9]),
            stop=rng.choice([(), ("\n",)]),
            temperature=rng.choice([0.0, 0.7]),
            seed=n,
            one_line=rng.random() < 0.5,
        )
        for n in range(4)
        for question in QUESTIONS
    ]
    alone = [dict(llm.generate([request]))[0] for request in requests]
    assert any(reply.thoughts for reply in alone)
    for size in (1, 5):
        llm.runtime = replace(llm.runtime, batch_size=size, replays=Replays())
        order = rng.sample(range(len(requests)), len(requests))
        assert replies(llm, [requests[n] for n in order]) == [alone[n] for n in order]


@pytest.mark.parametrize("budget", [5, 2048])
def test_models_with_another_memory_think_too(folder, monkeypatch, budget):
    llm = opened(folder, thinking_tokens=budget)
    ours = replies(llm, REQUESTS)
    monkeypatch.setattr("harness.llm.kvcache.plain_layers", lambda _: 0)
    monkeypatch.setattr(Decoder, "__init__", None)
    assert replies(llm, REQUESTS) == ours


def test_an_answer_that_has_begun_follows_no_thoughts(folder):
    llm = opened(folder)
    prompt = llm.tokenizer.decode(llm.encode(chat(QUESTIONS[1], "Paris\nis")))
    assert not prompt.rstrip().endswith("<think>\nParis\nis")
    (reply,) = replies(llm, [GenerateRequest(chat(QUESTIONS[1], "Paris\nis"))])
    assert (reply.thoughts, reply.text) == ("", " a city on the river Seine")


def test_probabilities_are_those_of_an_answer(folder):
    llm = opened(folder)
    for question in QUESTIONS:
        answer = LESSONS[question][1]
        first = llm.tokenizer.decode(
            llm.tokenizer(answer, add_special_tokens=False)["input_ids"][0]
        )
        asked = NextTokenRequest(chat(question), (first, "<think>"))
        probs = dict(llm.next_token_probs([asked]))[0].probs
        assert probs[first] > 0.9
        scores = dict(llm.score([ScoreRequest(chat(question), (answer, "Hamlet"))]))[0]
        assert scores.logprobs[0] > -0.5 > scores.logprobs[1]


def test_what_is_trained_on_is_an_answer(folder):
    llm = opened(folder)
    (ids,) = llm.parts(Prompt(QUESTIONS[0]))
    assert llm.tokenizer.decode(ids).split()[-2:] == ["<think>", "</think>"]


def test_choices_are_those_of_the_answer(folder):
    llm = opened(folder)
    watching = [replace(request, watch=("</think>",)) for request in REQUESTS]
    for reply in replies(llm, watching):
        said = "".join(choice.text for choice in reply.choices)
        assert said == f"{reply.text}{llm.tokenizer.eos_token}"
        assert min(choice.logprob for choice in reply.choices) > -0.5


def say(llm: LocalModel, monkeypatch, text: str) -> list[int]:
    """Make the model write a text, whatever it expects."""
    ids = llm.tokenizer(text, add_special_tokens=False)["input_ids"]

    class Steered(GumbelSampler):
        def __call__(self, input_ids, scores):
            scores = scores.clone()
            scores[:, ids[min(input_ids.shape[1], len(ids) - 1)]] += 1e6
            return scores

    monkeypatch.setattr("harness.llm.hooks.GumbelSampler", Steered)
    return ids


def test_a_model_that_ends_amid_its_thoughts_gives_no_answer(folder, monkeypatch):
    llm = opened(folder)
    say(llm, monkeypatch, "<think>\nThe river<|im_end|>")
    (reply,) = replies(llm, REQUESTS[:1])
    assert (reply.text, reply.thoughts, reply.cut_off) == ("", "The river", False)


def test_a_reply_that_only_begins_like_a_tag_is_an_answer(thinkers, monkeypatch):
    llm = opened(thinkers["switch"])
    say(llm, monkeypatch, "<th river\nand<|im_end|>")
    (reply,) = replies(llm, REQUESTS[:1])
    assert (reply.text, reply.thoughts, reply.cut_off) == ("<th river\nand", "", False)
    (reply,) = replies(llm, [replace(REQUESTS[0], stop=("\n",))])
    assert reply.text == "<th river"
    (reply,) = replies(llm, [replace(REQUESTS[0], max_tokens=2)])
    assert (reply.completion_tokens, reply.cut_off) == (2, True)


@pytest.mark.parametrize(
    ("special", "said", "thoughts"),
    [
        (["[THINK]", "[/THINK]"], "[THINK]The river[/THINK]Paris<|im_end|>", "The river"),
        (
            ["<|channel|>", "<|message|>", "<|end|>", "<|start|>"],
            "<|channel|>analysis<|message|>The river<|end|>"
            "<|start|>assistant<|channel|>final<|message|>Paris<|im_end|>",
            "The river",
        ),
        (
            ["<|channel|>", "<|message|>", "<|end|>", "<|start|>"],
            "<|channel|>final<|message|>Paris<|im_end|>",
            "",
        ),
    ],
    ids=["Magistral", "harmony", "harmony without thoughts"],
)
def test_tags_that_are_special_tokens(
    tiny_model_dir, tmp_path, monkeypatch, special, said, thoughts
):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    # Harmony's tags are of several tokens, so they are known by the template alone.
    tokenizer.chat_template += "{# <|channel|>final<|message|> [/THINK] #}"
    if "[/THINK]" not in special:
        tokenizer.chat_template = tokenizer.chat_template.replace(" [/THINK]", "")
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    llm = opened(tmp_path)
    say(llm, monkeypatch, said)
    (reply,) = replies(llm, REQUESTS[:1])
    assert (reply.text, reply.thoughts, reply.cut_off) == ("Paris", thoughts, False)


def test_the_window_has_room_for_thoughts(folder, tiny_model_dir):
    llm = opened(folder, thinking_tokens=100)
    assert llm.thinking_tokens == 100 + len(llm.runtime.thinking.ending)
    assert opened(tiny_model_dir).thinking_tokens == 0


def test_a_model_without_tags_takes_no_more_memory(tiny_model_dir, monkeypatch):
    rooms = []
    init = Decoder.__init__
    monkeypatch.setattr(
        Decoder, "__init__", lambda self, *args: rooms.append(args[3]) or init(self, *args)
    )
    replies(opened(tiny_model_dir), REQUESTS)
    assert rooms == [32]


def test_what_cannot_be_had_is_refused_by_name(thinkers, tiny_model_dir):
    with pytest.raises(ConfigError, match="no switch for thoughts.*thinking_tokens: 0"):
        opened(thinkers["opened"], thinking="off")
    with pytest.raises(ConfigError, match="no tags of thoughts.*leave thinking out"):
        opened(tiny_model_dir, thinking="on")
    config = ModelConfig(
        name="t", path=str(tiny_model_dir), thinking="off", prompt_style="completion"
    )
    with pytest.raises(ConfigError, match="prompt_style: chat"):
        LocalModel(config, str(tiny_model_dir))
    opened(tiny_model_dir, thinking="off")


def test_room_for_thoughts_is_kept_where_a_reply_begins(folder):
    llm = opened(folder, thinking_tokens=9)
    assert llm.thoughts_before(chat("Who?")) == llm.thinking_tokens > 9
    assert llm.thoughts_before(chat("Who?", "He")) == 0
    assert llm.thoughts_before(Prompt("Who?", reply_so_far="He")) == 0
    assert llm.thoughts_before(Prompt("Who?")) == llm.thinking_tokens
