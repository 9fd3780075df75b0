"""Metrics of ir_measures: values by hand, the library's own mean over all, tasks that name them."""

from __future__ import annotations

import math
from pathlib import Path

import ir_measures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.card import Task
from harness.errors import InputError
from harness.metrics import Documents, Rules, added_metrics, check_metrics, is_added, score_answer
from harness.metrics.ir import EXAMPLES, ir_score

NAMES = ("RR", "MRR@10", "AP", "MAP@3", "nDCG", "nDCG@10", "P@2", "R@2", "Success@2", "Rprec")
IDS = st.lists(st.sampled_from("abcdefgh"), unique=True)


def test_values_by_hand() -> None:
    ranked, gold = ["x", "a", "y", "b"], ["a", "b", "c"]
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    expected = {
        "MRR@10": 1 / 2,
        "MRR@1": 0.0,
        "nDCG@10": (1 / math.log2(3) + 1 / math.log2(5)) / ideal,
        "nDCG@2": (1 / math.log2(3)) / (1 + 1 / math.log2(3)),
        "AP": (1 / 2 + 2 / 4) / 3,
        "P@2": 1 / 2,
        "R@2": 1 / 3,
        "Rprec": 1 / 3,
        "Success@1": 0.0,
        "Success@2": 1.0,
    }
    assert {name: ir_score(name, ranked, gold) for name in expected} == pytest.approx(expected)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(IDS, IDS.filter(bool)), min_size=1, max_size=4))
def test_the_mean_over_questions_is_the_librarys_over_the_whole(
    asked: list[tuple[list[str], list[str]]],
) -> None:
    qrels = {str(n): dict.fromkeys(gold, 1) for n, (_, gold) in enumerate(asked)}
    run = {
        str(n): {id_: 1 / (1 + place) for place, id_ in enumerate(ranked)}
        for n, (ranked, _) in enumerate(asked)
        if ranked
    }
    whole = ir_measures.calc_aggregate(map(ir_measures.parse_measure, NAMES), qrels, run)
    for name in NAMES:
        values = [ir_score(name, ranked, gold) for ranked, gold in asked]
        assert all(value is not None and 0 <= value <= 1 for value in values)
        mean = sum(value or 0 for value in values) / len(values)
        assert mean == pytest.approx(whole[ir_measures.parse_measure(name)], abs=1e-9)


def test_there_is_no_score_without_gold_or_retrieval() -> None:
    found = Documents(["a", "b"], ["a"], ["a", "b"])
    added = ("MRR@10", "nDCG@10")

    def scores(documents: Documents | None, gold: list[str], *, failed: bool = False) -> list:
        every = score_answer("", documents, ["x"], gold, added=added, failed=failed)
        return [every[name] for name in added]

    assert scores(found, ["b"]) == pytest.approx([1 / 2, 1 / math.log2(3)])
    assert scores(found, []) == scores(None, ["b"]) == [None, None]
    assert scores(Documents(), ["b"]) == [0, 0]
    # A question that failed keeps what was retrieved for it.
    assert scores(found, ["b"], failed=True) == scores(found, ["b"])


def test_a_card_names_them_and_what_is_not_there_is_refused(tmp_path: Path) -> None:
    card = tmp_path / "task.yaml"
    card.write_text("name: mine\ntitle: Mine\nmetrics: [em, MRR@10, nDCG@10, Success@5]\n")
    named = Task.from_folder(tmp_path).card.metrics
    assert added_metrics(named) == ("MRR@10", "nDCG@10", "Success@5")
    assert all(map(is_added, EXAMPLES))
    for wrong in ("MRR@0", "Success", "nDCG@10; x", "ERR@20", "mrr@10"):
        with pytest.raises(InputError, match=r"task.yaml: unknown metric"):
            check_metrics([wrong], "task.yaml")
    with pytest.raises(InputError, match=r"did you mean 'MRR@10'"):
        check_metrics(["mrr@10"], "task.yaml")
    check_metrics(["MRR@10", "Success@5", "P@5"], "task.yaml", Rules(gold="any"))
    for name in ("nDCG@10", "AP", "R@5", "Rprec"):
        with pytest.raises(InputError, match=r"asks for all gold documents"):
            check_metrics([name], "task.yaml", Rules(gold="any"))
