"""What training shows the model is what the engine sends when it is used, in either style."""

from __future__ import annotations

import random

import pytest
import torch

from harness.data.corpus import Corpus
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.prefix import NO_PREFIX
from harness.llm.read_before import left_to_read
from harness.llm.requests import GenerateRequest
from harness.records import Passage, Question
from methods.parametric_qa.prompts import FOLLOW, RECALL, reading_prompt, recall_prompt
from methods.parametric_qa.shared.bundle import Bundle, SelectorConfig
from methods.parametric_qa.train.features import Features
from methods.parametric_qa.train.objectives import Asked, Objectives
from methods.parametric_qa.train.recipe import Recipe
from methods.parametric_qa.train.training_data import training_task
from methods.parametric_qa.write.sequences import Row, pack
from tests.methods.parametric_qa.lab import load_tiny, make_parts
from tests.tokenizers import build_spaced

QUESTION = Question("q", "Who wrote Hamlet?", ("William Shakespeare",), ("hamlet",))


@pytest.fixture(params=["completion", "chat"])
def llm(request, tiny_model_dir) -> LocalModel:
    found = load_tiny(tiny_model_dir)
    found.prompt_style = request.param
    return found


@pytest.fixture
def objectives(llm) -> Objectives:
    corpus = Corpus.from_passages(
        [
            Passage("hamlet", "Hamlet", "William Shakespeare wrote Hamlet around the year 1600."),
            Passage("nile", "Nile", "The Nile or the Amazon, yes or no."),
        ]
    )
    task = training_task("toy", corpus, [], [QUESTION])
    recipe = Recipe(name="r", model="tiny", tasks=("toy",), slots=4, z_dim=64, steps=1)
    bundle = Bundle.untrained(make_parts(llm), SelectorConfig(width=16))
    return Objectives(Features(llm, [task]), recipe, bundle)


@pytest.mark.parametrize("passages", [("hamlet",), ("nile", "hamlet"), ()])
def test_a_training_row_is_what_the_engine_sends(llm, objectives, passages):
    row = objectives.answer_rows(llm.model, [Asked("toy", QUESTION, passages)])[0]
    prompt = reading_prompt(QUESTION.text, len(passages)).render(llm.prompt_style)
    request = GenerateRequest(prompt, soft_prompts=row.memories)
    assert len(row.memories) == len(passages)
    sent = left_to_read(llm.runtime, [llm.encode(prompt)], [request], [NO_PREFIX])[0]
    read = pack(llm.model, [row]).inputs[0]
    before = len(read) - len(row.target)
    vectors = sent if sent.is_floating_point() else llm.model.get_input_embeddings()(sent)
    assert torch.equal(read[:before], vectors)


def test_tasks_own_questions_are_asked_as_often_as_a_recipe_says(tiny_model_dir):
    llm = load_tiny(tiny_model_dir)
    corpus = Corpus.from_passages([Passage(f"d{n}", "", f"Fact {n}.") for n in range(90)])
    asked = {
        name: [Question(f"{name}{n}", f"{n}?", ("yes",), (f"d{n}",)) for n in range(rows)]
        for name, rows in (("own", 10), ("rows", 90))
    }
    tasks = [training_task(name, corpus, [], questions) for name, questions in asked.items()]
    features = Features(llm, tasks, sources=("rows",))
    shares = {}
    for own in (None, 0.5, 1.0):
        plan = Recipe(name="r", model="tiny", tasks=("own",), slots=4, z_dim=64, steps=1, own=own)
        bundle = Bundle.untrained(make_parts(llm), SelectorConfig(width=16))
        objectives, source = Objectives(features, plan, bundle), random.Random(0)
        drawn = [objectives._question(source)[0] for _ in range(1000)]
        shares[own] = drawn.count("own") / len(drawn)
    of_all = len(features.own) / len(features.train)
    assert shares[None] == pytest.approx(of_all, abs=0.05)
    assert shares[0.5] == pytest.approx(0.5 + 0.5 * of_all, abs=0.05)
    assert shares[1.0] == 1


def test_a_reply_ends_as_the_style_has_it(llm, objectives):
    target = objectives.answer_rows(llm.model, [Asked("toy", QUESTION, ())])[0].target
    if llm.prompt_style == "chat":
        assert target[-1] == llm.tokenizer.eos_token_id
        assert llm.tokenizer.decode(target[:-1]) == "William Shakespeare"
    else:
        assert llm.tokenizer.decode(target) == " William Shakespeare\n"


def test_a_reply_has_no_token_that_nobody_writes(tmp_path):
    """A tokenizer that puts a space before every text would begin each target with one."""
    config = ModelConfig(name="tiny", path=str(tmp_path), prompt_style="completion")
    llm = LocalModel(config, str(build_spaced(tmp_path)))
    corpus = Corpus.from_passages([Passage("a", "A", "yes")])
    features = Features(llm, [training_task("toy", corpus, [], [QUESTION])])
    recipe = Recipe(name="r", model="tiny", tasks=("toy",), slots=4, z_dim=64, steps=1)
    bundle = Bundle.untrained(make_parts(llm), SelectorConfig(width=16))
    objectives = Objectives(features, recipe, bundle)
    (row,) = objectives.answer_rows(llm.model, [Asked("toy", QUESTION, ())])
    prompt = reading_prompt(QUESTION.text, 0).render("completion")
    whole = llm.encode(f"{prompt} William Shakespeare\n")
    assert [*row.parts[0], *row.target] == whole


def test_the_start_token_stands_before_a_memory_and_only_once(tiny_model_dir):
    llm = load_tiny(tiny_model_dir)
    memory = torch.randn(3, 64)
    assert llm.begins == (llm.tokenizer.bos_token_id,)
    assert llm.parts(recall_prompt()) == [list(llm.begins), []]
    row = Row(llm.parts(recall_prompt()), [memory], [9])
    embed = llm.model.get_input_embeddings()
    expected = torch.cat([embed(torch.tensor(llm.begins)), memory, embed(torch.tensor([9]))])
    assert torch.equal(pack(llm.model, [row]).inputs[0], expected)


@pytest.mark.parametrize(("kind", "said"), [("reconstruct", RECALL), ("follow", FOLLOW)])
def test_a_text_is_recalled_from_a_memory_in_the_users_turn(llm, objectives, kind, said):
    row = objectives._document_rows(llm.model, kind, random.Random(0))[0]
    before, after = map(llm.tokenizer.decode, row.parts)
    if llm.prompt_style == "chat":
        assert before == f"<|im_start|>user\n{said}\n\nMemory 1:"
        assert after == "<|im_end|>\n<|im_start|>assistant\n"
    else:
        assert (before, after) == ("<s>", "")
    assert row.target[-1] == llm.tokenizer.eos_token_id
