"""Columns on quality: scores with their intervals, what the comparison says, what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from harness.escape import shortened
from harness.metrics.ir import is_ir_metric
from leaderboards import cells
from leaderboards.columns.base import Column, Field, Text, summed
from leaderboards.rows import Row, Score

_METRICS = {
    "recall": ("Recall", "Gold documents among the first {k}, in percent."),
    "all_gold": ("All-gold", "Questions with every gold document among the first {k}, in percent."),
    "contains_words": (
        "contains_words",
        "Answers that have a golden one as whole words, in percent.",
    ),
    "em_folded": ("em_folded", "EM where letters with and without accents are equal, in percent."),
    "em_triviaqa": ("em_triviaqa", "EM after TriviaQA's own normalisation, in percent."),
    "f1_triviaqa": ("f1_triviaqa", "F1 after TriviaQA's own normalisation, in percent."),
    "rouge_l": ("rouge_l", "ROUGE-L against the best golden answer, in percent."),
    "bleu": ("bleu", "BLEU against all golden answers, in percent."),
    "support_em": ("support_em", "Questions whose support is named exactly, in percent."),
    "support_f1": ("support_f1", "F1 of the documents named as support, in percent."),
    "joint_em": ("joint_em", "Questions with answer and support both exact, in percent."),
    "joint_f1": ("joint_f1", "F1 of answer and support together, in percent."),
    "hit": ("Hit", "Questions with any gold document among the first {k}, in percent."),
    "precision": ("Precision", "Gold documents' share of the first {k}, in percent."),
    "recall_retrieved": (
        "Recall retrieved",
        "Gold documents among all that came up in any step, in percent.",
    ),
}


def quality(k: int) -> Iterator[Column]:
    """Scores; those of the ranking are at ``k``."""
    yield _score("em", "em", "EM", "Answers that equal a golden one", lambda row: row.em)
    f1 = _score("f1", "f1", "F1", "Words shared with the best golden answer", lambda row: row.f1)
    # What is compared keeps its interval where space is short.
    yield replace(f1, short=f1.heading, short_text=f1.text)
    yield Column(
        "p",
        "p",
        "p-value of the row having the best F1 of the table.",
        lambda row: cells.MISSING if row.p_value is None else f"{row.p_value:.4f}",
        (
            Field("f1_p_value", "float", lambda row: row.p_value),
            Field("f1_top_tier", "bool", lambda row: row.top),
        ),
        "high",
    )
    yield Column(
        "ranks",
        "Rank",
        "First and last place in F1 that the row may have, with 95% for all rows together.",
        _places,
        (
            Field("rank_low", "int", lambda row: row.ranks and row.ranks[0]),
            Field("rank_high", "int", lambda row: row.ranks and row.ranks[1]),
        ),
        "low",
    )
    yield Column(
        "letters",
        "Letters",
        "Rows that share a letter do not differ significantly in F1.",
        lambda row: row.letters or cells.MISSING,
        (Field("letters", "text", lambda row: row.letters or None),),
    )
    yield _share("contains", "Contains", "Answers that contain a golden one, in percent.")
    yield _score(
        "recall",
        f"recall@{k}",
        f"Recall@{k}",
        f"Gold documents among the first {k} that were ranked, read or not",
        lambda row: row.recall,
    )
    yield _score(
        "all_gold",
        f"all_gold@{k}",
        f"All-gold@{k}",
        f"Questions with every gold document among the first {k} that were ranked",
        lambda row: row.all_gold,
    )
    yield _score(
        "recall_read",
        "recall_read",
        "Recall read",
        "Gold documents among all that the model was shown",
        lambda row: row.recall_read,
    )
    yield _share("retrieved", "Retrieved", "Questions with anything retrieved, in percent.")


def mishaps(rows: Sequence[Row]) -> Iterator[Column]:
    """What went wrong while answering; errors by the kinds that the rows have."""
    errors = _count(
        "errors",
        "Errors",
        "Questions on which the method failed; they count as wrong answers.",
        lambda row: row.errors,
    )
    kinds = {kind for row in rows for kind in row.failures}
    failed = summed(kinds, lambda row: row.failures, "int", before="failed")
    yield replace(errors, fields=(*errors.fields, *failed))
    yield _count(
        "unanswered",
        "Unanswered",
        "Questions that the model's server left unanswered, so that no row has them.",
        lambda row: row.unanswered,
    )
    yield _count(
        "retries",
        "Retries",
        "Requests sent again because the server failed; timings contain the wait.",
        lambda row: row.retries,
    )
    yield _of_questions(
        "empty",
        "Empty",
        "Questions with an empty reply or answer, in percent; failed ones are left out.",
        lambda row: row.cost.empty,
    )
    yield _of_questions(
        "cut_off",
        "Cut off",
        "Questions whose last reply the token limit ended, in percent; failed ones are left out.",
        lambda row: row.cost.cut_off,
    )


def own_metric(name: str) -> Column:
    """The column of a plug-in's metric: a mean with its interval, as EM and F1 have it."""
    heading = shortened(name, 40)
    column = _score(name, name, heading, f"Mean of {heading}", lambda row: row.own.get(name))
    return replace(column, is_metric=True)


def metric(name: str) -> Column:
    """The column of any other score."""
    kind, at, k = name.partition("@")
    own = "as ir_measures defines it" if is_ir_metric(name) else "of this name"
    heading, explanation = _METRICS.get(kind, (kind, f"Mean of the score {own}, in percent."))
    column = _share(name, shortened(f"{heading}{at}{k}", 40), explanation.replace("{k}", k))
    return replace(column, is_metric=True)


def _score(
    name: str, field: str, heading: str, counted: str, score: Callable[[Row], Score | None]
) -> Column:
    """A mean with its interval; in a narrow table the mean alone."""

    def mean(row: Row) -> float | None:
        found = score(row)
        return None if found is None else found.mean

    def end(row: Row, side: int) -> float | None:
        found = score(row)
        return None if found is None or found.interval is None else found.interval[side]

    def std(row: Row) -> float | None:
        found = score(row)
        return None if found is None else found.std

    return Column(
        name,
        f"{heading} [95% CI]",
        f"{counted}, in percent.",
        lambda row: cells.score(score(row)),
        (
            Field(field, "float", mean),
            Field(f"{field}_low", "float", lambda row: end(row, 0)),
            Field(f"{field}_high", "float", lambda row: end(row, 1)),
            Field(f"{field}_std", "float", std),
        ),
        "high",
        short=heading,
        short_text=lambda row: cells.percent(mean(row)),
    )


def _places(row: Row) -> str:
    if row.ranks is None:
        return cells.MISSING
    return " to ".join(map(str, dict.fromkeys(row.ranks)))


def _share(name: str, heading: str, explanation: str) -> Column:
    def value(row: Row) -> float | None:
        return row.means.get(name)

    field = Field(name, "float", value)
    return Column(name, heading, explanation, _percent(value), (field,), "high")


def _of_questions(
    name: str, heading: str, explanation: str, value: Callable[[Row], float | None]
) -> Column:
    field = Field(f"{name}_share", "float", value)
    return Column(name, heading, explanation, _percent(value), (field,), "low")


def _percent(value: Callable[[Row], float | None]) -> Text:
    return lambda row: cells.percent(value(row))


def _count(name: str, heading: str, explanation: str, value: Callable[[Row], int]) -> Column:
    field = Field(name, "int", value)
    return Column(name, heading, explanation, lambda row: f"{value(row):,}", (field,), "low")
