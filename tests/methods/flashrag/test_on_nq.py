"""Pipelines on the shipped slice of NQ answer and score as FlashRAG alone does."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.metrics.answer import contains, exact_match, token_f1
from methods.flashrag.catalogue import PIPELINES
from tests.methods.flashrag.lab import Knowing, by_flashrag_alone, nq, through_the_harness

pytest.importorskip("flashrag.pipeline")
DATA = nq()


@pytest.mark.parametrize("name", PIPELINES)
def test_answers_passages_and_scores_are_those_of_flashrag_alone(
    name: str, completion_model_dir: Path
) -> None:
    from flashrag.evaluator import Evaluator

    model = Knowing(DATA)
    ours = through_the_harness(DATA, name, model)
    theirs = by_flashrag_alone(DATA, name, model, completion_model_dir)
    assert [each.prediction.error for each in ours.values()] == [None] * len(DATA.questions)
    config = {
        "metrics": ["em", "f1", "acc"], "dataset_name": "nq", "save_dir": None,
        "save_metric_score": False, "save_intermediate_data": False,
    }  # fmt: skip
    means = Evaluator(config).evaluate(theirs)
    for item, question in zip(theirs, DATA.questions, strict=True):
        prediction, golds = ours[question.id].prediction, question.golden_answers
        assert prediction.answer == item.output["pred"]
        scores = item.output["metric_score"]
        assert exact_match(prediction.answer, golds) == scores["em"]
        assert contains(prediction.answer, golds) == scores["acc"]
        # FlashRAG has HotpotQA's rule on yes, no and noanswer for every data set.
        assert token_f1(prediction.answer, golds, closed_answers=True) == scores["f1"]
        if "retrieval_result" in item.output:
            found = [document["id"] for document in item.output["retrieval_result"]]
            assert prediction.ranked_ids == found
    # Some answers are right and some wrong, so that the scores can disagree.
    assert 0 < means["acc"] < 1


def test_the_first_line_alone_is_flashrags_basic_parse() -> None:
    model = Knowing(DATA)
    model.reply = lambda request: f" an answer \n{request.max_tokens}"
    whole = through_the_harness(DATA, "SequentialPipeline", model)
    line = through_the_harness(DATA, "SequentialPipeline", model, first_line=True, max_tokens=9)
    assert {each.prediction.answer for each in whole.values()} == {" an answer \n32"}
    assert {each.prediction.answer for each in line.values()} == {"an answer"}
    assert {each.prediction.raw for each in line.values()} == {" an answer \n9"}
