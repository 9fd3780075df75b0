"""What a plug-in may bring beside methods, from a file or as an installed package."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import registry
from harness.boards.file import read_board
from harness.errors import ConfigError, HarnessError, InputError
from harness.llm.catalogue import catalogue, resolve_model
from harness.metrics import answer_metrics
from harness.registry import board_file, load_plugin, names, task_folder
from harness.retrieval.catalogue import encoder_entry, encoder_names
from harness.retrieval.open import open_retriever, retriever_config, retriever_names
from tests.harness.conftest import CommandLine

Plugin = Callable[..., Path]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """Writes a plug-in into a folder that is not the working one, and loads it."""

    def write(text: str) -> Path:
        folder = tmp_path / "elsewhere"
        folder.mkdir(exist_ok=True)
        path = folder / "mine.py"
        path.write_text(text)
        sys.modules.pop("memory_harness_plugin_mine", None)
        load_plugin(str(path))
        return folder

    monkeypatch.chdir(tmp_path)
    return write


def test_tasks_and_boards_lie_beside_the_plug_in(plugin: Plugin) -> None:
    folder = plugin(
        "TASKS = {'zoo': 'zoo', 'far': '/data/far'}\nBOARDS = {'birds': 'b/birds.yaml'}"
    )
    assert task_folder("zoo") == folder / "zoo"
    assert task_folder("far") == Path("/data/far")
    assert board_file("birds") == folder / "b" / "birds.yaml"


def test_models_join_the_catalogue(plugin: Plugin) -> None:
    plugin("MODELS = {'parrot-1b': {'path': 'birds/parrot', 'prompt_style': 'chat'}}")
    assert resolve_model("parrot-1b").path == "birds/parrot"
    assert "parrot-1b" in catalogue()
    varied = resolve_model({"name": "parrot-1b", "quantization": "nf4"})
    assert (varied.path, varied.quantization) == ("birds/parrot", "nf4")


def test_a_wrong_model_is_named(plugin: Plugin) -> None:
    plugin("MODELS = {'parrot-1b': {'pth': 'birds/parrot'}}")
    with pytest.raises(ConfigError, match="no option 'pth'; did you mean 'path'"):
        resolve_model("parrot-1b")


def test_encoders_join_the_catalogue(plugin: Plugin) -> None:
    plugin(
        "ENCODERS = {'beak': {'hub': 'birds/beak', 'settings': "
        "{'query_prefix': 'q: ', 'passage_prefix': '', 'normalize': True}}}"
    )
    assert encoder_entry("beak").settings.query_prefix == "q: "
    assert encoder_names()[-1] == "beak"
    assert "beak" in retriever_names()
    assert retriever_config("beak")["hub"] == "birds/beak"


def test_a_wrong_encoder_is_named(plugin: Plugin) -> None:
    plugin("ENCODERS = {'beak': {'hub': 'birds/beak'}}")
    with pytest.raises(ConfigError, match="an encoder of a plug-in: settings: field required"):
        encoder_names()


RETRIEVER = """
from harness.retrieval.base import Retriever

class Last(Retriever):
    name = "last"

    def __init__(self, corpus, newest=1):
        self.corpus, self.newest = corpus, newest

    def search(self, queries, k):
        first = len(self.corpus) - min(k, self.newest)
        return [[self.corpus[i] for i in range(first, len(self.corpus))] for _ in queries]

    def storage(self):
        return {}

