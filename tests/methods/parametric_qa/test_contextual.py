"""The contextual encoder: what its training computes is what the harness writes and reads."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.boards.method_entry import parse_params
from harness.data.corpus import Corpus
from harness.data.demonstrations import QAPrompts
from harness.data.trained_on import read_record
from harness.errors import ConfigError, InputError
from harness.prompts import QAPrompts as Prompts
from harness.records import Passage, Query, Question
from methods.parametric_qa.contextual import gather, gathering
from methods.parametric_qa.contextual.draws import Draws
from methods.parametric_qa.contextual.finishing import finish
from methods.parametric_qa.contextual.losses import (
    answer_losses,
    encode,
    step_losses,
    teach,
    total,
)
from methods.parametric_qa.contextual.network import ALPHA, KINDS, Adapter, Frozen, Runner, merged
from methods.parametric_qa.contextual.pace import Pace, Phase
from methods.parametric_qa.contextual.pool import Pool
from methods.parametric_qa.contextual.recipe import Recipe, read_recipe
from methods.parametric_qa.contextual.rows import Row, question_row, read_rows, text_row
from methods.parametric_qa.contextual.run import train
from methods.parametric_qa.contextual.state import STATE, load_state
from methods.parametric_qa.contextual.student import Passes, Student, texts_of
from methods.parametric_qa.method import ParametricQA
from methods.parametric_qa.prompts import reading_prompt
from methods.parametric_qa.shared.bundle import Bundle
from tests.harness.programs import open_with, remember
from tests.methods.parametric_qa.lab import load_tiny
from tests.methods.parametric_qa.training_lab import ANSWERS, FACTS

SIZES = [
    {"slots": 4, "z_dim": 32, "bits": 4, "share": 0.5},
    {"slots": 3, "z_dim": 48, "bits": 8, "share": 0.3},
    {"slots": 2, "z_dim": 32, "bits": 2, "share": 0.2},
]


def plan(**changes) -> Recipe:
    values = {
        "name": "tiny",
        "model": "tiny",
        "slots": 4,
        "z_dim": 48,
        "sizes": SIZES,
        "key_dim": 24,
        "key_width": 16,
        "reader_rank": 2,
        "encoder_rank": 3,
        "documents": 8,
        "questions": 8,
        "recalled": 4,
        "recalled_last": 2,
        "teacher_rows": 4,
        "alone": 0.0,
        "learning_rate": 0.02,
        "own_learning_rate": 0.02,
    }
    return Recipe.model_validate({**values, **changes})


def facts() -> gather.Gathered:
    found = gather.Gathered()
    for number in range(40):
        title, text, question = FACTS[number % 4]
        passage = Passage("", f"{title} {number}", text)
        gold = (found.add(passage),)
        held = number >= 36
        answer = ANSWERS[number % 4]
        found.rows.append(
            gather.Row("facts", f"{question} {number}", answer, (answer,), gold, held, 1.0)
        )
    for number in range(8):
        found.add(Passage("", f"Nile {number}", "The Nile or the Amazon, yes or no."))
    return found


@pytest.fixture(scope="module")
def pool_file(tiny_model_dir, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pool") / "pool.npz.xz"
    found = facts()
    meta = gather.account(found, None, {}, {})
    hard = gather.hard_negatives(found)
    gathering.write_pool(plan(), found, hard, load_tiny(tiny_model_dir), meta, path)
    return path


@pytest.fixture(scope="module")
def frozen(tiny_model_dir) -> Frozen:
    return Frozen.read(tiny_model_dir)


@pytest.fixture(scope="module")
def run_folder(tiny_model_dir, pool_file, frozen, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    decode = load_tiny(tiny_model_dir).tokenizer.decode
    ticks = count()
    # A clock that goes on when it is looked at: as many steps on any machine.
    pace = Pace(25.0, 0.0, lambda: 0.1 * next(ticks))
    train(plan(), Pool.load(pool_file), frozen, decode, folder, pace, lambda line: None)
    return folder


@pytest.fixture(scope="module")
def shared(run_folder, pool_file, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    finish(run_folder, pool_file, folder)
    return folder


@pytest.fixture(scope="module")
def passes(run_folder, pool_file, frozen) -> Passes:
    """The student as it was saved."""
    student = Student(frozen, plan())
    load_state(run_folder / STATE, student)
    return Passes(frozen, student, Pool.load(pool_file).meta["start"])


def test_the_network_is_transformers_model(tiny_model_dir, frozen):
    model = load_tiny(tiny_model_dir).model
    ids = torch.randint(0, len(frozen.embed), (2, 13), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = model(ids).logits
        found = Runner(frozen)(merged(frozen, (), torch.float32), frozen.embed[ids]) @ frozen.head.T
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)


def test_an_adapter_begins_without_effect_and_gets_gradients(frozen):
    adapter = Adapter(frozen, 2, 0)
    plain, with_it = merged(frozen, (), torch.float32), merged(frozen, (adapter,), torch.float32)
    assert torch.equal(plain.layers[0][0], with_it.layers[0][0])
    Runner(frozen)(with_it, frozen.embed[torch.tensor([[1, 2, 3]])]).sum().backward()
    assert adapter.down_b.grad.abs().sum() > 0


def test_losses_are_shown_in_nats_whatever_they_weigh(passes, pool_file):
    pool = Pool.load(pool_file)
    heavy, light = (plan(recall_weight=weight, retrieve_weight=weight) for weight in (1.0, 0.25))
    with torch.no_grad():
        shown = [step_losses(passes, pool, Draws(pool, p), p, None, 0.5) for p in (heavy, light)]
    assert shown[0] == shown[1]
    assert shown[0].keys() == {"answer", "retrieve", "recall"}
    rest = shown[0]["retrieve"] + shown[0]["recall"]
    torch.testing.assert_close(total(shown[0], heavy), shown[0]["answer"] + rest)
    torch.testing.assert_close(total(shown[0], light), shown[0]["answer"] + 0.25 * rest)


def test_rows_are_the_prompts_of_the_harness(tiny_model_dir, pool_file):
    llm, pool, found = load_tiny(tiny_model_dir), Pool.load(pool_file), facts()
    for number, row in enumerate(found.rows[:8]):
        asked = Query("q", row.question)
        text = Prompts().read(asked, [found.passages[row.gold[0]]]).render("completion")
        made = text_row(pool, number)
        assert made.tokens[: -made.count].tolist() == llm.encode(text)
        made = question_row(pool, number, [0], 0)
        parts = [list(made.begin), made.tokens[: -made.count].tolist()]
        assert parts == llm.parts(reading_prompt(row.question, 1))
        assert llm.tokenizer.decode(made.tokens[-made.count :]) == f" {row.answer}\n"


def test_rows_read_what_transformers_reads(tiny_model_dir, frozen):
    model = load_tiny(tiny_model_dir).model
    passes = Passes(frozen, Student(frozen, plan()), [])
    memory = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(0))
    rows = [Row([1, 0], np.array([5, 6, 7, 8]), 2), Row([], np.array([9, 10, 11]), 1)]
    with torch.no_grad():
        found = read_rows(passes, passes.reader(), rows, memory, parts=2)
        first = torch.cat([memory[1], memory[0], frozen.embed[torch.tensor([5, 6, 7])]])
        wanted = [
            model(inputs_embeds=first[None]).logits[0, -2:],
            model(torch.tensor([[9, 10]])).logits[0, -1:],
        ]
    order = found.rows.argsort(stable=True)
    torch.testing.assert_close(found.logits[order], torch.cat(wanted), atol=1e-3, rtol=1e-3)
    assert found.labels[order].tolist() == [7, 8, 11]
    assert found.rows[order].tolist() == [0, 0, 1]


def test_a_run_learns_validates_and_ends_in_time(run_folder):
    notes = json.loads((run_folder / "run.json").read_text())
    assert notes["steps"] > 5 and notes["skipped"] == 0
    assert notes["seconds"] < 2 * notes["budget"]
    assert notes["saved step"] > 0
    lines = (run_folder / "curves.csv").read_text().splitlines()
    first = [float(line.split(",")[2]) for line in lines if ",loss answer," in line]
    assert notes["validation loss"] < first[0]


def test_the_harness_writes_and_selects_what_was_trained(tiny_model_dir, pool_file, shared, passes):
    llm, found, pool = load_tiny(tiny_model_dir), facts(), Pool.load(pool_file)
    corpus = Corpus.from_passages(found.passages)
    _as_stored(passes.student, Bundle.load(shared).encoder)
    for size in plan().sizes:
        with llm.adapted(shared / "adapter"):
            method = opened(llm, shared, corpus, size=size.name)
            chosen = method._chooser.choose(found.rows[0].question, 3)
        with torch.no_grad():
            texts = texts_of(pool.passages, range(len(pool.passages)))
            hidden = passes.states(passes.encoder(), texts, passes.student.tokens)
            codes = passes.student.codes(hidden, size)
            asked = passes.states(
                passes.encoder(), texts_of(pool.questions, [0]), passes.student.ask[None]
            )
            scores = (
                passes.student.question_keys(asked[:, 0]) @ passes.student.document_keys(codes).T
            )
        # A number between two of the grid may fall to either of them.
        apart = (method._bank.codes() - codes).abs()
        assert apart.max() <= 1.01 / (2 ** (size.bits - 1) - 1)
        assert (apart < 1e-5).float().mean() > 0.99
        assert chosen[0].id in {f"p{n}" for n in scores[0].topk(3).indices.tolist()}
        each = size.slots * -(-size.z_dim * size.bits // 8)
        assert method._bank.nbytes == each * len(corpus)


def test_the_first_slots_of_a_code_are_the_code_of_a_smaller_size(tiny_model_dir, shared):
    llm = load_tiny(tiny_model_dir)
    whole = Bundle.load(shared)
    documents = [llm.encode("The capital of France is Paris.")]
    less = whole.cut("2x32x2")
    with torch.no_grad(), llm.adapted(shared / "adapter"):
        all_of, some = (b.encoder(llm.model, documents) for b in (whole, less))
    torch.testing.assert_close(some, all_of[:, :2, :32])
    torch.testing.assert_close(less.parts.up(some), whole.parts.up(_zeros_after(some, 48)))


def _as_stored(student, encoder) -> None:
    """Give a student the encoder's adapter as the harness has it: in 8 bits, near its own."""
    with torch.no_grad():
        for kind, place in KINDS.items():
            a, b = (encoder.adapter.matrix(place, side) for side in "ab")
            for name, stored in (("a", a), ("b", b.transpose(1, 2) / ALPHA)):
                own = student.encoder.get_parameter(f"{kind}_{name}")
                assert (own - stored).abs().max() <= own.abs().max() / 200
                own.copy_(stored)


