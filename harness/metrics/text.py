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

    if not golds:
        return 0.0
    # The product of precisions may end a last bit above 100.
    return min(1.0, float(sacrebleu.sentence_bleu(prediction, list(golds)).score) / 100)


@cache
def _rouge_scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped]

    return RougeScorer(["rougeL"], use_stemmer=False)
