"""The entry point: the group of all commands, and errors in one line."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from harness.cli.common import PLUGIN_HELP, load_plugins
from harness.cli.group import Commands
from harness.errors import HarnessError
from harness.escape import visible

INTERRUPTED = 130
# The base of typer's usage errors; which module it lives in depends on typer's version.
_USAGE_ERROR: Any = typer.BadParameter.__mro__[2]


app = typer.Typer(
    cls=Commands,
    name="memory-harness",
    help="Compare ways of giving a language model a memory: quality, latency, memory, storage.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


# A callback's result is the option's value, which typer converts again.
def _plugins(sources: list[str] | None) -> list[str]:
    load_plugins(sources)
    return sources or []


def _version(asked: bool) -> bool:
    if asked:
        from harness.runs.provenance import harness_version

        typer.echo(" ".join(["memory-harness", *filter(None, harness_version().values())]))
        raise typer.Exit
    return asked


@app.callback()
def options(
    plugin: Annotated[
        list[str] | None,
        typer.Option("--plugin", help=PLUGIN_HELP, callback=_plugins, is_eager=True),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options before a command, acted on as they are read: a plug-in may bring the command."""


def main() -> None:
    """Entry point: errors a user can act on are one line and exit status 2."""
    try:
        code = app(standalone_mode=False)
    except HarnessError as error:
        typer.echo(f"error: {visible(str(error))}", err=True)
        sys.exit(2)
    except PermissionError as error:
        typer.echo(f"error: {error.filename}: {error.strerror}; check who may read it", err=True)
        sys.exit(2)
    except _USAGE_ERROR as error:
        message = error.format_message()
        # Without any argument the message is the help page.
        typer.echo(message if "\n" in message else f"error: {message}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        typer.echo("stopped; the same command continues where it was", err=True)
    sys.exit(code or 0)
