"""Tables as markdown and CSV, and what the commands that print them share."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness.escape import csv_text, markdown_text
from harness.files import atomic_file, write_json, writing

if TYPE_CHECKING:
    from pydantic import BaseModel

Options = TypeVar("Options", bound="BaseModel")

NOT_COMPARABLE = "Scores on these slices are not comparable with published full-benchmark numbers."


def given(**values: Any) -> dict[str, Any]:
    """The options that the command line holds; the others keep their defaults."""
    return {name: value for name, value in values.items() if value is not None}


def checked_options(cls: type[Options], values: Mapping[str, Any]) -> Options:
    """Validated options of an evaluation. Raises ConfigError naming the option."""
    from pydantic import ValidationError

    from harness.errors import ConfigError, problem_of

    try:
        return cls(**values)
    except ValidationError as error:
        found = problem_of(error)
        option = found.key.replace("_", "-")
        raise ConfigError(f"--{option} {found.value}: {found.message}") from error


def report(
    title: str,
    caption: Sequence[str],
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
) -> str:
    """A markdown heading, caption and table, every text escaped; ``left`` columns hold names."""
    grid = pipe_table(
        headers,
        [[*map(markdown_text, row[:left]), *row[left:]] for row in rows],
        left=range(left),
    )
    return f"# {title}\n\n{bullets(caption)}\n\n{grid}"


def pipe_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, left: Collection[int] = (0,)
) -> str:
    """A markdown table of texts as they are; ``left`` are the columns not aligned to the right."""
    import pandas as pd

    sides = ["left" if place in left else "right" for place in range(len(headers))]
    # Objects: pandas would give numbers and blanks types of its own.
    frame = pd.DataFrame(list(map(list, rows)), columns=list(headers), dtype=object)
    return frame.to_markdown(index=False, disable_numparse=True, colalign=sides)


def bullets(lines: Iterable[str]) -> str:
    """A markdown list, every text escaped."""
    return "\n".join(f"- {markdown_text(line)}" for line in lines)


def share(count: int, of: int) -> str:
    """A percentage with its exact 95 % interval; a dash of nothing."""
    from harness.metrics.statistics import proportion_ci

    if of == 0:
        return "—"
    low, high = proportion_ci(count, of)
    return f"{100 * count / of:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def save(
    out: Path, tables: Mapping[str, Sequence[Mapping[str, Any]]], summary: Mapping[str, Any]
) -> None:
    """Write each table of records as ``<name>.csv``, then ``summary.json``.

    Raises InputError if the system refuses.
    """
    import typer

    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        with atomic_file(out / f"{name}.csv") as file:
            file.write(csv_records(rows).encode())
    write_json(out / "summary.json", dict(summary))
    typer.echo(f"written to {out}", err=True)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table as CSV; a crash leaves the old file or the new one.

    None becomes an empty cell; text is not escaped (``csv_records`` does).
    """
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    with atomic_file(path) as file:
        file.write(text.getvalue().encode())


def csv_records(records: Sequence[Mapping[str, Any]], names: Sequence[str] = ()) -> str:
    """One line a record under a line of ``names``, all of them by default, harmless as formulas.

    None and what a record lacks are empty.
    """
    import pandas as pd

    names = list(names or dict.fromkeys(name for record in records for name in record))
    rows = [[_cell(record.get(name)) for name in names] for record in records]
    frame = pd.DataFrame(rows, columns=[csv_text(name) for name in names], dtype=object)
    return frame.to_csv(index=False, lineterminator="\n")


def _cell(value: Any) -> Any:
    return csv_text(value) if isinstance(value, str) else value
