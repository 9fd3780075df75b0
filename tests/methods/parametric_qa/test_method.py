"""parametric-qa as a method, and its controls."""

from __future__ import annotations

from math import log

import pytest

from harness.boards.method_entry import load_method, parse_params
from harness.boards.needs import check_needs
from harness.data.corpus import Corpus
from harness.data.demonstrations import QAPrompts
from harness.errors import CapabilityError, ConfigError, InputError
from harness.files import folder_bytes
from harness.llm.requests import Reply, TokenChoice
from harness.llm.text import first_line
from harness.records import Passage, Query, Question
from harness.testing.conformance import check_method
from harness.testing.models import RuleModel
from methods.parametric_qa.apart import agreed
from methods.parametric_qa.controls import ParametricQAGold, ParametricQAShuffled
from methods.parametric_qa.method import ParametricQA
from methods.parametric_qa.shared.bundle import Bundle
from methods.parametric_qa.shared.initial import document_tokens
from tests.harness.programs import open_with, remember
from tests.methods.parametric_qa.lab import NAMES, TEXTS, load_tiny

UNTRAINED = {"shared": None, "slots": 4, "z_dim": 64, "max_tokens": 4}
QUERIES = [Query("q1", "Who wrote Hamlet?"), Query("q2", "Which river?"), Query("q3", "Who?")]


@pytest.fixture(scope="module")
def tiny(tiny_model_dir):
    return load_tiny(tiny_model_dir)


@pytest.fixture
def corpus():
    rows = zip(NAMES, TEXTS, strict=True)
    return Corpus.from_passages([Passage(name, "", text) for name, text in rows])


def written(tiny, corpus, cls=ParametricQA, *, folder=None, gold=None, **changes):
    method = cls(parse_params(cls, "parametric-qa", {**UNTRAINED, **changes}))
    engine = open_with(method, tiny, None, corpus, prompts=QAPrompts(), seed=0, gold=gold)
    remember(method, corpus, folder=folder)
    return method, engine


def answers(engine, queries=QUERIES):
    found = {}
    engine.run(queries, lambda done: found.update({done.question_id: done.prediction}))
    return found


@pytest.mark.parametrize("name", ["parametric-qa", "parametric-qa-gold", "parametric-qa-shuffled"])
def test_it_keeps_the_rules_of_a_method(tiny, name):
    check_method(load_method(name), UNTRAINED, model=tiny)


@pytest.mark.parametrize("name", ["parametric-qa-closed-book", "parametric-qa-bm25"])
def test_controls_keep_the_rules_of_a_method(name):
    check_method(load_method(name), {"shared": None})


def test_memories_are_read_in_the_place_of_text(tiny, corpus):
    _, engine = written(tiny, corpus, k=2)
    for prediction in answers(engine).values():
        assert len(prediction.ranked) == 5
        assert [hit.id for hit in prediction.ranked][:2] == prediction.read_ids
        call = next(step for step in prediction.steps if step.kind == "generate")
        assert not any(text in call.data["prompt"] for text in TEXTS)
        # Two marks and two memories of four slots come before the prompt's own tokens.
        places, prompt = "[5 vectors]" * 2, call.data["prompt"]
        assert prompt.startswith(places + "Question: ")
        own = tiny.count_tokens(prompt.removeprefix(places))
        assert call.data["prompt_tokens"] == own + 2 * (1 + 4)


def test_memories_read_apart_are_asked_one_by_one_and_agree_on_an_answer(tiny, corpus):
    _, engine = written(tiny, corpus, k=3, reading="apart")
    for prediction in answers(engine).values():
        calls = [step.data for step in prediction.steps if step.kind == "generate"]
        assert [call["prompt"].count("[5 vectors]") for call in calls] == [1, 1, 1]
        assert len(prediction.read) == 3
        assert prediction.answer in {first_line(call["reply"]) for call in calls}
    (apart,), (together,) = (
        answers(written(tiny, corpus, k=1, reading=reading)[1], QUERIES[:1]).values()
        for reading in ("apart", "together")
    )
    assert apart == together


@pytest.mark.parametrize(
    ("replies", "answer"),
    [
        ([("Nile", 0.5), ("Paris", 0.6)], "Nile"),
        ([("Nile", 0.4), ("Paris", 0.9)], "Paris"),
        ([("Paris", 0.5), ("the Nile", 0.6), ("Nile.", 0.7)], "the Nile"),
        ([("Nile", 0.5), ("Paris", 0.5)], "Nile"),
        ([("", 0.0), ("Paris", 0.1)], "Paris"),
    ],
)
def test_replies_agree_on_the_answer_that_has_most_weight_by_sureness_and_rank(replies, answer):
    made = [
        Reply(text, choices=tuple(TokenChoice("x", log(sure), {}) for _ in range(3) if sure))
        for text, sure in replies
    ]
    assert agreed(made) == answer


