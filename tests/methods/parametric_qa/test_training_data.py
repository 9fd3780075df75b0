"""Training features shares nothing with what is evaluated."""

from __future__ import annotations

import pytest

from harness.boards.task_entry import TaskSource
from harness.data.corpus import Corpus
from harness.errors import InputError
from harness.records import Passage, Question
from methods.parametric_qa.train.training_data import (
    golden_answer,
    read_training_task,
    training_task,
)
from tests.harness.lab import write_lines


def passages(*ids):
    return Corpus.from_passages([Passage(id_, "Title", f"text of {id_}") for id_ in ids])


def question(id_, *gold):
    return Question(id_, f"what is {id_}?", (f"answer {id_}",), gold)


def test_what_an_evaluated_question_needs_is_left_out():
    corpus = passages("a", "b", "c", "d")
    train = [question("t1", "a"), question("t2", "b"), question("t3", "c"), question("e1", "d")]
    task = training_task("toy", corpus, [question("e1", "a")], train)
    assert {q.id for q in (*task.train, *task.validation)} == {"t2", "t3"}
    assert "a" not in task.free


def test_gold_of_validation_questions_is_neither_free_nor_trained_on():
    ids = [f"p{n}" for n in range(200)]
    train = [question(f"t{n}", f"p{n}", f"p{(n + 1) % 200}") for n in range(200)]
    task = training_task("toy", passages(*ids), [], train)
    held = {gold for q in task.validation for gold in q.gold_doc_ids}
    assert task.validation and task.train
    assert not held & set(task.free)
    assert not held & {gold for q in task.train for gold in q.gold_doc_ids}


def test_questions_without_gold_documents_teach_nothing():
    task = training_task("toy", passages("a"), [], [question("t1")])
    assert not task.train and not task.validation


@pytest.mark.parametrize("name", ["nq", "triviaqa", "hotpotqa", "musique"])
def test_read_training_tasks_lend_nothing_that_their_questions_need(name):
    from harness.data.questions import read_questions
    from harness.registry import task_folder

    evaluated = read_questions(task_folder(name) / "sample" / "questions.jsonl")
    task = read_training_task(TaskSource(name=name))
    needed = {gold for q in evaluated for gold in q.gold_doc_ids}
    assert not needed & set(task.free)
    for q in (*task.train, *task.validation):
        assert not needed & set(q.gold_doc_ids)
        assert q.id not in {e.id for e in evaluated}
    assert len(task.train) > 50


def test_the_taught_answer_is_the_one_in_the_gold_passage():
    corpus = Corpus.from_passages([Passage("p", "Hamlet", "a play by Shakespeare")])
    asked = Question("q", "who?", ("the bard", "Shakespeare"), ("p",))
    assert golden_answer(corpus, asked) == "Shakespeare"


def test_train_questions_that_all_lack_gold_are_refused_with_the_field_to_give(tmp_path):
    rows = [{"id": "t1", "question": "what?", "golden_answers": ["a"], "metadata": {"gold": ["a"]}}]
    train = write_lines(tmp_path / "train.jsonl", rows)
    corpus = write_lines(tmp_path / "corpus.jsonl", [{"id": "a", "contents": "Title\ntext"}])
    source = TaskSource.model_validate(
        {"name": "mine", "files": {"train": str(train), "corpus": str(corpus)}}
    )
    with pytest.raises(InputError, match=r"train.jsonl: none of its 1 questions .*gold_doc_ids"):
        read_training_task(source)
