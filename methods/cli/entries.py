"""Methods as the commands for all methods name them, and Parametric QA's own options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from harness.errors import ConfigError
from methods.options import MEMORY

TEXT = "bm25"
"""What is evaluated beside Parametric QA where no method is named."""
ALL = "all"
"""In the place of a method's name: every method that the model serves."""

Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        help=f"A method; repeat for more; {ALL}: every one that the model serves. By default "
        f"{MEMORY}, and {TEXT} beside it.",
    ),
]


def method_entries(
    names: Sequence[str] | None,
    pairs: list[str] | None,
    own: Mapping[str, Any],
    default: Sequence[str],
    model: str | None = None,
) -> list[dict[str, Any]]:
    """A board's entries of the methods, ``own`` parameters those of Parametric QA.

    Raises ConfigError for parameters that are of none of them, or of several.
    """
    from harness.cli.run import method_params

    chosen, params = list(names or default), method_params(pairs)
    if ALL in chosen:
        chosen = _every(model)
    if params and len(chosen) > 1:
        raise ConfigError(
            f"-p {next(iter(params))}: of which method? With -p, name one alone: --method NAME"
        )
    if own and MEMORY not in chosen:
        options = ", ".join(f"--{name}" for name in own)
        raise ConfigError(f"{options}: an option of {MEMORY}; give -p NAME=VALUE for {chosen[0]}")
    return [
        {"name": name, "params": {**(own if name == MEMORY else {}), **params}} for name in chosen
    ]


def _every(model: str | None) -> list[str]:
    from harness.boards.changing.subject import every_method
    from harness.llm.catalogue import DEFAULT_MODEL, resolve_model

    found, left_out = every_method(resolve_model(model or DEFAULT_MODEL))
    for reason in left_out.values():
        typer.echo(f"left out: {reason}", err=True)
    return found
