"""What a plug-in may bring beside methods, from a file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import ConfigError, HarnessError
from harness.llm.catalogue import catalogue, resolve_model
from harness.metrics import answer_metrics
from harness.registry import board_file, load_plugin, task_folder
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
    with pytest.raises(ConfigError, match="encoder 'beak' of a plug-in: settings: field required"):
        encoder_entry("beak")


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
