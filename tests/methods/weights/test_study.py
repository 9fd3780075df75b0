"""Study: questions by rule, permuted facts, rows and batches; all fixed by the seed."""

from __future__ import annotations

import pytest

from harness.errors import ConfigError
from harness.records import Passage
from harness.sentences import split_sentences
from methods.lora_in_weights.method import LoraInWeights
from methods.memory_layer.method import MemoryLayerMethod
from methods.prag.method import PRAG
from methods.study import lora, passing
from methods.study.made import entities, prompts_for
from methods.study.questions import Asked, permuted, questions_of, spans_of
from methods.study.rows import alike, batches, question_rows, text_rows
from methods.study.training import losses_by_reading
from tests.methods.weights.lab import PASSAGES, load

VELL, OSTER = PASSAGES


def texts(sentence: str) -> list[tuple[str, str]]:
    return [(sentence[s.start : s.end], s.kind) for s in spans_of(sentence)]


def named(passages) -> list[tuple[str, str]]:
    return sorted(each for p in passages for s in split_sentences(p.text) for each in texts(s))


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        (VELL.text, [("Vell", "name"), ("Mara Quint", "name"), ("1821", "date")]),
        ("It has 12,400 inhabitants.", [("12,400", "number")]),
        ("The war of July 4, 1776 was long.", [("July 4, 1776", "date")]),
        ("In the pages 10-21 nothing is said.", []),
        ("J. K. Rowling wrote it with nobody.", [("J. K. Rowling", "name")]),
        ("After a while the rain ended.", []),
    ],
)
def test_names_dates_and_numbers_are_found(sentence, found):
    assert texts(sentence) == found


def test_questions_ask_for_what_a_sentence_says_in_words_near_the_answer():
    asked = questions_of(VELL, 200)
    said = {(each.question.rstrip("?"), each.answer) for each in asked}
    assert said > {
        ("the lighthouse of vell was built by who in 1821", "Mara Quint"),
        ("who the lighthouse of vell was built by in", "Mara Quint"),
        ("what year of vell was built by mara quint in", "1821"),
    }
    assert Asked("what is a port on the river ilm", "Oster") in questions_of(OSTER, 100)
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize("seed", range(3))
def test_a_question_never_has_more_words_than_people_use(seed):
    text = "Mara Quint (born 1801) said: " + "some more words of hers, " * 20 + "then left Vell."
    for each in questions_of(Passage("d", "Quint", text), 200, seed):
        assert len(each.question.split()) <= 2 + 12 + 1
        assert not set(each.question) & set("():;")


def test_questions_follow_from_the_seed_and_each_answer_comes_before_any_comes_again():
    first = questions_of(OSTER, 100)
    assert questions_of(OSTER, 100) == first != questions_of(OSTER, 100, seed=1)
    assert questions_of(OSTER, 3) == first[:3]
    assert {each.answer for each in first[:4]} == {each.answer for each in first}


def test_permuted_facts_are_those_of_other_passages():
    changed = permuted(PASSAGES, 0)
    assert [p.id for p in changed] == ["d1", "d2"]
    assert [p.title for p in changed] == ["Oster", "Vell"]
    assert "Mara Quint" not in changed[0].text
    assert named(changed) == named(PASSAGES)
    assert named(changed[:1]) != named(PASSAGES[:1])
    assert permuted([Passage("d", "", "no facts here")], 0)[0].text == "no facts here"


def test_what_is_learnt_of_a_question_is_its_answer_and_end(completion_model_dir, tiny_model_dir):
    asked = [Asked("who was it?", "Mara Quint")]
    for folder, end in ((completion_model_dir, "\n"), (tiny_model_dir, "<|im_end|>")):
        llm = load(folder)
        (row,) = question_rows(llm, asked)
        assert llm.tokenizer.decode(row.target).strip(" ") == f"Mara Quint{end}"
        assert llm.tokenizer.decode(row.parts[0]).count("who was it?") == 1


def test_a_text_is_learnt_whole_in_pieces(completion_model_dir):
    llm = load(completion_model_dir)
    rows = text_rows(llm, [Passage("d", "Long", "word " * 400)])
    ids = [token for row in rows for token in (*row.parts[0], *row.target)]
    assert len(rows) > 1
    assert llm.tokenizer.decode(ids, skip_special_tokens=True) == "Long\n" + "word " * 400


def test_every_row_comes_once_before_any_comes_again(completion_model_dir):
    rows = question_rows(load(completion_model_dir), questions_of(VELL, 5))
    chosen = [[id(row) for row in batch] for batch in batches(rows, 2, 8, seed=0)]
    assert len(chosen) == 8
    for first in (0, 3):
        assert sorted(map(len, chosen[first : first + 3])) == [1, 2, 2]
        assert {row for batch in chosen[first : first + 3] for row in batch} == set(map(id, rows))
    assert chosen == [[id(row) for row in batch] for batch in batches(rows, 2, 8, seed=0)]
    assert chosen != [[id(row) for row in batch] for batch in batches(rows, 2, 8, seed=1)]


def test_rows_of_similar_length_are_read_together_with_the_losses_of_all_at_once(
    completion_model_dir,
):
    llm = load(completion_model_dir)
    long = Passage("d", "Long", " ".join([VELL.text] * 3))
    rows = [*text_rows(llm, [long, OSTER]), *question_rows(llm, questions_of(VELL, 6))]
    groups = alike(rows)
    assert sorted(map(id, rows)) == sorted(id(row) for group in groups for row in group)
    assert len(groups) > 1
    for group in groups:
        assert max(row.length for row in group) <= 2 * min(row.length for row in group)
    whole = dict(zip(map(id, rows), losses_by_reading(llm.model, rows).tolist(), strict=True))
    for group in groups:
        found = losses_by_reading(llm.model, group).tolist()
        assert found == pytest.approx([whole[id(row)] for row in group], abs=1e-4)


def test_the_model_is_asked_for_pairs_of_entities_or_in_several_ways():
    assert entities(OSTER) == ["Oster", "Ilm"]
    assert [p.ask for p in prompts_for("entity-pairs", VELL, 9)] == [
        "Explain how Vell and Mara Quint are related."
    ]
    assert len(prompts_for("active-reading", VELL, 4)) == 4
    assert len({p.ask for p in prompts_for("self-edits", VELL, 9)}) == 3


def test_a_model_without_the_layers_is_refused_before_anything_is_written(
    completion_model_dir, monkeypatch
):
    llm = load(completion_model_dir)
    methods = [cls(cls.Params(layers="mlp")) for cls in (LoraInWeights, PRAG)]
    methods += [MemoryLayerMethod()]
    for method in methods:
        method.check_model(llm)
    for module in (lora, passing):
        monkeypatch.setattr(module, "MLP", frozenset({"another"}))
    for method in methods:
        with pytest.raises(ConfigError, match="has no layer"):
            method.check_model(llm)
    LoraInWeights(LoraInWeights.Params(layers="all")).check_model(llm)
