"""An encoder that adds to span codes: what it begins with, what it reads, how it is trained on."""

from __future__ import annotations

import gzip
import json
import random
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from harness.errors import ConfigError, InputError
from harness.records import Passage, Question
from methods.parametric_qa.evaluate.encoder import evaluate_encoder, read_trained
from methods.parametric_qa.evaluate.encoder_table import lines, table
from methods.parametric_qa.shared import bundle as bundles
from methods.parametric_qa.shared import encoder as encoders
from methods.parametric_qa.shared.bundle import Bundle, adapter_of, contents_fingerprint
from methods.parametric_qa.shared.encoder import encoder_codes
from methods.parametric_qa.shared.initial import span_codes
from methods.parametric_qa.shared.span_encoder import SpanEncoder
from methods.parametric_qa.train import checks, training
from methods.parametric_qa.train.features import Features
from methods.parametric_qa.train.objectives import Asked, Objectives
from methods.parametric_qa.train.recipe import Losses, SelectorTraining, Tuning
from methods.parametric_qa.train.row_sources import Guard, source_task
from methods.parametric_qa.train.start import started
from methods.parametric_qa.train.train_reader import Reader
from methods.parametric_qa.train.tuning import tuned, untuned
from tests.methods.parametric_qa.lab import load_tiny, make_parts, tokens
from tests.methods.parametric_qa.training_lab import recipe, run, toy_task

ALONE = {
    "init": "spans+encoder", "tuning": Tuning(mode="frozen", parts=False), "alone": 6,
    "selection": SelectorTraining(steps=0), "losses": Losses(answer=1, distil=1), "no_memory": 0,
}  # fmt: skip
NOTHING = Guard((), ())


@pytest.fixture(scope="module")
def llm(tiny_model_dir):
    return load_tiny(tiny_model_dir)


@pytest.fixture(scope="module")
def shipped(tiny_model_dir, tmp_path_factory) -> Path:
    """Shared parts with a tuned reader."""
    folder = tmp_path_factory.mktemp("shipped") / "first"
    run(tiny_model_dir, toy_task(), folder, steps=2)
    return folder


@pytest.fixture
def taken_as_shipped(shipped, monkeypatch) -> None:
    monkeypatch.setattr(bundles, "SHIPPED", shipped.parent)


def untrained(llm, **shape) -> SpanEncoder:
    return SpanEncoder.from_model(llm, make_parts(llm), 0, **shape)


def moved(encoder: SpanEncoder) -> SpanEncoder:
    """As a training leaves it: nothing is zero any more."""
    source = torch.Generator().manual_seed(1)
    for weight in encoder.parameters():
        nn.init.normal_(weight, std=0.1, generator=source)
    return encoder


def test_untrained_codes_are_those_of_the_spans_to_the_bit(llm):
    documents = tokens(llm)
    parts = make_parts(llm)
    assert encoder_codes(llm, untrained(llm), documents).equal(span_codes(llm, parts, documents))


def test_a_trained_one_reads_what_comes_before_and_no_other_document(llm):
    documents, encoder = tokens(llm), moved(untrained(llm))
    codes = encoder_codes(llm, encoder, documents)
    alone = torch.cat([encoder_codes(llm, encoder, [document]) for document in documents])
    torch.testing.assert_close(codes, alone, atol=1e-4, rtol=1e-4)
    first = documents[0]
    (other,) = encoder_codes(llm, encoder, [[first[1], *first[1:]]])
    assert (other[-1] - codes[0, -1]).abs().max() > 1e-3


def test_in_training_a_long_document_is_read_apart(llm, monkeypatch):
    documents, encoder = tokens(llm), moved(untrained(llm))
    together = encoder(llm.model, documents)
    monkeypatch.setattr(encoders, "MOST", max(map(len, documents)) ** 2)
    torch.testing.assert_close(encoder(llm.model, documents), together, atol=1e-4, rtol=1e-4)
    assert list(encoders.alike([90, 1, 2, 50])) == [[1, 2], [3], [0]]


def test_only_the_first_layers_are_run_and_the_model_is_left_as_it_was(llm, monkeypatch):
    ran, decoder = [], llm.model.get_decoder()
    layers = decoder.layers
    # As accelerate leaves a rounded model.
    monkeypatch.setitem(decoder.__dict__, "forward", partial(type(decoder).forward, decoder))
    hooks = [
        layer.register_forward_hook(lambda *_, n=n: ran.append(n)) for n, layer in enumerate(layers)
    ]
    encoder_codes(llm, untrained(llm, layers=1), tokens(llm)[:1])
    for hook in hooks:
        hook.remove()
    assert ran == [0] and decoder.layers is layers and "forward" in decoder.__dict__
    assert not any(module._forward_hooks for module in llm.model.modules())


def test_training_reaches_every_number_but_the_first_maps(llm):
    encoder = moved(untrained(llm))
    encoder(llm.model, tokens(llm)[:2]).square().sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in encoder.parameters())
    assert all(weight.grad is None for weight in llm.model.parameters())


