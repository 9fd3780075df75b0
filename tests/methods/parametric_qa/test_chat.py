"""Memories of a chat model stand inside the user's turn, in writing, training and reading alike."""

from __future__ import annotations

import json

import pytest
import torch

from harness.boards.method_entry import parse_params
from harness.data.corpus import Corpus
from harness.data.demonstrations import QAPrompts
from harness.errors import ConfigError
from harness.prompts import SOFT, Message
from harness.records import Passage, Question
from harness.testing.conformance import check_method
from methods.parametric_qa.controls import (
    ParametricQABM25,
    ParametricQAClosedBook,
    ParametricQAGold,
)
from methods.parametric_qa.method import ParametricQA
from methods.parametric_qa.prompts import reading_prompt
from methods.parametric_qa.train import training
from methods.parametric_qa.train.recipe import Tuning
from methods.parametric_qa.train.training_data import training_task
from methods.parametric_qa.write.writing import WriteSettings, optimise
from tests.harness.programs import open_with, remember
from tests.methods.parametric_qa.lab import load_tiny, losses, make_parts, quiet, tokens
from tests.methods.parametric_qa.training_lab import recipe
from tests.tiny_checkpoints import build_tiny_llama_chat

ASK = "Who is it about?"
PEOPLE = ("Shakespeare", "Marie Curie", "Graham Bell", "Pierre")
UNTRAINED = {"shared": None, "slots": 4, "z_dim": 64, "max_tokens": 4}
SHORTLY = "Answer the question with a short phrase, a name, a date or yes/no."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_tiny_llama_chat(tmp_path_factory.mktemp("llama-chat"))


def load_chat(folder):
    llm = load_tiny(folder)
    llm.prompt_style = "chat"
    return llm


@pytest.fixture
def llm(folder):
    return load_chat(folder)


@pytest.fixture(scope="module")
def corpus():
    texts = [f"The play about {name}, a name the Nile passed." for name in PEOPLE]
    return Corpus.from_passages([Passage(f"d{n}", "", text) for n, text in enumerate(texts)])


@pytest.fixture(scope="module")
def questions():
    # Ids that fall on the side of training: questions of one text are kept together there.
    ids = ("q0", "q1", "q3", "q4")
    return [Question(ids[n], ASK, (name,), (f"d{n}",)) for n, name in enumerate(PEOPLE)]


def answers(cls, llm, corpus, questions, **params):
    method = cls(parse_params(cls, "parametric-qa", params))
    gold = {question.id: question for question in questions}
    with llm.adapted(method.adapter):
        engine = open_with(method, llm, None, corpus, prompts=QAPrompts(), seed=0, gold=gold)
        if cls is not ParametricQAClosedBook:
            remember(method, corpus)
        found = {}
        engine.run([q.query for q in questions], lambda a: found.update({a.question_id: a}))
    return {key: done.prediction for key, done in found.items()}


def test_the_users_turn_holds_instruction_memories_and_question():
    (turn,) = reading_prompt("Who?", 2).render("chat")
    assert turn == Message(
        "user",
        f"{SHORTLY} The memories may hold the answer.\n\n"
        f"Memory 1:{SOFT}Memory 2:{SOFT}Question: Who?",
    )
    assert reading_prompt("Who?", 0).render("chat") == (
        Message("user", f"{SHORTLY}\n\nQuestion: Who?"),
    )


def test_a_completion_begins_with_its_memories_as_the_shipped_reader_was_trained():
    assert reading_prompt("Who?", 2).render("completion") == f"{SOFT}{SOFT}Question: Who?\nAnswer:"
    assert reading_prompt("Who?", 0).render("completion") == "Question: Who?\nAnswer:"


def test_a_question_cannot_bring_places_of_its_own(llm, corpus):
    asked = [Question("q", f"Who{SOFT}?", ("x",), ("d0",))]
    for cls, params in ((ParametricQA, UNTRAINED), (ParametricQAClosedBook, {"shared": None})):
        (found,) = answers(cls, llm, corpus, asked, **params).values()
        assert found.error is None
        assert "Question: Who?" in found.steps[-1].data["prompt"]


def test_it_keeps_the_rules_of_a_method_with_a_chat_model(llm):
    check_method(ParametricQA, UNTRAINED, model=llm)


