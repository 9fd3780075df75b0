"""Questions asked through the engine, their answers kept as they come, and what to say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from harness.engine import Engine
from harness.errors import RunFailedError
from harness.meters.hardware import describe_hardware, torch_threads
from harness.method import Method
from harness.progress import bar
from harness.records import Hit, Prediction, Query
from harness.runs.answers import AnswerWriter
from harness.runs.directory import RunDirectory
from harness.runs.predictions import read_ids, read_predictions

if TYPE_CHECKING:
    from rich.console import Console


def ask(
    engine: Engine,
    method: Method,
    queries: Sequence[Query],
    console: Console,
    label: str,
    place: Path | None = None,
) -> dict[str, Prediction]:
    """Predictions of an opened method by question id; a failed one has an ``error`` and no answer.

    They are kept in the folder ``place`` as they come, and what is there is not asked again.
    Raises RunFailedError if one kind of failure is all that comes, or if a server left one
    unanswered.
    """
    if place is None:
        with TemporaryDirectory() as folder:
            return ask(engine, method, queries, console, label, Path(folder) / "answers")
    with RunDirectory(place, tuple(query.id for query in queries)) as run:
        left = [query for query in queries if query.id not in run.answered]
        with bar(console, label, len(queries), len(queries) - len(left)) as shown:
            keep = AnswerWriter(run, shown.advance)
            keep.answer(engine, method, left)
        if keep.unanswered:
            id_, reason = next(iter(keep.unanswered.items()))
            raise RunFailedError(
                f"{label}: question {id_!r} was left unanswered ({reason}); see to the model's "
                "server and run again"
            )
        run.finish()
    return answers_in(place)


def answers_in(place: Path) -> dict[str, Prediction]:
    """The predictions that are kept in a folder, by question id."""
    return {
        row["question_id"]: Prediction(
            row["answer"],
            tuple(map(Hit, row["retrieved_ids"])),
            read=tuple(read_ids(row)),
            error=row.get("error"),
        )
        for _, row in read_predictions(place / "predictions.jsonl")
    }


def circumstances() -> dict[str, Any]:
    """Hardware, threads and date, for a table's caption."""
    return {
        "hardware": describe_hardware().summary,
        "threads": torch_threads(),
        "date": date.today().isoformat(),
    }


def circumstances_line(facts: Mapping[str, Any]) -> str:
    """What ``circumstances`` found, for a table's caption."""
    return f"Hardware: {facts['hardware']}, {facts['threads']} threads. {facts['date']}."


def methods_line(methods: Mapping[str, Mapping[str, Any]]) -> str:
    """Methods with their parameters, for a table's caption."""
    told = [
        f"{name} ({', '.join(f'{key}={_plain(value)}' for key, value in params.items())})"
        for name, params in methods.items()
    ]
    return f"Methods: {'; '.join(told)}."


def undo_lines(facts: Mapping[str, Any]) -> list[str]:
    """Of which methods it was checked that no change of the model's weights stayed."""
    names = ", ".join(facts["undone_exactly"])
    told = f"Weights: of {names} compared before and after, every bit is what it was."
    return [told] if names else []


def _plain(value: Any) -> str:
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
