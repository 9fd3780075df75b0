"""The entry point: the group of all commands, and errors in one line."""

from __future__ import annotations

import sys
from errno import ENOSPC, EPIPE
from typing import Annotated, Any

import typer

from harness.cli.common import PLUGIN_HELP, load_plugins
from harness.cli.group import Commands
from harness.cli.interrupts import INTERRUPTED, ended_by_interrupts, tell_interrupted
from harness.cli.streams import end_streams, prepare_streams, silence_streams
from harness.errors import HarnessError
from harness.escape import visible

READER_GONE = 1
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


def _allow(powers: list[str] | None) -> list[str]:
    if powers:
        from harness.llm.powers import allow

        allow(powers)
    return powers or []


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
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            help="A power that files may ask for: remote-code, env:NAME.",
            callback=_allow,
            is_eager=True,
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options before a command, acted on as they are read: a plug-in may bring the command."""


def main() -> None:
    """Entry point: errors a user can act on are one line and exit status 2."""
    prepare_streams()
    with ended_by_interrupts():
        code = _status_and_output()
    sys.exit(code)


def _status_and_output() -> int:
    """Run the command that was typed, and write out what it said; the exit status."""
    try:
        code = _status()
        end_streams()
    except OSError as error:
        if error.errno not in (EPIPE, ENOSPC):
            raise
        silence_streams()
        code = READER_GONE
        if error.errno == ENOSPC:
            typer.echo(f"error: the output cannot be written ({error.strerror})", err=True)
            code = 2
    return code


def _status() -> int:
    """Run the command that was typed; its exit status."""
    try:
        code = app(standalone_mode=False)
    except HarnessError as error:
        typer.echo(f"error: {visible(str(error))}", err=True)
        return 2
    except OSError as error:
        if error.filename is None:  # of the output, or of no file at all
            raise
        denied = isinstance(error, PermissionError)
        check = "check who may read it" if denied else "see to its disk, and run again"
        typer.echo(f"error: {visible(str(error.filename))}: {error.strerror}; {check}", err=True)
        return 2
    except _USAGE_ERROR as error:
        message = error.format_message()
        # Without any argument the message is the help page.
        typer.echo(message if "\n" in message else f"error: {message}", err=True)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        tell_interrupted()
    return int(code or 0)