RETRIEVERS = {"last": Last, "wrong": "json:dumps"}
"""


def test_retrievers_open_like_the_built_in_ones(plugin: Plugin, files: Path) -> None:
    from harness.data.corpus import Corpus

    plugin(RETRIEVER)
    corpus = Corpus.open(files / "corpus.jsonl")
    found = open_retriever("last", corpus, settings={"newest": 2}).search(["who?"], 5)
    assert [passage.id for passage in found[0]] == ["d28", "d29"]
    assert retriever_config("last", {"newest": 2}) == {"kind": "last", "newest": 2}
    with pytest.raises(ConfigError, match="retriever 'wrong': .* is not a subclass of Retriever"):
        retriever_config("wrong")
    with pytest.raises(ConfigError, match="no retriever 'lats'; did you mean 'last'"):
        retriever_config("lats")


def test_a_method_retrieves_with_a_retriever_of_a_plug_in(
    cli: CommandLine, plugin: Plugin, files: Path, tmp_path: Path
) -> None:
    plugin(RETRIEVER)
    done = cli(
        "run", "--method", "standard-rag", "-p", "retriever=last", "--task", "toy", "--questions",
        files / "questions.jsonl", "--corpus", files / "corpus.jsonl", "-p", "shots=0",
        "--latency-queries", 0, "--out", tmp_path / "runs",
    )  # fmt: skip
    assert done.code == 0, done.err


def test_a_task_of_a_plug_in_is_scored_by_its_own_metric(
    cli: CommandLine, plugin: Plugin, files: Path, tmp_path: Path
) -> None:
    folder = plugin(
        "def half(prediction, golds): return 0.5\nMETRICS = {'half': half}\nTASKS = {'zoo': 'zoo'}"
    )
    (folder / "zoo").mkdir()
    files.rename(folder / "zoo" / "sample")
    (folder / "zoo" / "task.yaml").write_text("name: zoo\ntitle: Zoo\nmetrics: [em, half]\n")
    run = ("run", "--method", "no-retrieval", "--task", "zoo", "--latency-queries", 0)
    assert cli(*run, "--out", tmp_path / "runs").code == 0
    (scores,) = (tmp_path / "runs").rglob("scores.jsonl")
    assert '"half":0.5' in scores.read_text().replace(" ", "")


@pytest.mark.parametrize(
    ("text", "ask", "problem"),
    [
        ("TASKS = {'nq': 'nq'}", None, "task 'nq' exists already"),
        ("BOARDS = {'quickstart': 'b.yaml'}", None, "board 'quickstart' exists already"),
        ("PREPARATIONS = {'train': int}", None, "preparation 'train' exists already"),
        ("MODELS = {'smollm2-135m-instruct': {}}", catalogue, "model 'smollm2-135m-instruct' exi"),
        ("ENCODERS = {'e5-base-v2': {}}", encoder_names, "encoder 'e5-base-v2' exists already"),
        ("METRICS = {'em': int}", answer_metrics, "metric 'em' exists already"),
        ("RETRIEVERS = {'bm25': int}", retriever_names, "retriever 'bm25' exists already"),
        ("TASKS = {'zoo': 3}", None, "plugin '.*mine.py': TASKS: 'zoo' must be a path"),
    ],
)
def test_a_plug_in_replaces_nothing(plugin: Plugin, text: str, ask, problem: str) -> None:
    with pytest.raises(HarnessError, match=problem):
        plugin(text)
        ask()


# Installed packages


@pytest.fixture
def installed(tmp_path: Path):
    """Installs a package with the entry point of plug-ins; runs the command line beside it."""
    place = tmp_path / "site"

    def command(
        text: str, *arguments: str, points: str = "[memory_harness.plugins]\nfeathers = feathers\n"
    ) -> tuple[str, str]:
        info = place / "feathers-1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: feathers\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(points)
        (place / "feathers.py").write_text(text)
        path = os.pathsep.join([str(place), str(registry.HOUSE)])
        done = subprocess.run(
            [sys.executable, "-c", "from harness.cli.main import main; main()", *arguments],
            env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=60,
            cwd=tmp_path, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        return done.stdout, done.stderr

    return command


def test_an_installed_plug_in_is_there_without_being_named(installed) -> None:
    text = "def fly():\n    'Fly away.'\n    print('gone')\nCOMMANDS = {'fly': fly}\n"
    help_page, _ = installed(text, "--help")
    assert "Commands of feathers:\n  fly " in help_page
    assert installed(text, "fly")[0] == "gone\n"
    models = "MODELS = {'parrot-1b': {'path': 'birds/parrot', 'licence': 'MIT'}}\n"
    assert "parrot-1b" in installed(models, "list", "models")[0]


def test_an_installed_method_is_there_by_its_own_entry_point(installed) -> None:
    text = "from tests.harness.lab import Ask as Fly\n"
    points = "[memory_harness.methods]\nfly = feathers:Fly\ngone = feathers:Gone\n"
    assert "method: fly\n" in installed(text, "describe", "fly", points=points)[0]
    _, errors = installed(text, "run", "--method", "gone", "--task", "nq", points=points)
    assert errors.startswith("error: method 'gone' cannot be loaded from EntryPoint(")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("METHODS = {'bm25': int}", "method 'bm25' exists already"),
        ("x = 1", "offers nothing"),
    ],
)
def test_a_broken_installed_plug_in_is_named_and_breaks_nothing(installed, text, why) -> None:
    help_page, errors = installed(text, "--help")
    assert errors == ""
    assert "Commands of methods:" in help_page
    assert "Plug-ins that cannot be used:\n  feathers" in help_page
    assert why in " ".join(help_page.split())
    assert "quickstart" in installed(text, "list", "boards")[0]
    _, errors = installed(text, "run", "--method", "bm26", "--task", "nq")
    assert errors.startswith("error: unknown method 'bm26'; did you mean 'bm25'?")
    assert f"; plug-in 'feathers' cannot be used: {why}" in errors.replace("plugin 'feathers' ", "")
    assert len(errors.splitlines()) == 1


# Names in the way


SHADOWS = ("tasks", "methods", "leaderboards")


@pytest.fixture
def in_the_way(tmp_path: Path):
    """The command line in a folder where files have the names of the house's packages."""

    def command(*arguments: str, names: tuple[str, ...] = SHADOWS) -> subprocess.CompletedProcess:
        for name in SHADOWS:
            (tmp_path / f"{name}.py").unlink(missing_ok=True)
        for name in names:
            (tmp_path / f"{name}.py").write_text("raise SystemExit('mine was run')\n")
        # As with `python -m`, the working folder comes first.
        code = "import sys; sys.path.insert(0, ''); from harness.cli.main import main; main()"
        env = {**os.environ, "PYTHONPATH": str(registry.HOUSE)}
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=tmp_path, env=env, capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip

    return command


