"""What every method of the table owes a user."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import yaml

from harness.boards.method_entry import load_method, parse_params
from harness.registry import names
from harness.testing.conformance import check_method
from harness.testing.models import ScriptedModel
from methods.corag.checkout import read_checkout
from tests.harness.programs import predictions, queries
from tests.harness.retrieval.helpers import HashEncoder
from tests.methods.adaptive_lab import build_tiny_encoder
from tests.methods.corag_checkout import write_checkout

# Writing a memory by default takes a minute: a router learns the shipped tasks' hop types.
# Even so it is trained four times.
SLOW = {"adaptive-rag"}
# Their shared parts are for the default model: untrained ones fit any. Methods that read vectors
# are checked with a model that takes them (parametric_qa, test_compressor, test_consolidation).
UNTRAINED = {"parametric-qa-bm25": {"shared": None}, "parametric-qa-closed-book": {"shared": None}}
READ_VECTORS = {
    "compressor", "compressor-shuffled", "parametric-qa", "parametric-qa-consolidated",
    "parametric-qa-consolidated-unstudied", "parametric-qa-gold", "parametric-qa-shuffled",
    "token-memory",
}  # fmt: skip
# These are checked with a model that they can train (weights, test_cartridge).
TRAIN = {
    "cartridge", "cartridge-other", "lora-in-weights", "lora-in-weights-other", "memit",
    "memory-layer", "memory-layer-other", "parametric-qa-joint", "parametric-qa-joint-closed-book",
    "parametric-qa-joint-shuffled", "prag", "prag-shuffled", "rome",
}  # fmt: skip
# These read vectors by a bridge that is for one model (test_xrag).
BRIDGED = {"xrag", "xrag-shuffled"}


@pytest.fixture(scope="module")
def router(tmp_path_factory) -> str:
    """A tiny encoder of random weights."""
    return str(build_tiny_encoder(tmp_path_factory.mktemp("router")))


@pytest.fixture
def needed(tmp_path, monkeypatch, router) -> dict:
    """Parameters that a method must be given, by its name, or that make it quick.

    CoRAG's prompts are not shipped.
    """
    checkout = write_checkout(tmp_path)
    authors = read_checkout(checkout).prompts_fingerprint
    monkeypatch.setattr("methods.corag.method.AUTHORS", authors)
    encoder = HashEncoder()
    monkeypatch.setattr("methods.hipporag.method.HippoRAG.open_encoder", lambda _: encoder)
    return {
        "corag": {"prompts": str(checkout), "task_description": "answer"},
        "adaptive-rag": {"bias_tasks": (), "epochs": 1, "router": router},
    }


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n
        for n in names("methods")
        if n not in READ_VECTORS | TRAIN | BRIDGED
    ],
)
def test_conformance(name, needed):
    if name == "flashrag":
        pytest.importorskip("flashrag.pipeline")
    check_method(load_method(name), {**UNTRAINED, **needed}.get(name))


@pytest.mark.parametrize("name", names("methods"))
def test_the_class_says_what_it_is(name):
    cls = load_method(name)
    assert cls.__doc__ and cls.Params.__doc__
    assert cls.card.source, "say where the algorithm comes from"


@pytest.mark.parametrize("name", names("methods"))
def test_parameters_that_a_card_recommends_are_there_and_take_the_value(name):
    cls = load_method(name)
    for said in cls.card.deviations:
        for key, value in re.findall(r"-p (\w+)(?:=([\w./-]*\w))?", said):
            assert key in cls.Params.model_fields, said
            if value and not value.isupper():  # PATH stands for a path
                parse_params(cls, name, {key: yaml.safe_load(value)})


def test_titles_are_unique():
    titles = [load_method(name).card.title for name in names("methods")]
    assert len(set(titles)) == len(titles)


def test_listing_methods_imports_no_heavy_library():
    code = (
        "import sys; from harness.boards.method_entry import load_method\n"
        "from harness.registry import names\n"
        "for name in names('methods'): load_method(name)\n"
        "print([m for m in ('torch', 'transformers', 'lm_eval', 'faiss') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("name", "calls"), [("no-retrieval", 0), ("bm25", 1), ("standard-rag", 1)])
def test_the_baselines_read_once(name, calls):
    model = ScriptedModel({"lighthouse": " Mara Quint \nnot this"})
    cls = load_method(name)
    (found,) = predictions(cls(), queries(1), model).values()
    assert found.answer == "Mara Quint"
    assert (found.usage.llm_calls, found.usage.retrievals) == (1, calls)
    (prompt,) = [step.data["prompt"] for step in found.steps if step.kind == "generate"]
    assert all(passage.text in prompt for passage in found.ranked)
    assert ("Passage:" in prompt) == bool(calls)


def test_k_passages_reach_the_reader_with_the_best_next_to_the_question():
    cls = load_method("bm25")
    (found,) = predictions(cls(cls.Params(k=2)), queries(1)).values()
    prompt = found.steps[-1].data["prompt"]
    first, second = found.ranked
    assert prompt.index(first.text) > prompt.index(second.text)
    assert prompt.count("Passage:") == 2
