"""A trained prefix: it learns, and goes on after a kill to the same bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.llm.keyvalues import KeyValues
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.runs.execute import execute
from harness.runs.performance import read_performance
from harness.testing.conformance import check_method
from harness.testing.models import small_task
from methods.cartridge import training
from methods.cartridge.method import FILE, STUDY, Cartridge, CartridgeOther
from tests.harness.lab import make_plan, quiet, write_lines, write_task
from tests.harness.programs import make_engine, remember

VALUES = {"positions": 16, "questions": 3, "steps": 30, "batch": 4, "max_tokens": 3}
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


def test_killed_and_continued_it_has_the_same_bytes(tiny, tmp_path, monkeypatch):
    whole = written(tiny, tmp_path / "whole", tmp_path / "a")
    step, done = training._step, []

    def killed(*arguments):
        if len(done) == 27:
            raise KeyboardInterrupt
        done.append(1)
        return step(*arguments)

    monkeypatch.setattr(training, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        written(tiny, tmp_path / "part", tmp_path / "b")
    monkeypatch.undo()
    again = written(tiny, tmp_path / "part", tmp_path / "b")
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
    check_method(Cartridge, {**VALUES, "steps": 2}, model=tiny)