def _zeros_after(codes, width):
    return torch.nn.functional.pad(codes, (0, width - codes.shape[-1]))


def opened(llm, shared, corpus, **changes) -> ParametricQA:
    values = {"shared": str(shared), "max_tokens": 4, **changes}
    method = ParametricQA(parse_params(ParametricQA, "parametric-qa", values))
    open_with(method, llm, None, corpus, prompts=QAPrompts(), seed=0)
    remember(method, corpus)
    return method


def test_an_unknown_size_is_refused(shared):
    with pytest.raises(ConfigError, match="no size '9x9x4'.*4x32x4, 3x48x8, 2x32x2"):
        Bundle.load(shared).cut("9x9x4")


def test_questions_that_were_learnt_are_on_record(shared):
    learnt = read_record(shared, "shared parts").questions
    assert learnt is not None and len(learnt) == 40


def test_nothing_that_an_evaluated_question_needs_is_gathered(tmp_path):
    text = " ".join(f"word{n}" for n in range(30))
    gold = Passage("g", "Gold", text)
    guard = gather.Guard([Question("q", "Who wrote it?", ("me",), ("g",))], [gold])
    assert guard.asks("who wrote it") and not guard.asks("who wrote them")
    part = " ".join(f"word{n}" for n in range(9, 23))
    assert guard.needs(Passage("x", "", f"Before {part} after"))
    assert not guard.needs(Passage("x", "", " ".join(f"word{n}" for n in range(20, 31))))


