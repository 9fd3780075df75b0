"""Commands of the harness, of its packages and of plug-ins: found, grouped, imported when used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli.group import Commands
from harness.registry import find, load, names
from tests.harness.conftest import CommandLine

PLUGIN = """
import typer

def greet(name: str) -> None:
    \"\"\"Say hello to NAME.\"\"\"
    typer.echo(f"hello {name}")

farm = typer.Typer(help="Animals of a farm.")

@farm.command()
def cow() -> None:
    typer.echo("moo")

@farm.command()
def hen() -> None:
    typer.echo("cluck")

COMMANDS = {"greet": greet, "farm": farm, "gone": "no_such_module:x"}
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "birds.py"
    path.write_text(PLUGIN)
    return path


@pytest.mark.parametrize("name", names("commands"))
def test_every_command_can_be_loaded_and_says_what_it_does(cli: CommandLine, name: str) -> None:
    assert callable(load("commands", name))
    done = cli(name, "--help")
    assert done.code == 0
    # All arguments of this one are another program's.
    usage = "usage: lm-eval" if name == "lm-eval" else f"memory-harness {name} [OPTIONS]"
    assert usage in " ".join(done.out.split())


def test_help_shows_where_commands_come_from(cli: CommandLine) -> None:
    text = cli("--help").out
    places = [text.index(f"\n{h}:\n") for h in ("Commands", "Commands of methods",
                                                "Commands of leaderboards")]  # fmt: skip
    assert places == sorted(places)
    assert places[0] < text.index("  run  ") < places[1] < text.index("  train  ") < places[2]
    assert places[2] < text.index(["  leaderboard  ", " the tables"][0].rstrip())
    assert "Print the tables of all finished" in text


def test_a_command_of_a_plug_in(cli: CommandLine, plugin: Path) -> None:
    assert cli("--plugin", plugin, "greet", "you").out == "hello you\n"
    assert cli("--plugin", plugin, "farm", "hen").out == "cluck\n"
    text = cli("--plugin", plugin, "--help").out
    assert f"Commands of {plugin}:" in text
    assert "Say hello to NAME." in text
    assert "Animals of a farm." in text


def test_a_broken_command_of_a_plug_in_breaks_no_other(cli: CommandLine, plugin: Path) -> None:
    assert "'gone' cannot be loaded" in " ".join(cli("--plugin", plugin, "--help").out.split())
    line = cli.refuses("--plugin", plugin, "gone")
    assert "command 'gone' cannot be loaded from 'no_such_module:x'" in line


def test_a_plug_in_takes_no_command_that_there_is(cli: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "thief.py"
    for name in ("run", "train", "leaderboard"):
        path.write_text(f"COMMANDS = {{'{name}': print}}\n")
        line = cli.refuses("--plugin", path, "list", "tasks")
        assert f"command '{name}' exists already" in line
        sys.modules.pop("memory_harness_plugin_thief")


def test_an_unknown_command_gets_a_suggestion(cli: CommandLine) -> None:
    assert "No such command 'leaderbord'; did you mean 'leaderboard'?" in cli.refuses("leaderbord")


def test_the_version(cli: CommandLine) -> None:
    import harness

    assert cli("--version").out.startswith(f"memory-harness {harness.__version__}")


def test_only_the_command_that_runs_is_imported() -> None:
    code = (
        "import sys; from harness.cli.main import app\n"
        "try: app(['list', 'tasks'], standalone_mode=False)\n"
        "finally: print(sorted(m for m in sys.modules if '.cli.' in m or m == 'pydantic'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = done.stdout.splitlines()[-1]
    assert "harness.cli.names" in loaded
    assert "harness.cli.run" not in loaded and "methods" not in loaded


def test_the_group_is_a_typer_group_of_any_version() -> None:
    import typer

    app = typer.Typer(cls=Commands)
    app.callback()(lambda: None)
    group = typer.main.get_command(app)
    assert find("commands", "run") == "harness.cli.run:run"
    assert group.list_commands(None)[0] == "run"


def test_the_help_page_imports_nothing_that_takes_long() -> None:
    heavy = {"pydantic", "asyncio", "numpy", "pandas", "pyarrow", "yaml", "rich", "torch"}
    code = (
        "import sys; from harness.cli.main import app\n"
        "try: app(['--help'], standalone_mode=False)\n"
        f"finally: print('heavy:', sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "evaluate-write" in done.stdout and "leaderboard" in done.stdout
    assert done.stdout.splitlines()[-1] == "heavy: []"
