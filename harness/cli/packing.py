"""The commands ``pack`` and ``unpack``: finished runs as one checksummed archive, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import RunsFolder


def pack(
    runs: RunsFolder,
    out: Annotated[Path, typer.Option(help="The archive, NAME.tar.zst.")],
    prompts: Annotated[
        bool, typer.Option("--prompts/--no-prompts", help="Keep the prompts that were sent.")
    ] = True,
) -> None:
    """Pack finished, scored runs, with gold and checksums; they can be scored again.

    The same runs give the same bytes.
    """
    from harness.runs.packing import pack as write

    done = write(runs, out, prompts=prompts)
    typer.echo(
        f"written to {done.archive}: {done.runs} runs, {done.unpacked / 1e6:.1f} MB as "
        f"{done.size / 1e6:.2f} MB",
        err=True,
    )


def unpack(
    archive: Annotated[str, typer.Argument(help="An archive, or results that ship by name.")],
    out: Annotated[Path, typer.Option(help="A new folder for the runs.")],
) -> None:
    """Unpack runs that were packed, checked against their checksums, into a folder of runs."""
    from harness.registry import is_known, load
    from harness.runs.packing import unpack as read

    known = "/" not in archive and not Path(archive).exists() and is_known("results", archive)
    read(Path(load("results", archive)) if known else Path(archive), out)
    typer.echo(f"next: memory-harness leaderboard {out}", err=True)