def test_held_out_rows_and_their_passages_are_never_drawn(pool_file):
    pool = Pool.load(pool_file)
    draws = Draws(pool, plan())
    held = {int(g) for n in np.flatnonzero(pool.held_out) for g in pool.gold[int(n)]}
    assert held
    for _ in range(20):
        step = draws.step()
        assert not held & set(step.passages) and not pool.held_out[step.rows].any()
        for row, places in zip(step.rows, step.gold, strict=True):
            assert [step.passages[p] for p in places] == pool.gold[row].tolist()


def test_the_answers_loss_reaches_encoder_selection_and_reader(pool_file, frozen):
    pool, recipe = Pool.load(pool_file), plan(no_memory=0.0, unforced=0.0)
    student = Student(frozen, recipe)
    passes, draws = Passes(frozen, student, pool.meta["start"]), Draws(pool, recipe)
    from methods.parametric_qa.contextual.losses import asked_rows

    drawn = draws.step()
    found = encode(passes, passes.encoder(), pool, drawn, recipe.sizes[0])
    rows, factors = asked_rows(pool, draws, drawn, found.scores, 2)
    read = read_rows(passes, passes.reader(), rows, found.memories, factors)
    answer_losses(read, None, 0).mean().backward()
    for part in ("reader.q_b", "tokens", "project.weight", "up.weight", "mark", "keys", "ask"):
        assert student.get_parameter(part).grad.abs().sum() > 0, part


