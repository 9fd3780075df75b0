"""ROUGE-L and BLEU: known values and edge cases."""

from __future__ import annotations

import pytest

from harness.metrics.text import corpus_bleu, rouge_l, sentence_bleu


def test_rouge_l() -> None:
    assert rouge_l("police killed the gunman", ["police kill the gunman"]) == pytest.approx(0.75)
    assert rouge_l("same text", ["other", "same text"]) == 1
    assert rouge_l("", ["x"]) == rouge_l("x", []) == 0


def test_sentence_bleu() -> None:
    assert sentence_bleu("the cat sat on the mat", ["no", "the cat sat on the mat"]) == (
        pytest.approx(1)
    )
    assert sentence_bleu("", ["x"]) == sentence_bleu("x", []) == 0


def test_corpus_bleu_takes_uneven_references() -> None:
    texts = ["the cat sat on the mat", "a dog ran over the hill"]
    assert corpus_bleu(texts, [[texts[0], "other"], [texts[1]]]) == pytest.approx(1)
    assert corpus_bleu([], []) == 0
    for golds in ([["x"]], [["x"], []]):
        with pytest.raises(ValueError, match="one or more golden answers"):
            corpus_bleu(texts, golds)
