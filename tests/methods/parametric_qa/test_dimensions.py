"""What numbers and slots of a code do: held-out questions asked of memories with zeros in them."""

from __future__ import annotations

import csv
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from harness.cli import main as cli
from harness.errors import ConfigError, InputError
from harness.llm.soft import woven
from harness.llm.weights import model_fingerprint
from harness.records import Question
from methods.parametric_qa.evaluate import dimensions
from methods.parametric_qa.evaluate.dimensions import Asked, DimensionsEvaluation, views_of
from methods.parametric_qa.evaluate.dimensions_table import lines, name_of, records, table
from methods.parametric_qa.evaluate.held_out import HeldOut, read_held_out
from methods.parametric_qa.memory.quantise import quantised
from methods.parametric_qa.prompts import reading_prompt
from methods.parametric_qa.shared.bundle import Bundle, adapter_of
from methods.parametric_qa.shared.initial import document_tokens, span_codes
from tests.methods.parametric_qa.lab import load_tiny, quiet
from tests.methods.parametric_qa.training_lab import run, toy_task

GOLDEN = Path(__file__).parent / "golden" / "dimensions.md"
BOTH = Question("both", "Who wrote and who discovered?", ("Marie Curie",), ("d0", "d2"))


@pytest.fixture(scope="module")
def tiny(tiny_model_dir):
    return load_tiny(tiny_model_dir)


