"""The bare side of the comparison writes what the harness wrote, in batches of the same kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.boards.method_entry import load_method
from harness.llm.catalogue import resolve_model
from harness.llm.local import LocalModel
from harness.llm.open import open_model
from harness.testing.models import small_task
from tests.benchmarks.throughput import Through, bare, batched, nothing_shared


@pytest.fixture(scope="module")
def through(completion_model_dir: Path) -> Through:
    llm = open_model(resolve_model(f"path:{completion_model_dir}"), device="cpu")
    assert isinstance(llm, LocalModel)
    return Through(load_method("no-retrieval")(), llm, small_task())


def test_answers_are_the_same_where_nothing_is_shared(through: Through) -> None:
    answers, _ = through.calls()
    with nothing_shared(through.llm):
        assert through.answers() == answers
    assert through.answers() == answers


def test_the_floor_writes_as_many_tokens(through: Through, monkeypatch) -> None:
    _, (call,) = through.calls()
    batches = batched(through.llm, [call], through.llm.runtime.held_tokens)
    assert sorted(p for batch in batches for p in batch.prompts) == sorted(p for p, _ in call)
    generate, written = through.llm.model.generate, []

    def counting(**options):
        output = generate(**options)
        written.append(output.shape[1] - options["input_ids"].shape[1])
        return output

    monkeypatch.setattr(through.llm.model, "generate", counting)
    bare(through.llm, batches)
    assert written == [batch.new for batch in batches]
    assert max(written) == max(tokens for _, tokens in call)
