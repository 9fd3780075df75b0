"""The table of an evaluation of an encoder: its memories against others, paired by question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.boards.changing.before_after import cells, of_passages, of_scores
from harness.report import NOT_COMPARABLE, report

if TYPE_CHECKING:
    from methods.parametric_qa.evaluate.encoder import Asked, EncoderEvaluation

_AGAINST = {"spans": "span means", "other": "another question's", "none": "no memory"}
_HEADERS = (
    "Measure", "Against", "n", "The other", "Encoder", "Difference [95% CI]", "Relative change"
)  # fmt: skip


def lines(found: EncoderEvaluation) -> list[dict[str, Any]]:
    """One record a measure and what the encoder's memories are compared with."""
    asked = found.questions
    scores = [
        of_scores(
            {"measure": score, "against": "spans"},
            [getattr(record, score)["spans"] for record in asked],
            [getattr(record, score)["encoder"] for record in asked],
        )
        for score in ("f1", "em")
    ]
    texts = [
        of_passages(
            {"measure": "perplexity", "against": view},
            [_nats(record, view) for record in asked],
        )
        for view in _AGAINST
    ]
    return [*scores, *texts]


def table(found: EncoderEvaluation) -> str:
    """The records as markdown, under what was measured and how."""
    rows = [_cells(line) for line in lines(found)]
    title = "What an encoder adds to span codes"
    return report(title, _caption(found.facts), _HEADERS, rows, left=2)


def _nats(record: Asked, view: str) -> dict[str, float]:
    return {
        "tokens": record.tokens,
        "nats_before": record.nats[view],
        "nats_after": record.nats["encoder"],
    }


def _cells(line: Mapping[str, Any]) -> list[str]:
    score = line["measure"]
    name = "Perplexity of the golden answer" if score == "perplexity" else score.upper()
    return [name, _AGAINST[line["against"]], *cells(line, percent=score != "perplexity")]


def _caption(facts: Mapping[str, Any]) -> list[str]:
    asked = ", ".join(f"{name} {count}" for name, count in facts["sources"].items() if count)
    return [
        f"Model: {facts['model']}. Shared parts: {facts['shared']}, recipe {facts['recipe']}.",
        f"Train questions that training held out: {asked}.",
        "The reader reads the memory of the first gold passage, stored in 8 bits. EM and F1 are "
        "percentages.",
        "Difference: encoder minus the other, with a paired 95% interval over questions.",
        f"Hardware: {facts['hardware']}, {facts['threads']} threads. {facts['date']}.",
        NOT_COMPARABLE,
    ]
