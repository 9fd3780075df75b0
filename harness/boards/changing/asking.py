"""Questions asked through the engine without a run directory, and what to say about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from harness.engine import Answered, Engine
from harness.errors import RunFailedError
from harness.meters.hardware import describe_hardware, torch_threads
from harness.method import Method
from harness.progress import bar
from harness.records import Prediction, Query

if TYPE_CHECKING:
    from rich.console import Console


def ask(
    engine: Engine, method: Method, queries: Sequence[Query], console: Console, label: str
) -> dict[str, Prediction]:
    """Predictions of an opened method by question id; a failed one has an ``error`` and no answer.

    Raises RunFailedError if all failed, or if a server left one unanswered.
    """
    found: dict[str, Prediction] = {}
    with bar(console, label, len(queries)) as shown:

        def keep(done: Answered) -> None:
            if done.unanswered:
                raise RunFailedError(
                    f"{label}: question {done.question_id!r} was left unanswered "
                    f"({done.unanswered}); see to the model's server and run again"
                )
            found[done.question_id] = done.prediction
            shown.advance()

        engine.run(method, queries, keep)
    errors = [prediction.error for prediction in found.values() if prediction.error]
    if found and len(errors) == len(found):
        raise RunFailedError(f"{label}: all questions failed, the last with {errors[-1]}")
    return found


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
