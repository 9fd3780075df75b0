"""The commands of authors, which begin with ``new-`` or ``check-``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.common import Plugins, load_plugins

if TYPE_CHECKING:
    from harness.llm.base import LanguageModel
    from harness.testing.findings import Findings

Out = Annotated[Path, typer.Option(help="Folder to write into.")]


def new_method(
    name: Annotated[str, typer.Argument(help="Such as retrieve-twice.")],
    out: Out = Path(),
    memory: Annotated[
        bool, typer.Option("--memory", help="Start with write, load and storage.")
    ] = False,
    package: Annotated[
        bool, typer.Option("--package", help="Write a package that pip installs.")
    ] = False,
) -> None:
    """Write a small working method and its test, to start from."""
    from harness.authors.starting import new_method as write

    file = write(name, out, memory=memory, package=package)
    plugin = "" if package else f" --plugin {file}"
    test = file.with_name(f"test_{file.name}")
    typer.echo(f"written: {file} and {test}{', pyproject.toml' if package else ''}; next:")
    if package:
        typer.echo(f"  pip install -e {file.parent}")
    typer.echo(f"  memory-harness check-method {file}")
    typer.echo(f"  pytest {test}")
    typer.echo(
        f"  memory-harness run{plugin} --method {name} --task nq --limit 20 --out runs/{name}"
    )
    typer.echo(f"  memory-harness leaderboard runs/{name}")


def new_task(
    name: Annotated[str, typer.Argument(help="Such as support-tickets.")], out: Out = Path()
) -> None:
    """Write a small working task folder, to put your own data in."""
    from harness.authors.starting import new_task as write

    folder = write(name, out)
    # A bare name would be one of the table.
    place = folder if folder.is_absolute() else f"./{folder}"
    typer.echo(f"written: {folder} (README.md says what to replace); next:")
    typer.echo(f"  memory-harness check-task {place}")
    typer.echo(f"  memory-harness run --method bm25 --task {place} --out runs/{name}")
    typer.echo(f"  memory-harness leaderboard runs/{name}")


def check_task(
    folder: Annotated[Path, typer.Argument(help="The folder that holds a task.yaml.")],
) -> None:
    """Read and validate all of a task folder, count it, and say what to look at."""
    from harness.authors.checked_task import check_task as check

    for label, finding in check(folder):
        typer.echo(f"{label:10} {finding}")


def check_method(
    target: Annotated[str, typer.Argument(help="FILE.py, FILE.py:CLASS, MODULE:CLASS or a name.")],
    param: Annotated[list[str] | None, typer.Option("-p", help="Method parameter, k=10.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Check with this model: a catalogue name, path:…")
    ] = None,
    max_calls: Annotated[int, typer.Option(help="Calls that a question may take.")] = 200,
    seconds: Annotated[float, typer.Option(help="That may pass without a call.")] = 30,
    plugin: Plugins = None,
) -> None:
    """Check a method against the rules that the harness relies on.

    Exit status 1 and, for every broken rule, what is wrong, where, and how it is mended.
    """
    from harness.authors.elsewhere import answers_elsewhere
    from harness.authors.target import find_target
    from harness.cli.run import method_params
    from harness.testing.conformance import examine
    from harness.testing.findings import BrokenRuleError

    load_plugins(plugin)
    values = method_params(param)
    elsewhere = partial(answers_elsewhere, target, values, seconds, plugin or ())
    try:
        found = find_target(target, seconds)
    except BrokenRuleError as error:
        _tell(error.findings)
    else:
        _tell(
            examine(
                found.cls,
                values,
                model=_model(model),
                max_calls=max_calls,
                seconds=seconds,
                imported=found.seen,
                elsewhere=None if model else elsewhere,
            )
        )


def check_retriever(
    name: Annotated[str, typer.Argument(help="A plug-in's name, with parameters: NAME,PARAM=2.")],
    plugin: Plugins = None,
) -> None:
    """Check a retriever against the rules that the harness relies on."""
    from harness.testing.rules_of_retrievers import examine_retriever

    load_plugins(plugin)
    _tell(examine_retriever(name))


def _model(name: str | None) -> LanguageModel | None:
    if name is None:
        return None
    from harness.llm.catalogue import resolve_model
    from harness.llm.open import open_model
    from harness.meters.hardware import set_torch_threads

    set_torch_threads()
    return open_model(resolve_model(name))


def _tell(findings: Findings) -> None:
    for breach in findings.broken:
        typer.echo(f"BROKEN {breach.rule}\n       {breach.wrong}\n       fix: {breach.fix}")
    for rule, why in findings.unchecked:
        typer.echo(f"not checked: {rule}, since another is broken: {why}")
    for rule in findings.kept:
        typer.echo(f"kept   {rule}")
    broken = len({breach.rule for breach in findings.broken})
    unchecked = f", {len(findings.unchecked)} not checked" if findings.unchecked else ""
    counts = f"{len(findings.kept)} rules kept, {broken} broken{unchecked}"
    typer.echo(f"{findings.name}: {counts}")
    if broken:
        raise typer.Exit(1)