def test_a_teacher_is_followed_at_its_own_tokens(pool_file, frozen):
    pool = Pool.load(pool_file)
    passes = Passes(frozen, Student(frozen, plan()), pool.meta["start"])
    taught, done = teach(passes, pool, [3], 2)
    found = read_rows(passes, passes.reader(), [text_row(pool, 3)])
    likely = found.logits.float().softmax(dim=-1)
    for place, shares in zip(found.places.tolist(), likely, strict=True):
        assert taught.tokens[place, 0] == shares.argmax()
    assert done == 1
    entropy = -(likely * likely.log()).sum(dim=-1)
    followed = answer_losses(found, taught, 1.0)
    assert (followed < entropy + 1e-3).all() and (taught.shares[0] == 0).all()


def test_rates_follow_the_clock():
    now = [10.0]
    pace = Pace(100.0, 10.0, lambda: now[0])
    phase = Phase(pace, 0.0, pace.training, 0.1)
    rates = []
    for second in (0, 5, 45, 89, 91):
        now[0] = 10.0 + second
        rates.append(phase.rate)
    assert rates[0] < rates[1] > rates[2] > rates[3] > rates[4] == 0
    assert phase.over and pace.left == pytest.approx(9)


def test_recipes_say_what_is_wrong(tmp_path):
    assert read_recipe("smollm2-135m-h100").sizes[0].name == "32x56x4"
    file = tmp_path / "r.yaml"
    file.write_text("name: x\nmodel: m\nz_dim: 8\nsizes: [{slots: 64, z_dim: 8, bits: 4}]\n")
    with pytest.raises(ConfigError, match="size 64x8x4 is not within 32 slots"):
        read_recipe(str(file))
    with pytest.raises(InputError, match="no recipe 'smollm'"):
        read_recipe("smollm")