def test_tasks_and_boards_are_found_whatever_lies_in_the_folder(in_the_way) -> None:
    assert "hotpotqa" in in_the_way("list", "tasks").stdout
    # Boards that prepare something need the methods whose verbs they use.
    assert "quickstart" in in_the_way("list", "boards", names=("tasks", "leaderboards")).stdout


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("list", "methods"), "methods"),
        (("run", "--method", "bm25", "--task", "nq"), "methods"),
        (("train", "smollm2-135m-instruct", "--out", "x"), "methods"),
        (("leaderboard", "runs"), "leaderboards"),
    ],
)
def test_a_module_in_the_way_is_named(in_the_way, tmp_path: Path, arguments, name: str) -> None:
    done = in_the_way(*arguments, names=(name,))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line == (
        f"error: {tmp_path / name}.py: in the way of memory-harness's own package '{name}'; rename "
        "it, or leave its folder and take it off PYTHONPATH"
    )


def test_a_users_tasks_module_changes_nothing(in_the_way, tmp_path: Path) -> None:
    done = in_the_way("describe", "nq", names=("tasks",))
    assert (done.returncode, done.stderr) == (0, "")


def test_every_shipped_board_can_be_read_from_anywhere(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert all(read_board(name).name == name for name in names("boards"))
    with pytest.raises(InputError, match="no such board file"):
        read_board("./quickstart.yaml")
