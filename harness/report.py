"""What the evaluating commands share: options, a captioned table, files of records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NOT_COMPARABLE = "Scores on these slices are not comparable with published full-benchmark numbers."


def given(**values: Any) -> dict[str, Any]:
    """The options that the command line holds; the others keep their defaults."""
    return {name: value for name, value in values.items() if value is not None}


def checked_options(module: str, name: str, values: Mapping[str, Any]) -> Any:
    """Options of the model ``name`` in ``module``. Raises ConfigError naming the option."""
    from importlib import import_module

    from pydantic import ValidationError

    from harness.errors import ConfigError

    try:
        return getattr(import_module(module), name)(**values)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][-1]).replace("_", "-")
        raise ConfigError(f"--{option} {first['input']}: {first['msg']}") from error


def report(
    title: str,
    caption: Sequence[str],
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
) -> str:
    """A markdown heading, caption and table, every text escaped; ``left`` columns hold names."""
    from importlib import import_module

    from tabulate import tabulate

    escape = import_module("harness.escape").markdown_text
    grid = tabulate(
        [[*map(escape, row[:left]), *row[left:]] for row in rows],
        headers=list(headers),
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["left"] * left + ["right"] * (len(headers) - left),
    )
    lines = "\n".join(f"- {escape(line)}" for line in caption)
    return f"# {title}\n\n{lines}\n\n{grid}"


def share(count: int, of: int) -> str:
    """A percentage with Wilson's 95 % interval; a dash of nothing."""
    from importlib import import_module

    if of == 0:
        return "—"
    low, high = import_module("harness.metrics.statistics").wilson_ci(count, of)
    return f"{100 * count / of:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def save(
    out: Path, tables: Mapping[str, Sequence[Mapping[str, Any]]], summary: Mapping[str, Any]
) -> None:
    """Write each table of records as ``<name>.csv``, then ``summary.json``.

    Raises InputError if the system refuses.
    """
    import typer

    from harness.files import atomic_file, write_json, writing

    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        with atomic_file(out / f"{name}.csv") as file:
            file.write(_csv(rows).encode())
    write_json(out / "summary.json", dict(summary))
    typer.echo(f"written to {out}", err=True)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    import csv
    from importlib import import_module
    from io import StringIO

    escape, text = import_module("harness.escape").csv_text, StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: escape(v) if isinstance(v, str) else v for k, v in row.items()})
    return text.getvalue()
