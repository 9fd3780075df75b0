"""Traced calls: values that JSON can hold, whatever a server or a model returns."""

from __future__ import annotations

import json

from harness.calls import traced
from harness.llm.fitting import Fitted
from harness.llm.requests import NextTokenProbs, Reply, Scores
from harness.prompts import SOFT
from harness.records import Passage


def test_no_infinity_and_no_half_of_a_character_reaches_a_trace() -> None:
    fitted, nothing = Fitted("Who?"), float("-inf")
    scores = traced.scored(fitted, ["yes", "no"], Scores((nothing, -0.123456), 3))
    probs = traced.compared(fitted, NextTokenProbs({"yes": float("nan"), "no": 0.25}, 3))
    found = traced.searched("x", 2, [Passage("a", "", "", nothing), Passage("b", "", "")])
    assert scores["logprobs"] == [None, -0.1235]
    assert probs["probs"] == {"yes": None, "no": 0.25}
    assert (found["retrieved_ids"], found["scores"]) == (["a", "b"], [None])
    json.dumps([scores, probs, found], allow_nan=False)
    assert traced.storable(Reply("a\ud83d", 1, 1)).text.encode() == b"a?"


def test_vectors_stand_in_a_prompt_as_words_and_only_what_happened_is_told() -> None:
    shown = traced.generated(Fitted(f"{SOFT} and {SOFT}"), ["ab", "abc"], Reply("x", 5, 1))  # type: ignore[list-item]
    assert shown["prompt"] == "[2 vectors] and [3 vectors]"
    assert shown.keys() == {
        "prompt", "reply", "prompt_tokens", "completion_tokens", "passages_dropped",
    }  # fmt: skip
    cut = traced.generated(Fitted("x", 1, 2), [], Reply("x", 5, 1, cut_off=True, thoughts="Hm"))
    assert (cut["passages_dropped"], cut["passages_cut"]) == (1, 2)
    assert (cut["cut_off"], cut["thoughts"]) == (True, "Hm")