def test_a_saved_one_gives_the_same_codes(llm, tmp_path):
    encoder, parts = moved(untrained(llm, layers=1, rank=3)), make_parts(llm)
    encoder.save(tmp_path)
    loaded = SpanEncoder.load(tmp_path)
    loaded.join(parts)
    documents = tokens(llm)
    assert loaded.fingerprint() == encoder.fingerprint()
    torch.testing.assert_close(
        encoder_codes(llm, loaded, documents), encoder_codes(llm, encoder, documents)
    )
    with pytest.raises(ValueError, match="other shared parts"):
        loaded.join(make_parts(llm, slots=3))


def test_killed_and_continued_it_ends_with_the_same_bytes(
    tiny_model_dir, shipped, taken_as_shipped, tmp_path, monkeypatch
):
    run(tiny_model_dir, toy_task(), tmp_path / "whole", start="first", **ALONE)
    step = Reader.step

    def killed(self, number):
        if number == 5:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(Reader, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_model_dir, toy_task(), tmp_path / "part", start="first", **ALONE)
    monkeypatch.setattr(Reader, "step", step)
    run(tiny_model_dir, toy_task(), tmp_path / "part", start="first", **ALONE)
    name = "encoder.safetensors"
    assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_an_encoder_to_shipped_parts_is_written_alone_and_read_with_them(
    tiny_model_dir, shipped, taken_as_shipped, tmp_path
):
    run(tiny_model_dir, toy_task(), tmp_path, start="first", **ALONE, stored="bfloat16")
    there = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert there == {
        "curves.csv", "encoder.json", "encoder.safetensors", "shared.json", "trained_on.json",
    }  # fmt: skip
    found, first = Bundle.load(tmp_path), Bundle.load(shipped)
    assert found.parts.fingerprint() == first.parts.fingerprint()
    assert adapter_of(tmp_path) == shipped / "adapter"
    assert found.encoder.add.weight.abs().sum() > 0
    assert found.fingerprint() != first.fingerprint()
    assert found.bytes > first.bytes
    values = json.loads((tmp_path / "shared.json").read_text())
    (tmp_path / "shared.json").write_text(json.dumps({**values, "base": "frist"}))
    with pytest.raises(InputError, match="no shipped shared parts 'frist'; did you mean 'first'"):
        Bundle.load(tmp_path)


def test_what_a_run_is_of_changes_with_the_parts_that_an_encoder_belongs_to(
    tiny_model_dir, shipped, tmp_path, monkeypatch
):
    copied = shutil.copytree(shipped, tmp_path / "all" / "first")
    monkeypatch.setattr(bundles, "SHIPPED", copied.parent)
    own = tmp_path / "own"
    Bundle.load(copied).save(own, {"base": "first"})
    before = contents_fingerprint(own)
    (copied / "selector.safetensors").write_bytes(b"other")
    assert contents_fingerprint(own) != before


def test_parts_that_start_from_a_folder_are_whole(tiny_model_dir, shipped, tmp_path):
    run(tiny_model_dir, toy_task(), tmp_path, start=str(shipped), **ALONE)
    found = Bundle.load(tmp_path)
    assert found.parts.fingerprint() == Bundle.load(shipped).parts.fingerprint()
    same = "adapter/adapter_model.safetensors"
    assert (tmp_path / same).read_bytes() == (shipped / same).read_bytes()
    assert "base" not in json.loads((tmp_path / "shared.json").read_text())


def test_a_reader_goes_on_from_its_lora_and_learns_from_what_it_was(tiny_model_dir, shipped):
    llm = load_tiny(tiny_model_dir)
    plan = recipe(start=str(shipped), init="spans", losses=Losses(answer=0, distil=1))
    start = started(plan, llm)
    model = tuned(llm.model, "lora", 2, 0, start.trained_adapter)
    features = Features(llm, [toy_task()])
    bundle = training._untrained(plan, llm, features, start)
    objectives = Objectives(features, plan, bundle)
    objectives.start = {n: p.detach().clone() for n, p in training.trainable(model).items()}
    ids = torch.tensor([[1, 2, 3, 4]])
    with llm.adapted(None), torch.no_grad():
        first = model(ids).logits
    made = Reader(plan, model, objectives)
    for number in (1, 2):
        made.step(number)
    with torch.no_grad():
        assert (model(ids).logits - first).abs().max() > 1e-4
        with untuned(model, objectives.start) as teacher:
            assert teacher(ids).logits.equal(first)
        assert (model(ids).logits - first).abs().max() > 1e-4


def test_tokens_take_the_reader_of_parts_that_have_vectors_and_nothing_else(
    tiny_model_dir, shipped, tmp_path
):
    changes = {"picks": True, "slots": 6, "z_dim": 32, "tuning": Tuning(parts=False)}
    run(tiny_model_dir, toy_task(), tmp_path, start=str(shipped), **changes, steps=0)
    found = Bundle.load(tmp_path)
    shape = found.parts.config
    assert (shape.slots, shape.z_dim, shape.picks) == (6, 32, True)
    assert found.parts.telling.std() > 0, "counted over the train questions"
    name = "adapter_model.safetensors"
    tuned_to = load_file(tmp_path / "adapter" / name)
    for key, value in load_file(shipped / "adapter" / name).items():
        torch.testing.assert_close(tuned_to[key], value)
    vectors = recipe(start=str(tmp_path), slots=4)
    with pytest.raises(ConfigError, match="slots is 4, but that of .* is 6; give the same"):
        started(vectors, load_tiny(tiny_model_dir))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tuning": Tuning(mode="full")}, "mode full changes the weights"),
        ({"tuning": Tuning(mode="frozen", parts=False)}, "nothing is trained"),
    ],
)
def test_recipes_that_contradict_themselves_are_refused(changes, told):
    with pytest.raises(ConfigError, match=told):
        checks.check_recipe(recipe(start="first", **changes))


