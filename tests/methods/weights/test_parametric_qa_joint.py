"""parametric-qa-joint: codes and model learn a pool together, the same each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from harness.boards.method_entry import load_method
from harness.fingerprint import folder_fingerprint
from harness.llm.edits import weights_digest
from harness.testing.conformance import check_method
from methods.parametric_qa.controls import ParametricQAClosedBook
from methods.parametric_qa.memory.bank import MemoryBank
from methods.parametric_qa.memory.pages import PAGES_FILE
from methods.parametric_qa.method import ParametricQA
from methods.parametric_qa_joint import training as joint
from methods.parametric_qa_joint.controls import JointClosedBook, JointShuffled
from methods.parametric_qa_joint.method import ParametricQAJoint
from methods.parametric_qa_joint.rows import material_of
from methods.parametric_qa_joint.tuning import own_weights
from methods.study import training
from tests.methods.parametric_qa.small_tasks import write_shared
from tests.methods.weights.lab import (
    BUILT,
    PASSAGES,
    KilledError,
    answers,
    killed_in_the_fourth_step,
    load,
    written,
)
from tests.tiny import save_tiny_adapter

PARTS = {"shared": None, "slots": 4, "z_dim": 64, "max_tokens": 4, "ranked": 1}
QUICK = {**PARTS, "steps": 4, "batch": 4, "rank": 4, "questions": 4, "recalls": 1}
LEARNS = {"steps": 80, "rank": 8, "model_rate": 1e-2}
RATES = {"z": {"learning_rate": 0.5}, "z+lora": {}, "z+full": {"model_rate": 1e-3}}
ASK = {"vell": BUILT, "oster": "what is a port on the river ilm"}
SAID = {"vell": "Mara Quint", "oster": "Oster"}
WAYS = ("z", "z+lora", "z+full")


@pytest.fixture(scope="module")
def tiny(completion_model_dir):
    return load(completion_model_dir)


@pytest.fixture(scope="module", params=WAYS)
def memory(request, tiny, tmp_path_factory):
    """A way of training, and a memory that was trained by it until it was known."""
    one = method(train=request.param, **{**LEARNS, **RATES[request.param]})
    return request.param, written(one, tiny, tmp_path_factory.mktemp("joint") / "memory")


def method(cls=ParametricQAJoint, **params):
    return cls(cls.Params(**{**QUICK, "max_tokens": 16, **params}))


def plain(cls=ParametricQA, **params):
    kept = {key: value for key, value in PARTS.items() if key in cls.Params.model_fields}
    return cls(cls.Params(**{**kept, "max_tokens": 16, **params}))


def said(*asked) -> dict[str, str]:
    return {id_: prediction.answer for id_, prediction in answers(*asked).items()}


def codes(folder: Path) -> dict[str, bytes]:
    bank = MemoryBank.open(folder / "bank")
    return {id_: bank.raw(id_) for id_ in bank.ids}


def told(folder: Path) -> dict:
    return json.loads((folder / "study.json").read_text())


def files(folder: Path) -> str:
    """All that is written but the bank, whose files have names of their own, and all codes."""
    parts = sorted(p.relative_to(folder).as_posix() for p in folder.iterdir() if p.name != "bank")
    return f"{folder_fingerprint(folder, tuple(parts))} {codes(folder)}"


def test_it_answers_from_what_it_has_learnt_and_leaves_the_model_alone(tiny, memory):
    way, folder = memory
    before = weights_digest(tiny.model)
    losses = told(folder)["losses"]
    # Frozen, a model of random weights is steered as far, and not to a whole answer.
    assert losses[-1] < (0.6 if way == "z" else 0.1) * losses[0]
    assert (said(method(train=way), tiny, folder, ASK) == SAID) == (way != "z")
    assert weights_digest(tiny.model) == before
    assert not any(weight.requires_grad for weight in tiny.model.parameters())


def test_the_controls_tell_codes_from_weights(tiny, memory):
    way, folder = memory
    shuffled, alone = (
        said(method(cls, train=way), tiny, folder, ASK) for cls in (JointShuffled, JointClosedBook)
    )
    assert shuffled != said(method(train=way), tiny, folder, ASK), "memories are read"
    untrained = said(plain(ParametricQAClosedBook), tiny, folder, ASK)
    if way == "z":
        assert alone == untrained, "the model is what it was"
    else:
        assert alone != untrained, "the model is the trained one"


def test_a_closed_book_control_is_asked_without_memories(tiny, memory):
    way, folder = memory
    found = answers(method(JointClosedBook, train=way), tiny, folder, ASK)["vell"]
    asked = next(step for step in found.steps if step.kind == "generate").data["prompt"]
    (same,) = answers(plain(ParametricQAClosedBook), tiny, folder, {"vell": BUILT}).values()
    assert asked == same.steps[-1].data["prompt"]
    assert (found.ranked, found.read_ids) == ([], [])


def test_its_bytes_are_those_of_its_files(tiny, memory):
    way, folder = memory
    one = method(train=way)
    one_report = (answers(one, tiny, folder, ASK), one.storage())[1]
    trained = {"z": [], "z+lora": [*(folder / "adapter").glob("*")]}
    weights = trained.get(way, [folder / "weights.safetensors"])
    assert one_report.parts.get("adapters", 0) == sum(file.stat().st_size for file in weights)
    assert one_report.parts["memory vectors"] == sum(
        file.stat().st_size for file in (folder / "bank").iterdir()
    )
    if way == "z+full":
        count = sum(weight.numel() for weight in own_weights(tiny.model).values())
        assert 2 * count < one_report.parts["adapters"] < 2 * count + 10_000


@pytest.mark.parametrize("way", ["z+lora"])
def test_without_a_step_it_is_parametric_qa(tiny, tmp_path, way):
    own = written(method(train=way, steps=0), tiny, tmp_path / "own")
    theirs = written(plain(), tiny, tmp_path / "theirs")
    assert codes(own) == codes(theirs)
    assert {path.name for path in own.iterdir()} == {"bank", "shared", "study.json"}
    found = said(method(train=way), tiny, own, ASK)
    assert found == said(plain(), tiny, theirs, ASK)


def test_pages_are_written_beside_the_codes_as_parametric_qa_does(tiny, tmp_path):
    own = written(method(steps=0, pages=0.5), tiny, tmp_path / "own")
    theirs = written(plain(pages=0.5), tiny, tmp_path / "theirs")
    assert (own / PAGES_FILE).read_bytes() == (theirs / PAGES_FILE).read_bytes()
    expected = said(plain(pages=0.5), tiny, theirs, ASK)
    assert said(method(steps=0, pages=0.5), tiny, own, ASK) == expected


def test_it_goes_on_from_the_tuned_reader(tiny, completion_model_dir, tmp_path):
    shared = write_shared(tiny, tmp_path / "shared", PASSAGES)
    save_tiny_adapter(completion_model_dir, shared / "adapter")
    given = {"shared": str(shared), "slots": None, "z_dim": None}
    reader = plain(**given)
    with tiny.adapted(reader.adapter):
        tuned = weights_digest(tiny.model)
        theirs = written(reader, tiny, tmp_path / "theirs")
        expected = said(plain(**given), tiny, theirs, ASK)
        own = written(method(**given, steps=0), tiny, tmp_path / "own")
        assert said(method(**given), tiny, own, ASK) == expected
        learnt = written(method(**given, **LEARNS), tiny, tmp_path / "learnt")
        assert said(method(**given), tiny, learnt, ASK) == SAID
        assert weights_digest(tiny.model) == tuned
    # Without the reader's adapter, the change that was learnt on it is of no use.
    assert said(method(**given), tiny, learnt, ASK) != SAID


@pytest.mark.parametrize("way", ["z+lora", "z+full"])
def test_a_kill_at_any_step_ends_in_the_same_bytes(tiny, tmp_path, monkeypatch, way):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    whole = files(written(method(train=way, steps=5), tiny, tmp_path / "whole"))
    before, steps = weights_digest(tiny.model), killed_in_the_fourth_step(monkeypatch)
    with pytest.raises(KilledError):
        written(method(train=way, steps=5), tiny, tmp_path / "killed", tmp_path / "scratch")
    assert weights_digest(tiny.model) == before
    again = written(method(train=way, steps=5), tiny, tmp_path / "again", tmp_path / "scratch")
    assert steps == [1, 2, 3, 4, 3, 4, 5], "it goes on from the checkpoint"
    assert files(again) == whole


def test_a_step_moves_the_codes_that_it_reads_and_no_other(tiny, tmp_path):
    first = codes(written(method(steps=0), tiny, tmp_path / "first"))
    found = codes(written(method(steps=1, batch=1), tiny, tmp_path / "found"))
    assert [found[id_] == first[id_] for id_ in first].count(False) == 1


@pytest.mark.parametrize("way", WAYS)
def test_frozen_is_frozen_and_trained_is_trained(tiny, tmp_path, way):
    folder = written(method(train=way), tiny, tmp_path / "memory")
    names = {path.name for path in folder.iterdir()} - {"bank", "shared", "study.json"}
    assert names == {"z": set(), "z+lora": {"adapter"}, "z+full": {"weights.safetensors"}}[way]
    one = method(train=way)
    answers(one, tiny, folder, {})
    plain_weights = {n: w.detach().clone() for n, w in tiny.model.named_parameters()}
    with tiny.changed(one.changes):
        now = {n: w.detach().clone() for n, w in tiny.model.named_parameters()}
    moved = {name for name, weight in now.items() if not torch.equal(weight, plain_weights[name])}
    assert "model.embed_tokens.weight" not in moved
    if way == "z+full":
        assert moved == own_weights(tiny.model).keys()
        assert {"lm_head.weight", "model.norm.weight"} < moved
    else:
        assert bool(moved) == (way == "z+lora")


def test_a_head_that_shares_the_embeddings_stays_with_them(completion_model_dir, tmp_path):
    llm = load(completion_model_dir)
    llm.model.lm_head.weight = llm.model.model.embed_tokens.weight
    assert not {"lm_head.weight", "model.embed_tokens.weight"} & own_weights(llm.model).keys()
    folder = written(method(train="z+full"), llm, tmp_path / "memory")
    one = method(train="z+full")
    answers(one, llm, folder, ASK)
    assert one.changes.edits.keys() == own_weights(llm.model).keys()


def test_what_was_trained_is_what_answers(tiny, tmp_path, monkeypatch):
    kept = {}

    def watched(llm, params, seed):
        inner = tuned(llm, params, seed)

        class Watch:
            def __enter__(self):
                self.found = inner.__enter__()
                return self.found

            def __exit__(self, *error):
                kept.update({n: w.detach().clone() for n, w in self.found.weights.items()})
                return inner.__exit__(*error)

        return Watch()

    tuned = joint.tuned
    monkeypatch.setattr(joint, "tuned", watched)
    folder = written(method(train="z+full", **RATES["z+full"]), tiny, tmp_path / "m")
    one = method(train="z+full")
    answers(one, tiny, folder, {})
    before = {n: w.detach().clone() for n, w in tiny.model.named_parameters()}
    with tiny.changed(one.changes):
        for name, weight in kept.items():
            change = (weight - before[name]).abs().max()
            lost = (tiny.model.get_parameter(name) - weight).abs().max()
            assert lost <= 2**-8 * change, "bfloat16 has eight digits"


def test_a_model_of_less_precision_is_trained_in_float32_and_comes_back(
    completion_model_dir, tmp_path
):
    llm = load(completion_model_dir, dtype="bfloat16")
    before = weights_digest(llm.model)
    folder = written(method(train="z+full"), llm, tmp_path / "memory")
    assert weights_digest(llm.model) == before
    assert llm.model.dtype == torch.bfloat16
    one = method(train="z+full")
    answers(one, llm, folder, ASK)
    # Smaller than what bfloat16 could add to such weights.
    smallest = min(float(edit.change.abs().max()) for edit in one.changes.edits.values())
    assert 0 < smallest < 1e-3


def test_another_seed_is_another_training(tiny, tmp_path):
    one, other = method(), method()
    first = files(written(one, tiny, tmp_path / "one"))
    again = files(written(other, tiny, tmp_path / "again"))
    assert first == again
    rows = [material_of(tiny, PASSAGES, 4, one.params, seed).rows for seed in (0, 1)]
    assert [row.target for row in rows[0]] != [row.target for row in rows[1]]


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("parametric-qa-joint", "z"),
        ("parametric-qa-joint-closed-book", "z+full"),
        ("parametric-qa-joint-shuffled", "z+lora"),
    ],
)
def test_conformance(tiny, name, way):
    values = {**QUICK, "questions": 1, "steps": 1, "train": way}
    kept = check_method(load_method(name), values, model=tiny)
    assert "afterwards the model's weights are bit for bit what they were" in kept
    assert "needs says what is changed of the model" in kept
    assert "revise() leaves what write() would" not in kept, "a pool that changes is trained anew"
