"""A trained prefix: it learns, and goes on after a kill to the same bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.errors import ConfigError
from harness.llm import apart
from harness.llm.keyvalues import KeyValues
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.runs.execute import execute
from harness.runs.performance import read_performance
from harness.testing.conformance import check_method
from harness.testing.models import small_task
from methods.cartridge import network, training
from methods.cartridge.method import FILE, STUDY, Cartridge, CartridgeOther
from methods.cartridge.study import Row
from methods.study import passing
from tests.harness.lab import make_plan, quiet, write_lines, write_task
from tests.harness.programs import make_engine, remember

VALUES = {
    "positions": 16, "questions": 3, "steps": 30, "batch": 4, "learning_rate": 0.02, "depth": 1.0,
    "max_tokens": 3,
}  # fmt: skip
CORPUS = small_task().corpus


@pytest.fixture(scope="module")
def tiny(completion_model_dir) -> LocalModel:
    folder = str(completion_model_dir)
    return LocalModel(ModelConfig(name="tiny", path=folder, prompt_style="completion"), folder)


def written(tiny: LocalModel, folder: Path, scratch: Path, **values) -> Path:
    for each in (folder, scratch):
        each.mkdir(exist_ok=True)
    method = Cartridge(Cartridge.Params(**{**VALUES, **values}))
    make_engine(method, tiny)
    method.open(replace(method.lent, scratch=scratch))
    return remember(method, CORPUS, folder=folder)


def test_it_learns_and_only_behind_the_first_position(tiny, tmp_path):
    learnt = {"questions": 1, "steps": 40, "learning_rate": 0.2}
    folder = written(tiny, tmp_path / "memory", tmp_path / "scratch", **learnt)
    losses = json.loads((folder / STUDY).read_text())["losses"]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
    found = KeyValues.load(folder / FILE, tiny.model, tiny.name)
    assert found.trained == found.length == 16
    start = KeyValues.load(
        written(tiny, tmp_path / "one", tmp_path / "two", steps=1, learning_rate=1e-9) / FILE,
        tiny.model,
        tiny.name,
    )
    for one, other in zip(found.layers, start.layers, strict=True):
        assert one.keys[:, :, 0].equal(other.keys[:, :, 0])
        assert not one.keys[:, :, 1:].equal(other.keys[:, :, 1:])


@pytest.mark.parametrize("held_apart", [True, False])
def test_what_does_not_change_is_read_once(tiny, tmp_path, monkeypatch, held_apart):
    """Reading from the first trained layer on trains the same, and leaves the layers below."""
    values, losses, layers, blocks = {"depth": 0.5, "steps": 4, "learning_rate": 0.1}, [], [], []
    step = training._step

    def watched(*arguments):
        blocks.append(len(tiny.model.model.layers))
        return step(*arguments)

    monkeypatch.setattr(training, "_step", watched)
    monkeypatch.setattr(network, "takes", lambda _: held_apart)
    for name, room in (("above", passing.MOST_KEPT), ("whole", 0)):
        monkeypatch.setattr(passing, "MOST_KEPT", room)
        folder = written(tiny, tmp_path / name, tmp_path / f"{name} scratch", **values)
        losses.append(json.loads((folder / STUDY).read_text())["losses"])
        layers.append(KeyValues.load(folder / FILE, tiny.model, tiny.name).layers)
    assert blocks == [1] * 4 + [2] * 4
    assert losses[0] == pytest.approx(losses[1], abs=2e-3)
    start = KeyValues.load(
        written(tiny, tmp_path / "start", tmp_path / "s", steps=1, learning_rate=1e-9) / FILE,
        tiny.model,
        tiny.name,
    )
    assert len(start.layers) == 2 == len(tiny.model.model.layers)
    for found in layers:
        assert found[0].keys.allclose(start.layers[0].keys, atol=1e-6)
        assert (found[1].keys - start.layers[1].keys).abs().max() > 0.05


def test_a_depth_of_one_layer_at_least_is_trained(tiny):
    assert [passing.first_layer(tiny, depth) for depth in (0.01, 0.5, 1)] == [1, 1, 0]


@pytest.mark.parametrize("learnt", ["teacher", "answers", "both"])
def test_it_learns_from_a_teacher_from_the_answers_or_from_both(tiny, tmp_path, learnt):
    """A loss of both is the sum; without a teacher nothing is asked of it."""
    values = {"learnt": learnt, "questions": 1, "learning_rate": 0.2}
    folder = written(tiny, tmp_path / "memory", tmp_path / "scratch", **values)
    losses = json.loads((folder / STUDY).read_text())["losses"]
    assert sum(losses[-10:]) < 0.95 * sum(losses[:10])
    assert any((tmp_path / "scratch").glob("teacher-*")) == (learnt != "answers")


def test_the_loss_of_both_is_the_sum_of_two():
    source = torch.Generator().manual_seed(0)
    logits = [torch.randn(n, 50, generator=source) for n in (2, 3)]
    expected = [network.taught(torch.randn(n, 50, generator=source)) for n in (2, 3)]
    rows = [Row("question", [], [1], [7] * n) for n in (2, 3)]
    taught = [network.Lesson(*each) for each in zip(rows, expected, strict=True)]
    both, teacher, answers = (
        float(network.loss_of(logits, taught, learnt)) for learnt in ("both", "teacher", "answers")
    )
    assert both == pytest.approx(teacher + answers)
    by_hand = -torch.cat(logits).log_softmax(-1)[:, 7].mean()
    assert answers == pytest.approx(float(by_hand))
    own = torch.cat(logits).log_softmax(-1)
    ids = torch.cat([each.ids for each in expected])
    known = torch.cat([each.logprobs for each in expected])
    by_hand = sum(
        p.exp() * (p - own[place, i])
        for place in range(5)
        for i, p in zip(ids[place], known[place], strict=True)
    )
    assert teacher == pytest.approx(float(by_hand) / 5)


def test_killed_and_continued_it_has_the_same_bytes(tiny, tmp_path, monkeypatch):
    whole = written(tiny, tmp_path / "whole", tmp_path / "a", depth=0.5)
    step, done = training._step, []

    def killed(*arguments):
        if len(done) == 27:
            raise KeyboardInterrupt
        done.append(1)
        return step(*arguments)

    monkeypatch.setattr(training, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        written(tiny, tmp_path / "part", tmp_path / "b", depth=0.5)
    monkeypatch.undo()
    apart._takes.clear()  # as in a new process, which finds the teacher's expectations kept
    again = written(tiny, tmp_path / "part", tmp_path / "b", depth=0.5)
    for name in (FILE, STUDY):
        assert (again / name).read_bytes() == (whole / name).read_bytes()


def test_the_model_asks_and_answers_what_it_studies(tiny, tmp_path, monkeypatch):
    """Killed as it trains and continued, it asks nothing anew and has the same bytes."""
    values = {**VALUES, "study": "model", "questions": 2, "steps": 3}
    files, studied, asked = write_task(tmp_path / "files", 4), [], []
    lessons, generate = training.lessons, tiny.generate

    def run(out: Path) -> Path:
        plan = make_plan(files, Cartridge(Cartridge.Params(**values)))
        return execute(plan, tmp_path / out, tiny, None, quiet())

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "lessons", lambda *a: studied.append(lessons(*a)) or studied[-1])
    counts = read_performance(run(tmp_path / "whole")).write
    (whole,) = (tmp_path / "whole").glob("toy/.memory/*/memory")
    told = json.loads((whole / STUDY).read_text())
    rows = [lesson.row for lesson in studied[0] if lesson.row.kind == "question"]
    assert 5 < len(rows) <= told["questions"] <= 20  # two of each of ten passages
    assert len({tiny.tokenizer.decode(row.student) for row in rows}) == len(rows)
    # An empty question is not answered, an empty answer not studied.
    assert 20 + told["questions"] <= counts.llm_calls <= 40
    assert told["made_tokens"] > 0 and 20 < counts.completion_tokens < counts.prompt_tokens
    assert told["source_tokens"] == sum(
        tiny.count_tokens(f"Person {n}\nNumber {n} is called name{n}.") for n in range(10)
    )
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "_step", killed)
        run(tmp_path / "part")
    monkeypatch.setattr(
        tiny, "generate", lambda requests: asked.extend(requests) or generate(requests)
    )
    run(tmp_path / "part")
    assert len(asked) == 4  # the run's own questions
    (again,) = (tmp_path / "part").glob("toy/.memory/*/memory")
    for name in (FILE, STUDY):
        assert (again / name).read_bytes() == (whole / name).read_bytes()


def test_a_run_asks_the_question_alone_and_weighs_the_file(tiny, tmp_path):
    files = write_task(tmp_path / "files", 6)
    method = Cartridge(Cartridge.Params(**{**VALUES, "steps": 2, "shots": 2}))
    folder = execute(make_plan(files, method, queries=2), tmp_path, tiny, None, quiet())
    (memory,) = tmp_path.glob("toy/.memory/*/memory")
    found = read_performance(folder)
    assert found.storage.parts == {"keys and values": (memory / FILE).stat().st_size}
    assert found.prefix.positions == found.usage.prefix_tokens == 16
    assert found.prefix.seconds is None
    rows = (folder / "predictions.jsonl").read_text().splitlines()
    prompts = [json.loads(row)["steps"][0]["prompt"] for row in rows]
    asked = "[16 positions trained]Question: How is number {} called?\nAnswer:"
    assert prompts == [asked.format(n) for n in range(6)]


def test_the_control_learns_another_pool(tiny, tmp_path):
    others = [{"id": f"o{n}", "contents": f"Other {n}\nIt is {n} in Rome."} for n in range(30)]
    other = str(write_lines(tmp_path / "other.jsonl", others))
    method = CartridgeOther(CartridgeOther.Params(passages=other, **VALUES))
    assert [p.id for p in method._passages(CORPUS)] == [f"o{n}" for n in range(len(CORPUS))]
    with pytest.raises(ConfigError, match="lower it"):
        written(tiny, tmp_path / "memory", tmp_path / "scratch", positions=60_000)


def test_conformance(tiny):
    check_method(Cartridge, {**VALUES, "questions": 1, "steps": 1}, model=tiny)