@pytest.fixture(scope="module")
def shared(tiny_model_dir, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dimensions")
    run(tiny_model_dir, toy_task(), out)
    return out


@pytest.fixture
def held(monkeypatch):
    """The toy task with three questions held out, as the recipe's tasks are read."""
    task = toy_task()
    known = [q for q in task.questions if q.id != "q0"]
    task = replace(task, train=tuple(q for q in task.questions if q.id == "q0"),
                   validation=(*known, BOTH))  # fmt: skip
    monkeypatch.setattr(
        "methods.parametric_qa.evaluate.held_out.read_training_tasks", lambda _: [task]
    )
    return task


def evaluated(tiny, shared, held, **changes):
    found = HeldOut(str(shared), Bundle.load(shared), held, list(held.validation))
    return dimensions.evaluate_dimensions(
        tiny, replace(found, **changes), groups=4, single=2, console=quiet()
    )


def by_name(found: DimensionsEvaluation, name: str) -> int:
    return [name_of(view) for view in found.views].index(name)


def naive(llm, shared, held, question: Question, zero: slice | None) -> float:
    """Nats of a golden answer after its gold memories, numbers ``zero`` of which are nothing."""
    parts = Bundle.load(shared).parts
    memories = []
    for id_ in reversed(question.gold_doc_ids):
        tokens = document_tokens(llm, held.corpus.get(id_))
        codes = quantised(span_codes(llm, parts, [tokens]), "int8")[0]
        if zero is not None:
            codes[:, zero] = 0
        memories.append(torch.cat([parts.mark[None], parts.up(codes)]))
    prompt = reading_prompt(question.text, len(memories))
    _, (answer,) = llm.pairs(prompt.render(llm.prompt_style), [f" {question.golden_answers[0]}"])
    embed = llm.model.get_input_embeddings()
    read = torch.cat([woven(embed, llm.parts(prompt), memories), embed(torch.tensor(answer))])
    logits = llm.model(inputs_embeds=read[None]).logits[0, -len(answer) - 1 : -1]
    return F.cross_entropy(logits.double(), torch.tensor(answer), reduction="sum").item()


def test_every_number_is_zero_once_and_nothing_else_is():
    views = views_of(3, 10, 4, [7, 2])
    kinds = [view.kind for view in views]
    assert kinds == ["all", "other", "none", *["first"] * 4, *["group"] * 4, *["number"] * 2,
                     *["slot"] * 3]  # fmt: skip
    groups = torch.stack([~view.kept for view in views if view.kind == "group"])
    assert groups.sum(dim=0).eq(1).all() and groups.sum(dim=(1, 2)).tolist() == [6, 9, 6, 9]
    assert [int(view.kept.sum()) for view in views if view.kind == "first"] == [3, 6, 12, 24]
    assert all(view.kept[:, : view.last].all() for view in views if view.kind == "first")
    (seventh, second) = (view for view in views if view.kind == "number")
    assert (~seventh.kept).nonzero().tolist() == [[0, 7], [1, 7], [2, 7]] and second.first == 3
    for row, view in enumerate(view for view in views if view.kind == "slot"):
        assert not view.kept[row].any() and int(view.kept.sum()) == 20


def test_losses_are_those_of_a_plain_forward_pass(tiny, shared, held):
    before = model_fingerprint(tiny.model)
    found = evaluated(tiny, shared, held)
    assert model_fingerprint(tiny.model) == before
    zero = {"all numbers": None, "17 to 32 zero": slice(16, 32), "the first 16 kept": slice(16, 64)}
    with tiny.adapted(adapter_of(shared)), torch.no_grad():
        for question, record in zip(held.validation, found.questions, strict=True):
            for name, numbers in zero.items():
                wanted = naive(tiny, shared, held, question, numbers)
                assert record.nats[by_name(found, name)] == pytest.approx(wanted, rel=1e-4)
    assert evaluated(tiny, shared, held).questions == found.questions


def test_numbers_that_are_not_read_cost_nothing_and_those_that_are_do(tiny, shared, held):
    bundle = Bundle.load(shared)
    with torch.no_grad():
        bundle.parts.up.weight[:, 16:] = 0
    found = evaluated(tiny, shared, held, bundle=bundle)
    by = {(line["kind"], line["first"], line["last"]): line for line in lines(found)}
    for unread in (("group", 17, 32), ("group", 33, 48), ("group", 49, 64), ("first", 1, 16)):
        line = by[unread]
        assert [line[key] for key in ("difference", "low", "high")] == pytest.approx(
            [0] * 3, abs=1e-5
        )
    assert abs(by["group", 1, 16]["difference"]) > 1e-3
    assert by["none", 1, 64]["difference"] != 0 != by["other", 1, 64]["difference"]
    assert by["all", 1, 64]["difference"] == 0


def test_costs_are_in_order_and_squares_add_up(tiny, shared, held):
    found = evaluated(tiny, shared, held)
    told = lines(found)
    for kind in ("group", "number", "slot"):
        costs = [line["difference"] for line in told if line["kind"] == kind]
        assert costs == sorted(costs, reverse=True) and len(costs) > 1
    for kind in ("group", "slot"):
        lost = [1 - line["squares_kept"] for line in told if line["kind"] == kind]
        assert sum(lost) == pytest.approx(1, abs=1e-4)
    assert [line["last"] for line in told if line["kind"] == "first"] == [1, 2, 4, 8, 16, 32]
    numbers = [view.first - 1 for view in found.views if view.kind == "number"]
    codes = torch.cat(gold_codes(tiny, shared, held))
    assert numbers == codes.var(dim=0).topk(2).indices.tolist()


def gold_codes(llm, shared, held) -> list[torch.Tensor]:
    """Codes [slots, z_dim] of all that is read, one for each time that it is."""
    read = [held.corpus.get(id_) for q in held.validation for id_ in q.gold_doc_ids]
    codes = span_codes(llm, Bundle.load(shared).parts, [document_tokens(llm, p) for p in read])
    return list(quantised(codes.detach(), "int8"))


def test_another_memory_shares_no_passage(tiny, shared, held):
    gold = [set(q.gold_doc_ids) for q in held.validation]
    for number in range(len(gold)):
        other = dimensions._another(held.validation, number)
        assert gold[number].isdisjoint(gold[other])
    with pytest.raises(ConfigError, match="need passages of question 'both'; raise --limit"):
        dimensions._another([BOTH, BOTH], 0)


def test_a_fixed_sample_of_what_was_held_out_is_asked(tiny, shared, held):
    asked = read_held_out(str(shared), "toy", 9, tiny.config).questions
    assert {q.id for q in asked} == {q.id for q in held.validation}
    fewer = read_held_out(str(shared), "toy", 2, tiny.config).questions
    assert fewer == asked[:2]


def test_texts_that_were_taught_under_another_id_are_left_out(tiny, shared, held, monkeypatch):
    again = replace(held.train[0], id="again")
    task = replace(held, validation=(*held.validation, again))
    monkeypatch.setattr(
        "methods.parametric_qa.evaluate.held_out.read_training_tasks", lambda _: [task]
    )
    asked = read_held_out(str(shared), "toy", 9, tiny.config).questions
    assert {q.id for q in asked} == {q.id for q in held.validation}


def test_what_is_refused(tiny, shared, held, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="--task nq: .* was trained on toy, .* name one"):
        read_held_out(str(shared), "nq", 9, tiny.config)
    with pytest.raises(ConfigError, match="--groups 65: a slot has 64 numbers"):
        dimensions.check_groups(Bundle.load(shared), 65)
    Bundle.load(shared).save(tmp_path, {"prompt_style": tiny.prompt_style})
    with pytest.raises(ConfigError, match="no account of a training, .* train again"):
        read_held_out(str(tmp_path), "toy", 9, tiny.config)
    values = json.loads((shared / "shared.json").read_text())
    values["training"]["sources"] = {"others": {}}
    Bundle.load(shared).save(
        tmp_path, {key: values[key] for key in ("recipe", "training", "prompt_style")}
    )
    monkeypatch.setattr("methods.parametric_qa.train.row_sources.guard_of", lambda _: None)
    with pytest.raises(InputError, match="'others' needs the folder of its rows: --rows FOLDER"):
        read_held_out(str(tmp_path), "toy", 9, tiny.config)
    lonely = replace(held, validation=held.validation[:1])
    monkeypatch.setattr(
        "methods.parametric_qa.evaluate.held_out.read_training_tasks", lambda _: [lonely]
    )
    with pytest.raises(InputError, match="held out 1 questions of 'toy', too few"):
        read_held_out(str(shared), "toy", 9, tiny.config)


def test_the_command_writes_what_it_prints(
    completion_model_dir, shared, held, tmp_path, monkeypatch, capsys
):
    words = ["evaluate-dimensions", "--task", "toy", "--shared", shared, "--groups", 4,
             "--single", 1, "--model", f"path:{completion_model_dir}",
             "--out", tmp_path]  # fmt: skip
    monkeypatch.setattr("sys.argv", ["memory-harness", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    printed = capsys.readouterr()
    assert stopped.value.code == 0, printed.err
    with (tmp_path / "ablation.csv").open() as file:
        told = list(csv.DictReader(file))
    # All, another's, none; 1 to 32 kept; four groups, one number, four slots.
    assert len(told) == 3 + 6 + 4 + 1 + 4
    for line in told:
        assert f"{float(line['loss']):.3f}" in printed.out
    with (tmp_path / "questions.csv").open() as file:
        rows = list(csv.DictReader(file))
    nats = sum(float(row["nats all numbers"]) for row in rows)
    tokens = sum(int(row["tokens"]) for row in rows)
    assert nats / tokens == pytest.approx(float(told[0]["loss"]), abs=1e-4)
    assert json.loads((tmp_path / "summary.json").read_text())["facts"]["groups"] == 4


def test_the_table():
    views = views_of(2, 4, 2, [3, 0])
    asked = [
        Asked(
            f"q{n}", 2 + n % 2, tuple(5.0 + n + 0.25 * v * (1 + n % 3) for v in range(len(views)))
        )
        for n in range(5)
    ]
    facts = {
        "model": "m|x", "shared": "mine", "task": "toy", "corpus_fingerprint": "ab" * 32,
        "slots": 2, "z_dim": 4, "stored": "int8", "groups": 2, "hardware": "1 x CPU", "threads": 1,
        "date": "2026-01-01", "seconds": 1234,
    }  # fmt: skip
    shares = [float(view.kept.float().mean()) for view in views]
    found = DimensionsEvaluation(facts, views, shares, asked)
    assert records(found)[1]["nats all numbers"] == 6.0
    text = table(found)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(f"{text}\n")
    # A width of pandas' is no promise.
    assert re.sub(r"[ \t]+", " ", text) == re.sub(r"[ \t]+", " ", GOLDEN.read_text()).rstrip("\n")
