"""Methods as the commands for all methods name them, and Parametric QA's own options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from harness.errors import ConfigError

MEMORY, TEXT = "parametric-qa", "bm25"
"""What is evaluated where no method is named."""

Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method", help=f"A method; repeat for more. By default {MEMORY}, and {TEXT} beside it."
    ),
]


def method_entries(
    names: Sequence[str] | None,
    pairs: list[str] | None,
    own: Mapping[str, Any],
    default: Sequence[str],
) -> list[dict[str, Any]]:
    """A board's entries of the methods, ``own`` parameters those of Parametric QA.

    Raises ConfigError for parameters that are of none of them, or of several.
    """
    from harness.cli.run import method_params

    chosen, params = list(names or default), method_params(pairs)
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
