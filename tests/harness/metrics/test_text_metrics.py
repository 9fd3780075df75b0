"""ROUGE-L and BLEU: known values and edge cases."""

from __future__ import annotations

import pytest

from harness.metrics.text import rouge_l, sentence_bleu


def test_rouge_l() -> None:
    assert rouge_l("police killed the gunman", ["police kill the gunman"]) == pytest.approx(0.75)
    assert rouge_l("same text", ["other", "same text"]) == 1
    assert rouge_l("", ["x"]) == rouge_l("x", []) == 0


def test_sentence_bleu() -> None:
    assert sentence_bleu("the cat sat on the mat", ["no", "the cat sat on the mat"]) == (
        pytest.approx(1)
    )
    assert sentence_bleu("name3", ["name3"]) == 1
    assert sentence_bleu("", ["x"]) == sentence_bleu("x", []) == 0
