"""The command ``published``: the figures that papers and repositories report, on their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.errors import ConfigError, did_you_mean


def published(
    task: Annotated[
        list[str] | None, typer.Option(help="This task alone. May be given again.")
    ] = None,
    format: Annotated[str, typer.Option(help="markdown, csv or json.")] = "markdown",
    output: Annotated[Path | None, typer.Option(help="Also write it to this file.")] = None,
) -> None:
    """Print published figures, each with its source; they are never ranked with runs."""
    from harness.files import atomic_file, writing
    from leaderboards.published import figures
    from leaderboards.published.block import to_csv, to_json, to_markdown

    writers = {"markdown": to_markdown, "csv": to_csv, "json": to_json}
    if format not in writers:
        raise ConfigError(f"no such format: {format!r}{did_you_mean(format, list(writers))}")
    known = sorted({figure.task for figure in figures()})
    for name in task or ():
        if name not in known:
            raise ConfigError(f"no figure of task '{name}'{did_you_mean(name, known)}")
    text = writers[format](figures(task)).rstrip("\n")
    typer.echo(text)
    if output is not None:
        with writing(output):
            output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(output) as file:
            file.write(text.encode() + b"\n")
        typer.echo(f"written to {output}", err=True)
