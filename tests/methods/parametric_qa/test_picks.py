"""Codes that are tokens of the text: whole words that tell the most, stored as their ids."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from statistics import fmean, pstdev

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.data.corpus import Corpus
from harness.errors import ConfigError
from harness.prompts import QAPrompts
from harness.records import Passage, Query
from harness.testing.conformance import check_method
from methods.parametric_qa.by_words import in_turn
from methods.parametric_qa.memory.bank import BankConfig, MemoryBank
from methods.parametric_qa.method import ParametricQA
from methods.parametric_qa.shared.bundle import Bundle, SelectorConfig
from methods.parametric_qa.shared.open_bundle import trained_bundle
from methods.parametric_qa.shared.parts import SharedParts
from methods.parametric_qa.shared.picks import picked
from methods.parametric_qa.shared.token_ids import as_bytes, from_bytes, token_ids
from methods.parametric_qa.shared.token_kinds import shares
from methods.parametric_qa.tokens import TokenMemory
from methods.parametric_qa.train.checks import check_recipe
from methods.parametric_qa.train.features import Features
from methods.parametric_qa.train.objectives import Objectives
from methods.parametric_qa.train.recipe import Tuning
from tests.harness.programs import open_with, remember
from tests.methods.parametric_qa.lab import load_tiny, tokens
from tests.methods.parametric_qa.training_lab import FACTS, losses, recipe, run, toy_task

SLOTS = 12


@pytest.fixture(scope="module")
def tiny(tiny_model_dir):
    return load_tiny(tiny_model_dir)


@pytest.fixture
def parts(tiny):
    return SharedParts.from_model(tiny, SLOTS, 64, picks=True)


@pytest.fixture(scope="module")
def shared(tiny_model_dir, tmp_path_factory):
    """Parts trained on facts, the reader to read their words."""
    out = tmp_path_factory.mktemp("picks")
    tuning = Tuning(learning_rate=1e-2, parts=False)
    run(tiny_model_dir, toy_task(), out, slots=SLOTS, picks=True, steps=40, alone=40,
        memories=(1,), no_memory=0.0, warmup=5, tuning=tuning)  # fmt: skip
    return out


def text_of(tiny, ids):
    return tiny.tokenizer.decode([i for i in ids.tolist() if i < len(tiny.tokenizer)]).strip()


def test_whole_words_are_picked_in_their_order_and_again_where_there_is_room(tiny, parts):
    (ids,) = tokens(tiny, ["zebra Paris qqq Paris river Nile"])
    words = {word: tokens(tiny, [f" {word}"])[0] for word in ("Paris", "river", "Nile")}
    others = sum(map(len, tokens(tiny, ["zebra", " qqq"])))
    once = others + sum(map(len, words.values()))
    again = "zebra Paris qqq Paris"
    for room, text in ((0, "zebra Paris qqq river"), (len(words["Paris"]), again)):
        (found,) = picked(parts, [ids], once + room)
        assert text_of(tiny, found).startswith(text)
    for rank, word in enumerate(("Paris", "river", "Nile"), start=1):
        parts.telling[words[word]] = 10.0 * rank
    parts.config = parts.config.model_copy(update={"slots": sum(map(len, words.values()))})
    (found,) = picked(parts, [ids])
    assert text_of(tiny, found) == "Paris river Nile"
    parts.config = parts.config.model_copy(update={"slots": len(words["Nile"])})
    (found,) = picked(parts, [ids])
    assert text_of(tiny, found) == "Nile"


def test_a_short_text_leaves_places_empty_which_are_read_as_the_mean(tiny, parts):
    (ids,) = tokens(tiny, ["Paris"])
    (found,) = picked(parts, [ids])
    empty = parts.config.vocabulary
    assert found.tolist() == ids + [empty] * (SLOTS - len(ids))
    bundle = Bundle.untrained(parts, make_selection()).joined(tiny)
    memory = parts.memory(bundle.numbers(found[None, :, None].float()))[0, 1:]
    own = table(tiny)
    torch.testing.assert_close(memory[: len(ids)], own[ids], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(memory[-1], own.mean(dim=0), rtol=1e-4, atol=1e-4)


def make_selection():
    return SelectorConfig(width=16)


def test_what_answers_are_made_of_tells_more_than_what_is_as_rare(tiny):
    features = Features(tiny, [toy_task()])
    salience, telling = features.salience(), features.telling()
    (asked,), (wrote,) = tokens(tiny, [" Paris"]), tokens(tiny, [" capital"])
    assert telling[asked[0]] / salience[asked[0]] > 1.5 * telling[wrote[0]] / salience[wrote[0]]


def test_what_questions_ask_with_tells_as_much_as_a_recipe_says(tiny):
    features = Features(tiny, [toy_task()])
    none, half, whole = (features.telling(asking) for asking in (0.0, 0.5, 1.0))
    asked, wrote = map(set, tokens(tiny, [" wrote Hamlet discovered radium", " polonium Seine"]))
    torch.testing.assert_close(half - none, (whole - none) / 2)
    gained = (whole - none) / features.salience()
    assert gained[list(asked - wrote)].mean() > gained[list(wrote - asked)].mean() > 0


def test_a_share_is_a_count_and_for_rare_tokens_that_of_their_kind():
    kind = ["digit", "digit", "letter", "sign"]
    found = shares(Counter({0: 80, 1: 0, 2: 100}), Counter({0: 40}), kind, weight=20)
    assert found.tolist() == pytest.approx([0.5, 0.5, 0.0, 0.0])
    few = shares(Counter({0: 80, 1: 20, 2: 100}), Counter({0: 40, 1: 0}), kind, weight=20)
    assert few.tolist() == pytest.approx([48 / 100, 8 / 40, 0.0, 0.0])


def table(tiny):
    return tiny.model.get_input_embeddings().weight.detach().float()


@given(st.lists(st.integers(0, 2**24 - 1), min_size=1, max_size=5))
def test_ids_come_back_from_their_bytes(ids):
    values = torch.tensor(ids)[:, None]
    assert from_bytes(as_bytes(values, 3)).long().equal(values)
    assert from_bytes(as_bytes(values % 2**16, 2)).long().equal(values % 2**16)
    assert (token_ids(2**16 - 1), token_ids(2**16)) == ("tokens2", "tokens3")


@pytest.mark.parametrize(("dtype", "each"), [("tokens2", 2), ("tokens3", 3)])
def test_a_bank_of_ids_takes_their_bytes_and_no_more(tmp_path, dtype, each):
    config = BankConfig(slots=3, z_dim=1, dtype=dtype, fingerprint="x")
    bank = MemoryBank.create(tmp_path, config)
    largest = 2 ** (8 * each) - 1
    codes = torch.tensor([[0, 258, largest]])[..., None].float()
    bank.add(["a"], codes)
    assert MemoryBank.open(tmp_path).codes(["a"]).equal(codes)
    assert bank.nbytes == 3 * each == len(bank.raw("a"))


def test_what_is_picked_is_learnt_stored_found_and_read(tiny, shared):
    values = losses(shared)
    assert sum(values[-5:]) < 0.3 * sum(values[:5])
    corpus = Corpus.from_passages([Passage(f"d{n}", *FACTS[n][:2]) for n in range(4)])
    method = ParametricQA(ParametricQA.Params(shared=str(shared), max_tokens=4))
    with tiny.adapted(method.adapter):
        engine = open_with(method, tiny, None, corpus, prompts=QAPrompts(), seed=0)
        remember(method, corpus)
        found = []
        engine.run([Query("q", FACTS[2][2])], found.append)
    assert found[0].prediction.ranked[0].id == "d2"
    bundle = trained_bundle(tiny, str(shared), None)
    ids = picked(bundle.parts, tokens(tiny, [f"{FACTS[2][0]}: {FACTS[2][1]}"]))
    assert method._bank.codes(["d2"]).squeeze(-1).long().equal(ids)
    assert method.storage().parts["memory vectors"] < 4 * (2 * SLOTS + 400)
    assert method._bank.nbytes == 4 * 2 * SLOTS


@pytest.mark.parametrize("slots", [3, 2 * SLOTS])
def test_a_memory_has_as_many_tokens_as_are_asked_for(tiny, shared, slots):
    corpus = Corpus.from_passages([Passage(f"d{n}", *FACTS[n][:2]) for n in range(4)])
    params = ParametricQA.Params(shared=str(shared), size=slots, max_tokens=4)
    assert params == ParametricQA.Params(shared=str(shared), size=str(slots), max_tokens=4)
    method = ParametricQA(params)
    with tiny.adapted(method.adapter):
        engine = open_with(method, tiny, None, corpus, prompts=QAPrompts(), seed=0)
        remember(method, corpus)
        found = []
        engine.run([Query("q", FACTS[2][2])], found.append)
    assert len(found[0].prediction.read) == 1
    kept = method._bank.codes(["d2"]).squeeze(-1).long()
    text = tokens(tiny, [f"{FACTS[2][0]}: {FACTS[2][1]}"])
    assert kept.equal(picked(trained_bundle(tiny, str(shared), None).parts, text, slots))
    assert method._bank.nbytes == 4 * 2 * slots


@pytest.mark.parametrize("size", ["0", "513", "32x56x4", "-1", "\N{SUPERSCRIPT TWO}"])
def test_a_size_that_no_code_of_tokens_has_is_refused_before_the_run(tiny, shared, size):
    method = ParametricQA(ParametricQA.Params(shared=str(shared), size=size))
    with pytest.raises(ConfigError, match="give how many, 1 to 512"):
        method.check_entry(tiny.config)


def test_rows_show_the_sizes_that_a_recipe_cuts_codes_to(tiny):
    features = Features(tiny, [toy_task()])
    plan = recipe(picks=True, slots=SLOTS, cuts=(2, 5), batch=2, no_memory=0.0, memories=(1,))
    parts = SharedParts.from_model(tiny, SLOTS, 64, picks=True)
    objectives = Objectives(features, plan, Bundle.untrained(parts, make_selection()))
    read = []
    objectives.row_losses = lambda _, rows: read.extend(rows) or torch.zeros(len(rows))
    for step in range(12):
        objectives.loss(tiny.model, "answer", random.Random(step), alone=True)
    assert {len(memory) - 1 for row in read for memory in row.memories} == {2, 5}


def test_rows_of_several_memories_show_no_more_tokens_than_memory_takes(tiny, parts):
    plan = recipe(picks=True, cuts=(32, 64, 128), memories=(1, 3, 5))
    objectives = Objectives(
        Features(tiny, [toy_task()]), plan, Bundle.untrained(parts, make_selection())
    )
    shown = {
        count: {objectives._slots(count, random.Random(seed)) for seed in range(40)}
        for count in (1, 3, 5, 20)
    }
    assert shown == {1: {32, 64, 128}, 3: {32, 64}, 5: {32, 64}, 20: {32}}


def test_conformance(tiny, shared):
    """Pages are found by as much, for token-memory has them unless it is told otherwise."""
    params = {"shared": str(shared), "selection": "words+attention", "max_tokens": 4}
    check_method(TokenMemory, params, model=tiny)


def test_words_and_attention_are_weighed_as_their_comment_says(tiny, shared, tmp_path):
    passages = [Passage(f"d{n}", *FACTS[n][:2]) for n in range(4)]
    corpus = Corpus.from_passages([*passages, Passage("x", "", "zzz")])

    def scores(selection, text):
        params = TokenMemory.Params(
            shared=str(shared), selection=selection, ranked=5, pages=None, links=None
        )
        method, rows = TokenMemory(params), []
        with tiny.adapted(method.adapter):
            engine = open_with(method, tiny, None, corpus, prompts=QAPrompts(), seed=0)
            remember(method, corpus)
            engine.run([Query("q", text)], rows.append)
        return {hit.id: hit.score for hit in rows[0].prediction.ranked}

    question = "Who discovered polonium in Paris?"
    words, attention = scores("words", question), scores("attention", question)
    # The best one tells who discovered polonium: of Paris, another has to.
    left = scores("words", "Paris")
    mean, spread = fmean(attention.values()), pstdev(attention.values())
    most = max(words.values())

    def weighed(share):
        told = {
            id_: (1 - share) * words.get(id_, 0.0) + share * left.get(id_, 0.0) for id_ in attention
        }
        return {id_: told[id_] / most + 0.1 * (attention[id_] - mean) / spread for id_ in attention}

    whole, untold = weighed(0.0), weighed(0.7)
    assert max(whole, key=whole.__getitem__) == "d2" != max(left, key=left.__getitem__)
    rankings = [sorted(by, key=lambda id_: -by[id_]) for by in (whole, untold)]
    found = scores("words+attention", question)
    assert found == pytest.approx(whole, abs=1e-4)
    assert list(found) == in_turn(*rankings)


def test_two_rankings_take_turns_after_the_first_of_one():
    assert in_turn([1, 2, 3, 4, 5], [2, 6, 1, 7, 3]) == [1, 2, 3, 6, 4]
    assert in_turn([1, 2, 3], [1, 2, 3]) == [1, 2, 3]
    assert in_turn([4], [9]) == [4]


def test_memories_are_found_by_the_words_that_they_kept(tiny, shared):
    texts = ["The capital of France is Paris.", "Hamlet wrote the play.", "Rivers."]
    corpus = Corpus.from_passages([Passage(f"d{n}", "", text) for n, text in enumerate(texts)])
    params = ParametricQA.Params(shared=str(shared), selection="words", max_tokens=4)
    method = ParametricQA(params)
    with tiny.adapted(method.adapter):
        engine = open_with(method, tiny, None, corpus, prompts=QAPrompts(), seed=0)
        remember(method, corpus)
        found = []
        engine.run([Query("q", "which plays about Hamlet?"), Query("z", "zzz")], found.append)
    ranked = {each.question_id: [hit.id for hit in each.prediction.ranked] for each in found}
    assert ranked == {"q": ["d1"], "z": []}


def test_what_tokens_cannot_be_is_refused_before_the_run(tiny, shared):
    for changes, told in (
        ({"init": "random"}, "init 'random': .* tokens"),
        ({"steps": 3}, "set 0"),
    ):
        method = ParametricQA(ParametricQA.Params(shared=str(shared), **changes))
        with pytest.raises(ConfigError, match=told):
            method.check_entry(tiny.config)
    untrained = ParametricQA(ParametricQA.Params(shared=None, selection="words"))
    with pytest.raises(ConfigError, match="codes of these shared parts are no tokens"):
        untrained.check_entry(tiny.config)
    rounds = ParametricQA.Params(shared=str(shared), selection="words", hops=2)
    with pytest.raises(ConfigError, match="or by words, do so in one round; set hops: 1"):
        ParametricQA(rounds).check_entry(tiny.config)
    with pytest.raises(ConfigError, match="init encoder writes vectors"):
        check_recipe(recipe(picks=True, init="encoder"))
    with pytest.raises(ConfigError, match="cuts are of codes that are tokens; set picks: true"):
        check_recipe(recipe(cuts=(2, 3)))
    assert replace(Bundle.load(shared), codebook=None).init == "spans"
