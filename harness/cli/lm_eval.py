"""The command ``lm-eval``: lm-eval's own, with methods as its models and tasks as its tasks."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.interrupts import INTERRUPTED, tell_interrupted
from harness.errors import ConfigError

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="lm-evaluation-harness, its own arguments: --model memory, --tasks memory_*, …",
)


@app.command(
    # Every option is lm-eval's, --help among them.
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
def lm_eval(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """lm-evaluation-harness, its own arguments: --model memory, --tasks memory_*, …"""
    try:
        from harness.lm_eval_plugin.command import run
    except ImportError as error:
        raise ConfigError(f"lm-eval cannot be imported ({error}); install it again") from error
    try:
        run(arguments or [])
    except KeyboardInterrupt:
        tell_interrupted("stopped; with --use_cache the same command goes on where it was")
        raise SystemExit(INTERRUPTED) from None
