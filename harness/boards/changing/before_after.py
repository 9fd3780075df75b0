"""Means before and after something was done to a model or its memory, and their difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.files import read_json, write_json, writing
from harness.llm.base import LanguageModel
from harness.llm.requests import ScoreRequest
from harness.metrics.answer import exact_match, token_f1
from harness.metrics.statistics import difference_ci, perplexity_difference_ci
from harness.progress import bar
from harness.records import Passage, Prediction, Question

if TYPE_CHECKING:
    from rich.console import Console

WHEN = ("before", "after")
Line = dict[str, Any]

_TOGETHER = 32
"""Passages that are scored, and kept, at once."""


def plain_text(passage: Passage) -> str:
    """A passage as one text, whose perplexity is measured."""
    return f"{passage.title}: {passage.text}" if passage.title else passage.text


def perplexity_terms(
    llm: LanguageModel,
    passages: Sequence[Passage],
    console: Console,
    label: str,
    place: Path | None = None,
) -> dict[str, tuple[int, float]]:
    """Tokens and summed negative log-likelihood (nats) of each passage's text, by id.

    The first token is predicted from the model's start token, which is not counted. In the folder
    ``place`` they are kept as they come.
    """
    found = {}
    with bar(console, label, len(passages)) as shown:
        for start in range(0, len(passages), _TOGETHER):
            part = passages[start : start + _TOGETHER]
            path = None if place is None else place / f"passages-{start}.json"
            if path is None or not path.exists():
                rows = _terms(llm, part)
                if path is not None:
                    with writing(path):
                        path.parent.mkdir(parents=True, exist_ok=True)
                    write_json(path, rows)
            else:
                rows = read_json(path)
            found.update({id_: (tokens, nats) for id_, tokens, nats in rows})
            shown.advance(len(part))
    return found


def _terms(llm: LanguageModel, passages: Sequence[Passage]) -> list[tuple[str, int, float]]:
    requests = [ScoreRequest("", (plain_text(passage).strip(),)) for passage in passages]
    scores = dict(llm.score(requests))
    return [
        (passage.id, scores[n].token_counts[0], -scores[n].logprobs[0])
        for n, passage in enumerate(passages)
    ]


def answered_twice(question: Question, before: Prediction, after: Prediction) -> dict[str, Any]:
    """A question, both answers with their EM and F1 from 0 to 1, and what failed."""
    golds, both = question.golden_answers, dict(zip(WHEN, (before, after), strict=True))
    return {
        "question_id": question.id,
        "question": question.text,
        **{f"answer_{when}": each.answer for when, each in both.items()},
        **{f"em_{when}": exact_match(each.answer, golds) for when, each in both.items()},
        **{f"f1_{when}": token_f1(each.answer, golds) for when, each in both.items()},
        "error": "; ".join(dict.fromkeys(filter(None, (before.error, after.error)))),
    }


def of_scores(head: Mapping[str, Any], before: Sequence[float], after: Sequence[float]) -> Line:
    """The line of paired scores (n,), each in [0, 1], with the interval of their difference."""
    differences = [b - a for a, b in zip(before, after, strict=True)]
    means = (sum(before) / len(before), sum(after) / len(after))
    return _line(head, len(before), means, difference_ci(differences))


def of_passages(head: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Line:
    """The line of perplexities, over all tokens of rows that have ``tokens`` and nats."""
    tokens = [row["tokens"] for row in rows]
    nats = {when: [row[f"nats_{when}"] for row in rows] for when in WHEN}
    interval = perplexity_difference_ci(nats["before"], nats["after"], tokens)
    before, after = (exp(sum(nats[when]) / sum(tokens)) for when in WHEN)
    return _line(head, len(rows), (before, after), interval)


def cells(line: Mapping[str, Any], *, percent: bool) -> list[str]:
    """n, both means, the difference with its interval, the relative change."""
    scale, form = (100, ".1f") if percent else (1, ".2f")
    values = [scale * line[key] for key in ("difference", "low", "high")]
    difference, low, high = (format(value + 0.0, f"+{form}") for value in values)
    relative = "—" if line["relative"] is None else f"{100 * line['relative']:+.1f} %"
    means = [format(scale * line[when], form) for when in WHEN]
    return [f"{line['n']:,}", *means, f"{difference} [{low}, {high}]", relative]


def _line(
    head: Mapping[str, Any], n: int, means: tuple[float, float], interval: Sequence[float]
) -> Line:
    before, after = means
    return {
        **head,
        "n": n,
        "before": before,
        "after": after,
        "difference": after - before,
        "low": interval[0],
        "high": interval[1],
        "relative": (after - before) / before if before else None,
    }
