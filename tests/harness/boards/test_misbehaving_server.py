"""One board of all kinds of methods against a stub that misbehaves: it ends, is completed."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

import harness.llm.open
from harness.llm.base import LanguageModel
from harness.llm.model_config import ModelConfig
from harness.llm.server.model import ServerModel
from harness.registry import names
from harness.runs.directory import find_runs
from harness.runs.manifest import read_manifest
from harness.testing.models import hashed_probability
from methods.corag.checkout import read_checkout
from tests.harness.conftest import CommandLine
from tests.harness.lab import write_task
from tests.harness.retrieval.helpers import HashEncoder
from tests.methods.adaptive_lab import build_tiny_encoder
from tests.methods.corag_checkout import write_checkout
from tests.stub import FAULTS, Asked, Fault, Stub, Words

PATIENCE = 0.5
"""Seconds that the client waits for a reply."""
KINDS = [*FAULTS.values(), Fault(drops=True, delay=1.5 * PATIENCE)]
HARD = "number 3 "
"""A question that the server does not answer until it is well."""
READ_VECTORS = (
    "compressor", "compressor-shuffled", "parametric-qa", "parametric-qa-gold",
    "parametric-qa-shuffled", "token-memory", "xrag", "xrag-shuffled",
)  # fmt: skip
CONSOLIDATED = ("parametric-qa-consolidated", "parametric-qa-consolidated-unstudied")
TRAIN = ("lora-in-weights", "lora-in-weights-other", "prag", "prag-shuffled")
LAYERS = ("memory-layer", "memory-layer-other", "memit", "rome")
CARTRIDGES = ("cartridge", "cartridge-other")
JOINT = (
    "parametric-qa-joint", "parametric-qa-joint-closed-book", "parametric-qa-joint-shuffled",
)  # fmt: skip
LOCAL = (*READ_VECTORS, *CONSOLIDATED, *TRAIN, *LAYERS, *CARTRIDGES, *JOINT, "self-rag")
"""Methods whose vectors, adapters, keys or weights no server takes, or that write own tokens."""
LACKS = {
    **dict.fromkeys(
        READ_VECTORS,
        "needs the capability 'hidden-states' and the capability 'soft-prompts',",
    ),
    **dict.fromkeys(
        CONSOLIDATED, "needs the capability 'adapters' and the capability 'hidden-states' and"
    ),
    **dict.fromkeys(CARTRIDGES, "needs the capability 'key-value-prompts' and the capability 'tra"),
    **dict.fromkeys(TRAIN, "needs the capability 'adapters' and the capability 'training', which"),
    **dict.fromkeys(JOINT, "needs the capability 'adapters' and the capability 'soft-prompts' and"),
    **dict.fromkeys(LAYERS, "needs the capability 'training' and the capability 'weights', which"),
    "self-rag": "needs the tokens [Retrieval]",
    "corag": "asks in its authors' words, which are not shipped",
    "corag-reworded": "needs training for 'corag'",
}
"""What a server of a model that is no checkpoint is told to lack, or a user to give."""
CONTROLS = (
    "adaptive-rag-dataset-prior", "adaptive-rag-oracle", "full-context-other", "graph-ppr-shuffled",
    "hipporag-shuffled", "parametric-qa-bm25", "parametric-qa-closed-book", "pruned-text-oracle",
)  # fmt: skip
"""Methods that ask as others do, of other passages."""
SAMPLE = "The capital of France is"


def reply(prompt: str) -> str:
    """Words that depend on the whole prompt; what comes of the hard question is known by them."""
    of = HARD if HARD in prompt else ""
    return f"name{int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % 12} is {of}it"


class Moody:
    """One request in eight meets a fault when it first comes; the hard one as long as it is ill."""

    def __init__(self) -> None:
        self.ill, self.met = True, set[int]()

    def __call__(self, asked: Asked) -> Fault | None:
        digest = hashlib.sha256(asked.text.encode()).digest()
        hard = self.ill and HARD in asked.text
        if not hard and (asked.before or digest[0] >= 32):
            return None
        kind = (digest[1] + asked.before) % len(KINDS)
        self.met.add(kind)
        return KINDS[kind]


@pytest.fixture
def moods() -> Moody:
    return Moody()


@pytest.fixture
def stub(moods: Moody) -> Any:
    refuses = ["seed", "temperature 0", "max_tokens"]
    options: dict[str, Any] = {"thoughts": "hm, let me see", "parts": True, "usage": False}
    with Stub(
        Words(reply, hashed_probability), faults=moods, refuses=refuses, **options
    ) as running:
        yield running


@pytest.fixture
def quick_client(monkeypatch: pytest.MonkeyPatch, cli: CommandLine) -> None:
    """Models are opened as always, but their clients wait for little."""

    def opened(config: ModelConfig, **_: Any) -> LanguageModel:
        model = ServerModel(config, timeout=PATIENCE, max_retries=2, pause=0.001)
        model.probe()
        model.trained_for = frozenset(config.trained_for)
        return model

    monkeypatch.setattr(harness.llm.open, "open_model", opened)


@pytest.fixture
def methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Methods that a server can run, with what they must be given and what makes them short."""
    checkout = write_checkout(tmp_path)
    monkeypatch.setattr("methods.corag.method.AUTHORS", read_checkout(checkout).prompts_fingerprint)
    router = str(build_tiny_encoder(tmp_path / "router"))
    # Not the encoder itself, which is loaded for seconds each time that it is opened.
    monkeypatch.setattr("harness.retrieval.dense.SentenceEncoder", lambda _: HashEncoder())
    monkeypatch.setattr("methods.hipporag.method.HippoRAG.open_encoder", lambda _: HashEncoder())
    steps, chain = {"max_steps": 2}, {"retriever": "bm25", "max_path_length": 1}
    tuned = {**chain, "task_description": "answer"}
    learns = {"router": router, "bias_tasks": [], "epochs": 1, "max_length": 32}
    given: dict[str, dict[str, Any]] = {
        "adaptive-rag": {**steps, **learns},
        "adaptive-rag-llm-router": steps,
        # Chains are chosen by log-probability.
        "corag": {**tuned, "prompts": str(checkout), "strategy": "best_of_n", "chains": 2},
        "corag-prompted": chain,
        "corag-reworded": tuned,
        "ircot": steps,
        "self-rag-prompted": {"retriever": "bm25", "k": 2},
    }
    left_out = {*LOCAL, *CONTROLS}
    return {name: given.get(name, {}) for name in names("methods") if name not in left_out}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_task(tmp_path / "files", questions=10)


