"""The pool before every question: what fits of it, read once, and what that saves and weighs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.data.card import custom_task
from harness.data.corpus import Corpus
from harness.engine import Engine
from harness.errors import ConfigError
from harness.llm.keyvalues import KeyValues
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest
from harness.records import Passage
from harness.runs.execute import execute
from harness.runs.performance import read_performance
from harness.runs.usage import cautions
from harness.testing.conformance import check_method
from harness.testing.models import RuleModel
from leaderboards.table import render
from methods.full_context.chosen import Chosen, Room
from methods.full_context.controls import FullContextOther
from methods.full_context.method import PREFIX, FullContext
from tests.harness.lab import make_plan, quiet, write_lines, write_task

POOL = [Passage(f"p{n}", f"Title {n}", "word " * (n % 5 + 3)) for n in range(40)]


@pytest.fixture(scope="module")
def tiny(completion_model_dir) -> LocalModel:
    folder = str(completion_model_dir)
    return LocalModel(ModelConfig(name="tiny", path=folder, prompt_style="completion"), folder)


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory) -> tuple[Path, Path]:
    """A run over a pool of 14 passages of which some fit, and the folder of its memory."""
    files, root = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("runs")
    write_task(files, 8)
    method = FullContext(FullContext.Params(budget=300, max_tokens=6, shots=2))
    folder = execute(make_plan(files, method, queries=4), root, tiny, None, quiet())
    (memory,) = root.glob("toy/.memory/*/memory")
    return folder, memory


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]


def test_answers_are_those_to_the_whole_prompt(run, tiny):
    """Demonstrations, then what fits of the pool in its order, then the question."""
    folder, memory = run
    chosen, found = Chosen.load(memory), rows(folder)
    assert [p.id for p in chosen.passages] == [f"d{n}" for n in range(len(chosen.passages))]
    prefix = KeyValues.load(memory / PREFIX, tiny.model, tiny.name)
    assert chosen.passages[-1].text in prefix.text
    for number, row in enumerate(found):
        prompt = f"{prefix.text}How is number {number} called?\nAnswer:"
        request = GenerateRequest(prompt, 6, stop=("\n",), one_line=True)
        assert row["raw"] == dict(tiny.generate([request]))[0].text
        assert row["read_ids"] == [p.id for p in chosen.passages]
        (step,) = row["steps"]
        assert step["prompt"].startswith(f"[{prefix.length:,} positions read before]")
        assert step["prompt_tokens"] + step["prefix_tokens"] == tiny.count_tokens(prompt)


def test_reading_once_is_told_and_weighed(run):
    """Seconds of reading the pool, the first token without that, bytes as they lie on disk."""
    folder, memory = run
    found = read_performance(folder)
    sizes = {"text": "passages.json", "keys and values": PREFIX}
    assert found.storage.parts == {k: (memory / v).stat().st_size for k, v in sizes.items()}
    assert found.storage.documents + found.storage.left_out == 14
    assert found.storage.left_out > 0
    assert found.usage.prefix_tokens == found.prefix.positions > 300
    assert found.prefix.seconds > 0
    assert len(found.prefix.first_token) == 3
    assert found.latency.same_as_batched == 4
    told = f"no room for {found.storage.left_out} of the corpus's 14 documents"
    assert any(told in line for line in cautions(folder))
    board = render(folder.parents[2], columns=["prefix", "tokens", "parts"])
    assert f"{found.prefix.positions} in 0." in board and ", first token 0." in board
    assert f"no room for {found.storage.left_out} of the corpus's documents" in board


def test_where_reading_takes_long_one_question_reads_its_prefix_itself(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.meters.prefix.ENOUGH", 0.0)
    write_task(tmp_path / "files", 8)
    method = FullContext(FullContext.Params(budget=300, max_tokens=6, shots=2))
    folder = execute(
        make_plan(tmp_path / "files", method, queries=4), tmp_path, tiny, None, quiet()
    )
    assert len(read_performance(folder).prefix.first_token) == 1


def test_conformance_with_keys_and_values(tiny):
    check_method(FullContext, {"max_tokens": 3}, model=tiny)


def choose(budget: int | None, order="corpus", seed: int = 0, window: int | None = None) -> Chosen:
    """Of the pool above, by a model whose tokens are words."""
    method, model = FullContext(), RuleModel(window=window)
    method.open(Engine(model).lend())
    room = Room(model, method._prompt("", ()), 20, budget)
    return room.choose(Corpus.from_passages(POOL), order, seed)


def test_a_budget_is_kept_and_used():
    for budget in (10, 50, 120):
        chosen = choose(budget)
        words = [len(f"Passage: {p.title}: {p.text}".split()) for p in POOL]
        count = len(chosen.passages)
        assert sum(words[:count]) <= budget < sum(words[: count + 1])
        assert chosen.passages == tuple(POOL[:count])
        assert chosen.left_out == 40 - count
    assert len(choose(None).passages) == 40
    assert 0 < len(choose(None, window=120).passages) < len(choose(None, window=200).passages)
    with pytest.raises(ConfigError, match="not one passage fits"):
        choose(2)


def test_a_shuffled_order_is_the_seeds():
    whole = choose(None, "shuffled")
    assert sorted(p.id for p in whole.passages) == sorted(p.id for p in POOL)
    assert choose(None, "shuffled") == whole != choose(None, "shuffled", seed=1)
    part = choose(60, "shuffled").passages
    assert part == whole.passages[: len(part)]


def test_the_control_reads_as_much_of_another_pool(tiny, tmp_path):
    others = [{"id": f"o{n}", "contents": f"Other {n}\nIt is {n}."} for n in range(60)]
    other = write_lines(tmp_path / "other.jsonl", others)
    files = write_task(tmp_path / "files", 6)
    params = {"budget": 300, "max_tokens": 3, "shots": 0}
    control = FullContextOther(FullContextOther.Params(passages=str(other), **params))
    folder = execute(make_plan(files, control), tmp_path, tiny, None, quiet())
    own = FullContext(FullContext.Params(**params))
    own_folder = execute(make_plan(files, own), tmp_path, tiny, None, quiet())
    read = [read_performance(each).usage.prefix_tokens for each in (folder, own_folder)]
    assert 0.9 * read[1] < read[0] <= read[1]
    assert not any(row.get("read_ids") for row in rows(folder))
    with pytest.raises(ConfigError, match="that is the pool"):
        FullContextOther().check_task(custom_task("musique").card)
