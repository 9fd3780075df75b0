"""The command ``import``: data of any known format made into a task folder."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from harness.cli.common import console
from harness.cli.interrupts import INTERRUPTED, tell_interrupted
from harness.errors import ConfigError
from harness.escape import utf8

if TYPE_CHECKING:
    from harness.formats.importing import Imported

_MB = 10**6


class WithFormats(TyperCommand):
    """Its help ends with every format and what SOURCE must be."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Only when help is shown: it imports every format."""
        from harness.formats.open import format_class
        from harness.registry import names

        classes = {name: format_class(name) for name in names("formats")}
        rows = [(name, f"{cls.summary}. SOURCE: {cls.source}.") for name, cls in classes.items()]
        with formatter.section("Formats (memory-harness describe FORMAT shows its options)"):
            formatter.write_dl(rows)


app = typer.Typer(
    help="Make a task folder of your own data, for 'run --task FOLDER'.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command(cls=WithFormats)
def import_(
    format_: Annotated[str, typer.Argument(metavar="FORMAT", help="One of those below.")],
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A file or folder, see below.")],
    out: Annotated[Path, typer.Option(help="The task folder; made whole or not at all.")],
    option: Annotated[
        list[str] | None, typer.Option("-o", help="Option of the format, words=200.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the task; else the folder's.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the folder of an earlier import.")
    ] = False,
) -> None:
    """Make a task folder of your own data, for 'run --task FOLDER'."""
    from harness.formats.importing import import_source
    from harness.formats.open import open_format
    from harness.progress import CallbackBar

    reader = open_format(format_, dict(_pair(text) for text in option or ()))
    try:
        with CallbackBar(console(), f"{source}, MB") as shown:

            def progress(done: int, total: int) -> None:
                if total >= 10 * _MB:
                    shown(done // _MB, total // _MB)

            done = import_source(
                format_, reader, source, out, task=name, force=force, progress=progress
            )
    except KeyboardInterrupt:
        tell_interrupted("stopped; nothing was written")
        sys.exit(INTERRUPTED)
    for line in _report(done):
        typer.echo(utf8(line))


def _pair(text: str) -> tuple[str, str]:
    key, found, value = text.partition("=")
    if not found or not key:
        raise ConfigError(f"-o {text}: expected name=value, such as words=200")
    return key, value


def _report(done: Imported) -> Iterator[str]:
    from harness.registry import is_known

    tally = done.tally
    yield from tally.notes
    for heading, counts in (("left out", tally.dropped), ("changed", tally.changed)):
        for why, count in counts.items():
            yield f"{heading}: {why}: {count.number:,}, the first {count.first}"
    written = [_counted(kind, number) for kind, number in tally.written.items() if number]
    yield f"{done.folder}: task '{done.name}' with {', '.join(written)}"
    yield f"licence and citations are empty: fill them in, in {done.folder / 'task.yaml'}"
    place = str(done.folder)
    if is_known("tasks", place):
        place = f"./{place}"  # a bare name is the known task
    task = shlex.quote(place)
    yield f"next: memory-harness run --task {task} --method bm25 --out runs/{done.name}"


def _counted(kind: str, number: int) -> str:
    one = {"passages": "passage", "questions": "question", "train": "train question"}[kind]
    return f"{number:,} {one}{'' if number == 1 else 's'}"