@pytest.fixture
def board(
    files: Path, tmp_path: Path, stub: Stub, methods: dict[str, Any], quick_client: None
) -> Path:
    path = tmp_path / "board.yaml"
    model = {"name": "openai:m", "base_url": stub.url, "prompt_style": "chat"}
    content = {
        "name": "misbehaving",
        "methods": [{"name": name, "params": params} for name, params in methods.items()],
        "models": [{**model, "thinking_tokens": 16, "trained_for": ["corag"]}],
        "latency": {"queries": 0},
        "tasks": [
            {
                "name": "toy",
                "files": {
                    kind: str(files / f"{kind}.jsonl") for kind in ("questions", "corpus", "train")
                },
            }
        ],
    }
    path.write_text(yaml.safe_dump(content))
    return path


def rows(cli: CommandLine, out: Path) -> dict[str, dict[str, str]]:
    done = cli("leaderboard", out, "--format", "csv")
    assert done.code == 0, done.err
    return {row["method"]: row for row in csv.DictReader(done.out.splitlines())}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_board_of_all_kinds_of_methods_ends_and_a_second_run_answers_the_rest(
    cli: CommandLine, board: Path, methods: dict[str, Any], stub: Stub, moods: Moody, tmp_path: Path
) -> None:
    out, whole = tmp_path / "runs", tmp_path / "whole"
    done = cli("run", board, "--out", out)
    assert done.code == 0, done.err
    assert moods.met == set(range(len(KINDS)))
    first = rows(cli, out)
    assert set(first) == set(methods)
    for row in first.values():
        assert (row["unanswered"], row["questions"], row["errors"]) == ("1", "9", "0"), row
        assert int(row["retries"]) >= 2
        assert row["prompt_tokens_per_question"] == row["completion_tokens_per_question"] == "", row
    assert done.err.count("questions left unanswered by the model's server: 1;") == len(methods)
    told = cli("leaderboard", out).out
    assert "not seeded" in told
    moods.ill, before = False, len(stub.asked)
    done = cli("run", board, "--out", out)
    assert done.code == 0, done.err
    for asked in stub.asked[before:]:
        assert HARD in asked.text or SAMPLE in asked.text
    again = rows(cli, out)
    assert {(row["unanswered"], row["questions"]) for row in again.values()} == {("0", "10")}
    assert cli("run", board, "--out", out).err.count("finished before") == len(methods)
    assert cli("run", board, "--out", whole).code == 0
    assert len(find_runs(out)) == len(methods)
    for folder in find_runs(out):
        for name in ("predictions.jsonl", "scores.jsonl", "scores.json"):
            undisturbed = whole / folder.relative_to(out) / name
            assert (folder / name).read_bytes() == undisturbed.read_bytes()
        adapted = read_manifest(folder).model_provenance["adapted"]
        assert adapted == ["max_tokens as max_completion_tokens", "seed", "temperature"]


@pytest.mark.parametrize("name", LACKS)
def test_a_method_that_the_server_cannot_run_is_refused_by_name_before_any_work(
    cli: CommandLine, stub: Stub, files: Path, name: str, quick_client: None, tmp_path: Path
) -> None:
    paths = [f"--{kind}={files / kind}.jsonl" for kind in ("questions", "corpus", "train")]
    out, model = tmp_path / "runs", f"openai:m@{stub.url}"
    line = cli.refuses("run", "--method", name, "--task", "toy", *paths, "--out", out,
                       "--model", model)  # fmt: skip
    assert line.startswith(f"error: method '{name}' {LACKS[name]}")
    assert all(SAMPLE in asked.text for asked in stub.asked)
    assert not out.exists()
