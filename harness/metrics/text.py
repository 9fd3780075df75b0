"""Text overlap metrics for longer answers, each in [0, 1]; thin layers over Google's and SacreBLEU.

Both libraries come with lm-evaluation-harness and are imported on first use.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any


def rouge_l(prediction: str, golds: Sequence[str]) -> float:
    """ROUGE-L F-measure (Lin, 2004) without stemming, best golden answer; ASCII words only."""
    scorer = _rouge_scorer()
    scores = (float(scorer.score(gold, prediction)["rougeL"].fmeasure) for gold in golds)
    return max(scores, default=0.0)


def sentence_bleu(prediction: str, golds: Sequence[str]) -> float:
    """BLEU (Papineni et al., 2002) of one text against all golden answers, smoothed."""
    import sacrebleu

    return float(sacrebleu.sentence_bleu(prediction, list(golds)).score) / 100 if golds else 0.0


def corpus_bleu(predictions: Sequence[str], golds: Sequence[Sequence[str]]) -> float:
    """BLEU over a whole corpus; ``golds[i]`` are the references of ``predictions[i]``.

    Raises ValueError if the lengths differ or a prediction has no reference.
    """
    import sacrebleu

    if len(predictions) != len(golds) or not all(golds):
        raise ValueError("corpus_bleu needs one or more golden answers for each prediction")
    width = max(map(len, golds), default=0)
    # SacreBLEU takes the i-th references of all texts together, None where a text has fewer.
    columns: list[Any] = [
        [refs[i] if i < len(refs) else None for refs in golds] for i in range(width)
    ]
    return float(sacrebleu.corpus_bleu(list(predictions), columns).score) / 100 if golds else 0.0


@cache
def _rouge_scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped]

    return RougeScorer(["rougeL"], use_stemmer=False)
