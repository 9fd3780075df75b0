"""The group of commands: those of the harness, of its packages and of plug-ins, by the registry."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from harness import registry
from harness.errors import ConfigError, HarnessError, did_you_mean


# Arguments are Any below: which click typer uses, its own or the package, depends on its version.
class Commands(TyperGroup):
    """Looks a command up when it is used, and imports that one alone."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Every name, in the order of the tables."""
        return [name for _, table in registry.sources("commands") for name in table]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name; ConfigError with a suggestion if there is none."""
        for _, table in registry.sources("commands"):
            if cmd_name in table:
                return _built(
                    cmd_name, registry.thing("commands", table[cmd_name], f"command '{cmd_name}'")
                )
        hint = did_you_mean(cmd_name, self.list_commands(ctx))
        raise ConfigError(f"No such command '{cmd_name}'{hint}{registry.broken_note()}")

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Names and one-line help, under where they come from."""
        width = max(map(len, self.list_commands(ctx)))
        for source, table in registry.sources("commands"):
            heading = "Commands" if source == "harness.cli" else f"Commands of {source}"
            rows = [(name.ljust(width), _help(name, target)) for name, target in table.items()]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)
        if broken := list(registry.broken().items()):
            with formatter.section("Plug-ins that cannot be used"):
                formatter.write_dl(broken)


def _built(name: str, function: Callable[..., Any] | typer.Typer) -> Any:
    if isinstance(function, typer.Typer):
        return get_command(function)
    single = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
    )
    single.command(name)(function)
    return get_command(single)


def _help(name: str, target: Any) -> str:
    try:
        command = registry.thing("commands", target, f"command '{name}'")
    except HarnessError as error:
        return str(error)
    text = command.info.help if isinstance(command, typer.Typer) else inspect.getdoc(command)
    return str(text or "").partition("\n")[0]
