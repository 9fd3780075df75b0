"""Selection: which memories a question reads."""

from __future__ import annotations

import pytest
import torch

from methods.parametric_qa.choose import Chooser, covered, question_tokens
from methods.parametric_qa.memory.bank import BankConfig, MemoryBank
from methods.parametric_qa.shared.bundle import Bundle, SelectorConfig
from methods.parametric_qa.shared.initial import span_codes
from methods.parametric_qa.shared.selection import TokenKeys, info_nce, make_selector
from tests.methods.parametric_qa.lab import NAMES, TEXTS, load_tiny, make_parts, tokens

pytestmark = pytest.mark.numeric

WAYS = ("cosine", "router", "attention")
QUESTIONS = ("Who wrote Hamlet?", "What did Marie Curie discover?", "Who invented the telephone?")


@pytest.fixture(scope="module")
def tiny(tiny_model_dir):
    return load_tiny(tiny_model_dir)


@pytest.fixture(scope="module")
def parts(tiny):
    return make_parts(tiny, slots=8)


def chooser(tiny, parts, folder, way="attention", names=NAMES, texts=TEXTS):
    bundle = Bundle.untrained(parts, SelectorConfig(name=way, width=64))
    config = BankConfig(slots=8, z_dim=64, fingerprint=bundle.fingerprint())
    bank = MemoryBank.create(folder / "bank", config)
    bank.add(list(names), span_codes(tiny, parts, tokens(tiny, texts)).detach())
    return Chooser(tiny, bundle, bank)


@pytest.mark.parametrize("way", WAYS)
def test_the_ranking_depends_on_the_question(tiny, parts, tmp_path, way):
    chosen = chooser(tiny, parts, tmp_path, way)
    rankings = {tuple(c.id for c in chosen.choose(question, k=5)) for question in QUESTIONS}
    assert len(rankings) > 1


@pytest.mark.parametrize("way", WAYS)
def test_a_trained_selector_still_depends_on_the_question(tiny, parts, tmp_path, way):
    # The proposal's router scores f(q) + g(d): trained or not, it ranks alike for every question.
    chosen = chooser(tiny, parts, tmp_path, way)
    with torch.no_grad():
        for weight in chosen.bundle.selector.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    rankings = {tuple(c.id for c in chosen.choose(question, k=5)) for question in QUESTIONS}
    assert len(rankings) > 1


def test_attention_finds_the_text_that_shares_rare_words(tiny, parts, tmp_path):
    chosen = chooser(tiny, parts, tmp_path)
    best = [chosen.choose(question, k=1)[0].id for question in QUESTIONS]
    assert best == ["hamlet", "curie", "telephone"]


@pytest.mark.parametrize("way", WAYS)
def test_top_k_is_the_full_sort(tiny, parts, tmp_path, way):
    chosen = chooser(tiny, parts, tmp_path, way)
    found = chosen.choose(QUESTIONS[0], k=3)
    with torch.no_grad():
        scores = chosen.bundle.selector.scores(chosen.tokens(QUESTIONS[0]), chosen.keys)
    wanted = sorted(zip(scores.tolist(), NAMES, strict=True), key=lambda pair: -pair[0])[:3]
    assert [(c.id, c.score) for c in found] == [(n, pytest.approx(s)) for s, n in wanted]


def test_keys_a_token_are_those_of_every_slot_that_has_it(parts):
    selector = make_selector("attention", parts, 64)
    dice = torch.Generator().manual_seed(0)
    codebook = torch.randn(50, 64, generator=dice)
    ids = torch.randint(0, 50, (30, 8), generator=dice)
    question = torch.randn(5, parts.config.hidden, generator=dice)
    once = TokenKeys.of(selector, ids, codebook)
    assert once.each.shape == (len(ids.unique()), 64)
    torch.testing.assert_close(
        selector.nearest(question, once), selector.nearest(question, selector.keys(codebook[ids]))
    )


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
def test_rounds_choose_k_documents_each_once(tiny, parts, tmp_path, hops):
    chosen = chooser(tiny, parts, tmp_path).choose(QUESTIONS[0], k=4, hops=hops)
    assert len({c.id for c in chosen}) == 4
    rounds = [c.hop for c in chosen]
    assert rounds == sorted(rounds)
    assert rounds[-1] <= hops


def test_a_second_round_follows_what_the_first_one_found(tiny, parts, tmp_path):
    # The question names the play; only its memory names the poet.
    texts = (
        "play Hamlet Shakespeare",
        "William Shakespeare wrote",
        "the Nile Amazon",
        "capital of France Paris",
    )
    names = ("play", "poet", "nile", "paris")
    chosen = chooser(tiny, parts, tmp_path, names=names, texts=texts)
    found = chosen.choose("Hamlet telephone", k=2, hops=2)
    assert [(c.id, c.hop) for c in found] == [("play", 1), ("poet", 2)]


def test_selection_stops_when_the_question_is_covered(tiny, parts, tmp_path):
    texts = ("capital of Paris Seine", "the Nile Amazon", "polonium and radium")
    chosen = chooser(tiny, parts, tmp_path, names=("paris", "nile", "curie"), texts=texts)
    found = chosen.choose("Paris Seine", k=3, hops=3)
    assert found[0].id == "paris"
    assert {c.hop for c in found} == {1}


def test_more_documents_asked_for_than_there_are(tiny, parts, tmp_path):
    chosen = chooser(tiny, parts, tmp_path)
    assert len(chosen.choose(QUESTIONS[0], k=50)) == len(NAMES)
    assert len(chosen.choose(QUESTIONS[0], k=50, hops=3)) == len(NAMES)


def test_an_empty_question_is_a_question(tiny, parts, tmp_path):
    assert question_tokens(tiny, "")
    assert len(chooser(tiny, parts, tmp_path).choose("", k=2)) == 2


def test_covered_tokens_are_those_with_a_near_vector():
    tokens_, memories = (
        torch.eye(4)[:2] * 5,
        torch.stack([torch.eye(4)[0] * 4, torch.eye(4)[3] * 4]),
    )
    assert covered(tokens_, memories).tolist() == [True, False]


def test_info_nce_is_the_log_of_the_golds_joint_share():
    scores, gold = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([True, False, True])
    shares = (scores * 3.0).softmax(0)
    found = info_nce(scores, gold, torch.tensor(3.0).log())
    assert found.item() == pytest.approx(-shares[gold].sum().log().item(), abs=1e-5)


def test_weights_follow_salience(tiny, parts):
    selector = make_selector("attention", parts, 64)
    table = tiny.model.get_input_embeddings().weight.detach()
    salience = torch.full((len(table),), 5.0)
    salience[:20] = 0.1
    salience[-1] = 6.0
    selector.fit_weights(table, salience)
    with torch.no_grad():
        weights = selector.weight(table).squeeze(-1)
    assert weights[:20].mean() < weights[20:].mean() - 0.5
