from __future__ import annotations

from dataclasses import replace

import pytest

from harness.data.card import Task
from harness.data.demonstrations import qa_prompts
from harness.data.task import load_task
from harness.errors import InputError
from harness.prompts import demonstration
from harness.records import Question
from harness.registry import task_folder
from harness.testing.models import small_task


def reply(golds: tuple[str, ...], *texts: str) -> str:
    return demonstration(Question("q", "What?", golds), list(texts)).reply


def test_the_alias_of_the_gold_passage_is_shown():
    # TriviaQA's alias lists begin with any form.
    golds = ("Sunset Bvd. (film)", "Sunset Blvd", "Sunset Boulevard")
    assert reply(golds, "He starred in Sunset Boulevard.") == "Sunset Boulevard"


def test_whole_words_come_before_any_case_before_the_shortest():
    assert reply(("US", "America"), "USED in America") == "America"
    assert reply(("Garrot", "Garrote"), "the garrote was used") == "Garrote"
    assert reply(("Blood unit", "Transfuse"), "nothing of the kind") == "Transfuse"


@pytest.mark.parametrize("answer", ["U.S.", "$5", "C++", "(yes)", "a|b", "\u6771\u4eac"])
def test_signs_in_answers_are_taken_literally(answer):
    assert reply(("x", answer), f"It was {answer} at the time.") == answer


def test_several_gold_passages_all_count():
    assert reply(("one", "two"), "nothing", "two of them") == "two"


def test_the_seed_alone_chooses():
    data = load_task(Task.from_folder(task_folder("triviaqa")))
    first = qa_prompts(data, 4, seed=0)
    assert len(first.demonstrations) == 4
    assert qa_prompts(data, 4, seed=0) == first
    assert qa_prompts(replace(data, questions=data.questions[:3]), 4, seed=0) == first
    assert qa_prompts(data, 4, seed=1) != first


def test_too_few_train_questions_say_what_to_do():
    with pytest.raises(InputError, match=r"9 demonstrations wanted, 8 train .* --train FILE or -p"):
        qa_prompts(small_task(), 9, seed=0)


def test_no_shots_need_no_train_questions():
    assert qa_prompts(replace(small_task(), train=()), 0, seed=0).demonstrations == ()