def test_selection_is_timed_apart_from_reading(tiny, corpus):
    _, engine = written(tiny, corpus)
    found = []
    engine.run(QUERIES, found.append)
    for answered in found:
        assert set(answered.seconds_by_kind) == {"select", "generate"}
        assert 0 < answered.seconds_by_kind["select"] < answered.seconds


def test_gold_selection_reads_gold_and_says_that_it_is_an_oracle(tiny, corpus):
    gold = {q.id: Question(q.id, q.text, ("x",), ("paris", "nile")) for q in QUERIES}
    method, engine = written(tiny, corpus, ParametricQAGold, gold=gold)
    assert method.card.oracle
    assert {p.ranked_ids[0] for p in answers(engine).values()} == {"paris"}


def test_gold_selection_reads_every_gold_memory_unless_told_otherwise(tiny, corpus):
    golds = {"q1": ("paris", "nile", "hamlet"), "q2": ("curie",), "q3": ()}
    gold = {q.id: Question(q.id, q.text, ("x",), golds[q.id]) for q in QUERIES}
    found = answers(written(tiny, corpus, ParametricQAGold, gold=gold)[1])
    assert {id_: tuple(p.read_ids) for id_, p in found.items()} == golds
    prompts = {id_: p.steps[-1].data["prompt"] for id_, p in found.items()}
    assert {id_: text.count("[5 vectors]") for id_, text in prompts.items()} == {
        id_: len(ids) for id_, ids in golds.items()
    }
    first = answers(written(tiny, corpus, ParametricQAGold, gold=gold, k=1)[1])
    assert first["q1"].read_ids == ["paris"]


def test_shuffled_memories_are_none_of_the_selected(tiny, corpus):
    _, engine = written(tiny, corpus, ParametricQAShuffled, k=2, ranked=2)
    for prediction in answers(engine).values():
        note = next(step for step in prediction.steps if step.kind == "select").data
        assert len(note["memories_read"]) == 2
        assert prediction.read_ids == note["memories_read"]
        assert not set(note["memories_read"]) & set(note["retrieved_ids"])


def test_storage_is_the_banks_files_and_apart_from_them_what_is_shared(tiny, corpus, tmp_path):
    method, _ = written(tiny, corpus, folder=tmp_path, code_dtype="int8")
    parts = method.storage().parts
    assert parts["memory vectors"] == folder_bytes(tmp_path / "bank")
    codes = len(corpus) * 4 * (64 + 2)
    ids = sum(map(len, corpus.ids))
    assert codes + ids < parts["memory vectors"] < codes + ids + 1000
    assert parts["shared parameters"] > 0
    assert "text" not in parts


def test_a_saved_memory_is_refused_by_another_model(tiny, corpus, tiny_model_dir, tmp_path):
    method, _ = written(tiny, corpus, folder=tmp_path)
    other = load_tiny(tiny_model_dir)
    other.model.requires_grad_(False)
    next(iter(other.model.parameters())).add_(0.1)
    again = ParametricQA(method.params)
    open_with(again, other, None, corpus, prompts=QAPrompts(), seed=0)
    with pytest.raises(ConfigError, match="train shared parts for this one"):
        again.load(tmp_path)


def test_an_empty_passage_is_named(tiny):
    void = Passage("void", "", " ")
    with pytest.raises(InputError, match="'void' is empty"):
        written(tiny, Corpus.from_passages([Passage("full", "", "text"), void]))
    # A document that is changed or added alone comes from no corpus.
    with pytest.raises(InputError, match="'void' is empty, so there is nothing to remember"):
        document_tokens(tiny, void)


def test_a_passage_beyond_the_window_is_named_when_it_is_to_be_optimised(tiny):
    corpus = Corpus.from_passages([Passage("long", "", "Paris " * 3000)])
    with pytest.raises(InputError, match="'long'"):
        written(tiny, corpus, steps=1)


def test_shape_is_for_untrained_parts_alone():
    with pytest.raises(ConfigError, match="set shared to null"):
        parse_params(ParametricQA, "parametric-qa", {"shared": "x", "slots": 4})


def test_unknown_shared_parts_are_named(tmp_path):
    method = ParametricQA(ParametricQA.Params(shared="nowhere"))
    with pytest.raises(InputError, match="no shared parts 'nowhere'"):
        _ = method.adapter
    with pytest.raises(InputError, match=r"holds no shared.json"):
        _ = ParametricQA(ParametricQA.Params(shared=str(tmp_path))).adapter


def test_a_model_without_soft_prompts_is_refused_before_any_work():
    with pytest.raises(CapabilityError, match="soft-prompts"):
        check_needs("parametric-qa", ParametricQA(ParametricQA.Params(**UNTRAINED)), RuleModel())


def test_trained_parts_round_trip(tiny, corpus, tmp_path):
    method, _ = written(tiny, corpus)
    method._bundle.save(tmp_path)
    again = Bundle.load(tmp_path)
    assert again.fingerprint() == method._bundle.fingerprint()
    assert again.bytes > 0
