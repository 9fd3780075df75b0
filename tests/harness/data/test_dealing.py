"""Dealt pools: each question once in a pool with its gold and others, the same for everybody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.card import custom_task
from harness.data.corpus import Corpus
from harness.data.dealing import deal
from harness.data.questions import questions_fingerprint
from harness.data.task import TaskData, load_task
from harness.errors import InputError
from harness.records import Passage, Question
from harness.runs.task_config import task_config
from tests.harness.lab import write_task

PASSAGES = [Passage(f"p{i}", f"Title {i}", f"word{i} shared") for i in range(60)]
CORPUS = Corpus.from_passages(PASSAGES)


def asking(gold: list[tuple[int, ...]]) -> TaskData:
    """Questions with these places as gold over 60 passages."""
    asked = tuple(
        Question(f"q{n}", "?", ("x",), tuple(f"p{place}" for place in places))
        for n, places in enumerate(gold)
    )
    fingerprint = questions_fingerprint(asked)
    return TaskData(
        "toy", "custom", asked, (), CORPUS, fingerprint, "", CORPUS.fingerprint,
        custom_task("toy").card, {}, whole=CORPUS,
    )  # fmt: skip


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., TaskData]:
    """24 questions with a gold passage each, 30 passages, 6 train questions on the last six."""
    files = write_task(tmp_path / "files")
    paths: dict[str, Any] = {k: files / f"{k}.jsonl" for k in ("questions", "corpus", "train")}
    return lambda **options: load_task(custom_task("toy"), **paths, **options)


GOLD = st.lists(st.lists(st.integers(0, 19), max_size=3).map(tuple), min_size=1, max_size=20)


@given(GOLD, st.integers(6, 30))
@settings(max_examples=15, deadline=None)
def test_each_question_is_asked_once_where_its_gold_is_and_no_pool_has_gold_of_others(
    gold: list[tuple[int, ...]], size: int
) -> None:
    data = asking(gold)
    pools = deal(data, size)
    asked = [question for pool in pools for question in pool.questions]
    assert sorted(q.id for q in asked) == sorted(q.id for q in data.questions)
    all_gold = {id_ for question in data.questions for id_ in question.gold_doc_ids}
    for pool in pools:
        mine = {id_ for question in pool.questions for id_ in question.gold_doc_ids}
        held = set(pool.corpus.ids)
        assert (len(held), pool.corpus_fingerprint) == (size, pool.corpus.fingerprint)
        assert held & all_gold == mine
        assert pool.questions_fingerprint == questions_fingerprint(pool.questions)
    numbers = [len(pool.questions) for pool in pools]
    assert max(numbers) - min(numbers) <= 1
    if sum(numbers) and sum(size - len(set(p.corpus.ids) & all_gold) for p in pools) <= 40:
        others = Counter(id_ for p in pools for id_ in p.corpus.ids if id_ not in all_gold)
        assert max(others.values(), default=1) == 1


def test_more_pools_are_dealt_only_where_the_gold_needs_them(load: Callable[..., TaskData]) -> None:
    whole, cut = load(limit=10), load(limit=10, documents=20)
    assert [len(deal(whole, size)) for size in (4, 10, 20, 30)] == [3, 1, 1, 1]
    (one,) = deal(whole, 20)
    # Of one pool the runs are those of a plain sub-pool.
    assert task_config(one) == task_config(cut)
    assert "dealt" not in task_config(one).written()
    assert deal(whole, 30) == [whole]


def test_a_pool_says_which_it_is_and_shares_train_questions_and_demonstrations(
    load: Callable[..., TaskData],
) -> None:
    whole = load(limit=10)
    configs = [task_config(pool) for pool in deal(whole, 4)]
    told = [config.dealt for config in configs]
    assert [dealt and (dealt.number, dealt.pools) for dealt in told] == [
        (n, 3) for n in range(1, 4)
    ]
    assert {dealt and dealt.questions_fingerprint for dealt in told} == {
        whole.questions_fingerprint
    }
    assert {config.train_fingerprint for config in configs} == {whole.train_fingerprint}
    assert {config.limit for config in configs} == {10}
    assert len({config.questions_fingerprint for config in configs}) == 3
    # What a pool's memory is of does not depend on how many pools there are.
    alone = replace(deal(whole, 4)[2], dealt=None)
    assert configs[2].without_questions() == task_config(alone).without_questions()


def test_the_deal_is_the_same_whatever_order_the_files_have(tmp_path: Path) -> None:
    def pools(data: TaskData) -> list[tuple[set[str], set[str]]]:
        return [({q.id for q in p.questions}, set(p.corpus.ids)) for p in deal(data, 7)]

    one = asking([(n,) for n in range(12)])
    turned = Corpus.from_passages(reversed(PASSAGES))
    other = replace(one, questions=one.questions[::-1], corpus=turned)
    assert pools(one) == pools(other)


@pytest.mark.parametrize(
    ("gold", "size", "error"),
    [
        ([(1,)], 61, "pools of 61 passages: the corpus holds 60; ask for at most"),
        ([(1,), (2, 3, 4)], 2, "question 'q1' has 3 gold passages; ask for pools of 3 or more"),
        ([(n,) for n in range(55)], 40, "5 of the corpus are no question's gold; ask for smaller"),
    ],
)
def test_what_cannot_be_dealt_says_why(gold: list[tuple[int, ...]], size: int, error: str) -> None:
    with pytest.raises(InputError, match=error):
        deal(asking(gold), size)
