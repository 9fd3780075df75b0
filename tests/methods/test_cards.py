"""Cards: what a method's own code does otherwise than its paper or released code is said there."""

from __future__ import annotations

import pytest

from harness.boards.method_entry import load_method
from methods.adaptive_rag.prompts import likeliest

ADMITTED = {
    "ircot": ("spaCy", "Wikipedia Title", "100 dev questions", "-p reader=cot", "thinks before"),
    "bm25": ("no row of BM25", "stems the passages alone", "2,048 tokens in the middle"),
    "standard-rag": ("2,048 tokens in the middle", "Llama-3-8B-Instruct", "1,000 questions"),
    "self-rag": ("named as its support",),
    "self-rag-prompted": ("named as its support",),
    "adaptive-rag-llm-router": ("gives no probabilities", "unless B is the least likely"),
    "flashrag": ("worst passages first", "executes what the model writes", "stop string"),
    "memory-layer": (
        "MLP stays under the layer",
        "chosen once for each passage",
        "never at full size",
    ),
    "parametric-qa": ("thinks when it reads",),
    "parametric-qa-bm25": ("bm25, whose card says",),
}


@pytest.mark.parametrize("name", ADMITTED)
def test_a_departure_is_on_the_card(name):
    told = " ".join(load_method(name).card.deviations)
    assert [words for words in ADMITTED[name] if words not in told] == []


def test_equal_probabilities_lead_to_b_unless_it_is_the_least_likely():
    assert likeliest({"A": 0.4, "B": 0.4, "C": 0.2}) == "B"
    assert likeliest({"A": 0.4, "B": 0.2, "C": 0.4}) == "A"