def test_what_reaches_the_model_is_the_turn_with_the_memories_in_it(llm, corpus, questions):
    seen = []
    hook = llm.model.register_forward_pre_hook(
        lambda _, args, given: seen.append(given.get("inputs_embeds")), with_kwargs=True
    )
    cls = ParametricQA
    method = cls(parse_params(cls, "parametric-qa", UNTRAINED | {"k": 2, "max_tokens": 1}))
    engine = open_with(method, llm, None, corpus, prompts=QAPrompts(), seed=0)
    remember(method, corpus)
    seen.clear()
    found = []
    engine.run([questions[0].query], found.append)
    hook.remove()
    best, second = found[0].prediction.read_ids
    z = method._bundle.parts.memory(method._bank.codes([second, best]))
    embed = llm.model.get_input_embeddings()

    def read(text):
        ids = llm.tokenizer(text, add_special_tokens=False)["input_ids"]
        return embed(torch.tensor(ids))

    expected = torch.cat(
        [
            read(
                "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n"
                f"{SHORTLY} The memories may hold the answer.\n\nMemory 1:"
            ),
            z[0],
            read("Memory 2:"),
            z[1],
            read(f"Question: {ASK}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"),
        ]
    )
    assert torch.equal(seen[0], expected.unsqueeze(0))
    step = found[0].prediction.steps[-1].data
    assert step["prompt_tokens"] == len(expected)
    assert "Memory 1:[5 vectors]Memory 2:[5 vectors]Question: Who" in step["prompt"]


def test_vectors_take_their_place_in_the_window(llm, corpus, questions):
    tokens_ = llm.count_tokens(reading_prompt(ASK, 3).render("chat"))
    llm.window = tokens_ + 3 * 5 + 4
    found = answers(ParametricQA, llm, corpus, questions[:1], **UNTRAINED, k=3)["q0"]
    assert found.error is None
    assert found.usage.prompt_tokens == tokens_ + 3 * 5
    llm.window -= 1
    error = answers(ParametricQA, llm, corpus, questions[:1], **UNTRAINED, k=3)["q0"].error
    assert error.startswith("PromptTooLongError")
    assert "beside 15 vectors of memories and 4 new ones" in error


def test_writing_reads_the_text_out_of_a_memory_in_the_users_turn(llm):
    parts, documents = make_parts(llm), tokens(llm)
    codes = torch.zeros(len(documents), 4, 64)
    written = optimise(llm, parts, documents, codes, WriteSettings(steps=30), console=quiet())
    before, after = (losses(llm, parts, documents, c) for c in (codes, written.codes))
    assert [report.after for report in written.reports] == pytest.approx(after, abs=1e-3)
    assert all(b > a + 0.5 for b, a in zip(before, after, strict=True))


@pytest.fixture(scope="module")
def task(corpus, questions):
    return training_task("toy", corpus, [], questions)


@pytest.fixture(scope="module")
def trained(folder, task, tmp_path_factory):
    """Shared parts taught which text is about whom; the question is the same for all."""
    out = tmp_path_factory.mktemp("trained")
    wanted = recipe(
        steps=80, alone=80, memories=(1,), no_memory=0.0, unforced=0.0, warmup=5,
        learning_rate=1e-2, tuning=Tuning(learning_rate=1e-2), validate_every=80,
    )  # fmt: skip
    training.train(wanted, load_chat(folder), [task], out, quiet())
    return out


def test_a_trained_chat_reader_reads_what_it_was_taught(folder, corpus, task, trained):
    taught = task.train
    assert len(taught) == 4
    found = answers(ParametricQAGold, load_chat(folder), corpus, taught, shared=str(trained))
    assert [found[q.id].answer for q in taught] == [q.golden_answers[0] for q in taught]
    # All were asked the same: the memories alone tell the answers apart.
    assert len({found[q.id].steps[-1].data["prompt"] for q in taught}) == 1


def test_parts_of_one_style_are_refused_in_the_other(folder, trained, tmp_path):
    method = ParametricQA(ParametricQA.Params(shared=str(trained)))
    method.check_model(load_chat(folder))
    with pytest.raises(ConfigError, match="trained on chat prompts, .* set prompt_style: chat"):
        method.check_model(load_tiny(folder))
    values = json.loads((trained / "shared.json").read_text())
    assert values.pop("prompt_style") == "chat"
    (tmp_path / "shared.json").write_text(json.dumps(values))
    for name in ("shared.safetensors", "selector.safetensors"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    for cls in (ParametricQA, ParametricQAClosedBook, ParametricQABM25):
        older = cls(cls.Params(shared=str(tmp_path)))
        older.check_model(load_tiny(folder))
        with pytest.raises(ConfigError, match="trained on completion prompts"):
            older.check_model(load_chat(folder))
