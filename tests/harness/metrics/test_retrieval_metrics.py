"""Retrieval metrics: known values and properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics import RECALL_AT, Documents, Rules, score_answer
from harness.metrics.retrieval import all_gold_at_k, hit_at_k, precision_at_k, recall_at_k

IDS = st.lists(st.sampled_from("abcdefgh"), unique=True)


def test_known_values() -> None:
    ranked, gold = ["a", "b", "c"], ["b", "x"]
    assert [recall_at_k(ranked, gold, k) for k in (1, 2, 5)] == [0, 0.5, 0.5]
    assert [precision_at_k(ranked, gold, k) for k in (1, 2, 5)] == [0, 0.5, 0.2]
    assert [hit_at_k(ranked, gold, k) for k in (1, 2, 5)] == [0, 1, 1]
    assert [all_gold_at_k(ranked, ["c", "a"], k) for k in (2, 3)] == [0, 1]


def test_repeated_gold_ids_count_once() -> None:
    assert recall_at_k(["a"], ["a", "a"], 5) == all_gold_at_k(["a"], ["a", "a"], 5) == 1


@pytest.mark.parametrize("metric", [recall_at_k, hit_at_k, all_gold_at_k, precision_at_k])
def test_no_gold_is_none_and_k_is_checked(metric) -> None:
    assert metric(["a"], [], 5) is None
    with pytest.raises(ValueError, match="at least 1"):
        metric(["a"], ["a"], 0)


@given(IDS, IDS.filter(bool), st.integers(1, 9))
def test_properties(ranked: list[str], gold: list[str], k: int) -> None:
    recall, everything = recall_at_k(ranked, gold, k), all_gold_at_k(ranked, gold, k)
    precision = precision_at_k(ranked, gold, k)
    assert recall is not None and everything is not None and precision is not None
    assert recall * len(gold) == pytest.approx(precision * k)
    assert (recall == 1) == (everything == 1)
    assert everything <= recall <= hit_at_k(ranked, gold, k) == float(recall > 0)
    assert recall <= (recall_at_k(ranked, gold, k + 1) or 0)
    assert recall_at_k(ranked, gold[::-1], k) == recall


@given(IDS, IDS, IDS, IDS.filter(bool), st.sampled_from(["all", "any"]))
def test_what_was_retrieved_holds_what_was_ranked_and_read(
    ranked: list[str], read: list[str], more: list[str], gold: list[str], rule
) -> None:
    documents = Documents(ranked, read, [*more, *ranked, *read])
    scores = score_answer("", documents, [], gold, RECALL_AT, rules=Rules(gold=rule))
    recalls = [scores[f"recall@{k}"] for k in RECALL_AT]
    everything = scores["recall_retrieved"]
    assert everything is not None and everything <= (scores["retrieved"] or 0)
    assert all((recall or 0) <= everything for recall in [*recalls, scores["recall_read"]])
    assert recalls == sorted(recalls)
    if rule == "any":
        assert recalls == [scores[f"hit@{k}"] for k in RECALL_AT]