def test_another_shape_than_that_of_the_parts_is_refused(tiny_model_dir, shipped):
    with pytest.raises(ConfigError, match="slots is 5, but that of .* is 4; give the same"):
        started(recipe(start=str(shipped), slots=5), load_tiny(tiny_model_dir))


def test_a_question_without_ranked_passages_is_shown_its_gold(tiny_model_dir):
    features = Features(load_tiny(tiny_model_dir), [toy_task()])
    plan = recipe(no_memory=0)
    bundle = Bundle.untrained(make_parts(features.llm), plan.selector)
    objectives = Objectives(features, plan, bundle)
    task, question = features.train[0]
    asked = objectives.ask(task, question, 1, random.Random(0), forced=True)
    assert asked == Asked(task, question, question.gold_doc_ids)


def test_an_evaluation_pairs_the_encoder_with_spans_on_what_was_held_out(
    tiny_model_dir, shipped, taken_as_shipped, tmp_path, monkeypatch
):
    task = toy_task()
    held = replace(task, train=task.train[:2], validation=task.train[2:] + task.validation)
    monkeypatch.setattr(
        "methods.parametric_qa.evaluate.encoder.read_training_tasks", lambda _: [held]
    )
    run(tiny_model_dir, task, tmp_path, start="first", **ALONE | {"alone": 0}, steps=0)
    llm = load_tiny(tiny_model_dir)
    found = evaluate_encoder(llm, read_trained(str(tmp_path), None, llm.config), 3)
    assert [record.id for record in found.questions] == [q.id for q in held.validation][:3]
    by_view = {(line["measure"], line["against"]): line for line in lines(found)}
    assert by_view["perplexity", "spans"]["difference"] == 0 == by_view["f1", "spans"]["difference"]
    assert by_view["perplexity", "none"]["difference"] != 0
    for record in found.questions:
        assert record.nats["other"] != record.nats["encoder"]
    moved(encoder := SpanEncoder.load(tmp_path)).save(tmp_path)
    trained = read_trained(str(tmp_path), None, llm.config)
    again = {line["against"]: line for line in lines(evaluate_encoder(llm, trained, 3))}
    assert encoder.add.weight.any() and again["spans"]["difference"] != 0
    assert "first" in table(found) or str(tmp_path) in table(found)
    with pytest.raises(ConfigError, match="have no encoder; train one"):
        read_trained(str(shipped), None, llm.config)


def rows(folder: Path, count: int = 90) -> Path:
    lines = [
        {
            "id": f"r{n}", "question": f"Where is place {n}?", "golden_answers": [f"town {n}"],
            "passage": {"title": "", "text": f"Place {n // 3} lies near towns such as town {n}."},
        }
        for n in range(count)
    ]  # fmt: skip
    for n, row in enumerate(lines):
        row["passage"]["text"] = lines[n - n % 3]["passage"]["text"]
    with gzip.open(folder / "others.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return folder


def test_rows_of_one_passage_are_held_out_together(tmp_path):
    found = source_task("others", rows(tmp_path), NOTHING)
    assert (len(found.corpus), len(found.questions)) == (30, 90)
    held = {gold for q in found.validation for gold in q.gold_doc_ids}
    assert held and held.isdisjoint(gold for q in found.train for gold in q.gold_doc_ids)
    assert held.isdisjoint(found.free) and len(found.validation) == 3 * len(held)


def test_what_an_evaluated_question_needs_is_not_learnt_from_rows(tmp_path):
    folder = rows(tmp_path)
    guard = Guard(
        [Question("e", "where is place 4", ("x",))],
        [Passage("g", "", "Place 2 lies near towns such as town 6.")],
    )
    found = source_task("others", folder, guard)
    assert {f"r{n}" for n in (4, 6, 7, 8)}.isdisjoint(q.id for q in found.questions)
    assert len(found.questions) == 86


def test_rows_that_are_missing_or_broken_are_named(tmp_path):
    with pytest.raises(InputError, match="source 'others' needs the folder of its rows: --rows"):
        source_task("others", None, NOTHING)
    with pytest.raises(InputError, match="others.jsonl.gz: cannot be read"):
        source_task("others", tmp_path, NOTHING)
    with gzip.open(tmp_path / "others.jsonl.gz", "wt") as file:
        file.write('{"id": "r"}\n')
    with pytest.raises(InputError, match=r"row 1 lacks 'passage'; restore the file"):
        source_task("others", tmp_path, NOTHING)
