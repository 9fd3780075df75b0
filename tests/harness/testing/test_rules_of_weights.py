"""Rules of weights: what a method changes of the model is declared, in its folder, and undone."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.llm.changes import Changes
from harness.llm.edit import LowRank
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.testing import rules_of_weights as rules
from harness.testing.conformance_lab import Lab
from harness.testing.rules_of_memory import loads
from tests.harness.testing.broken_methods import Good

NAME = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def tiny(completion_model_dir) -> LocalModel:
    path = str(completion_model_dir)
    return LocalModel(ModelConfig(name="tiny", path=path), path)


def lab(cls, llm: LocalModel, folder: Path) -> Lab:
    made = Lab(cls, {}, llm, (200, 600.0), folder)
    made.weights = rules.weights_of(llm)
    return made


class Editing(Good):
    """Adds a little to one weight while it answers, and says so."""

    needs = frozenset({"weights"})

    @property
    def changes(self):
        import torch

        out, inner = self.llm.model.model.get_parameter(NAME).shape
        return Changes(edits={NAME: LowRank(torch.ones(out, 1), torch.ones(1, inner))})


class Undeclared(Editing):
    needs = frozenset()


class Elsewhere(Good):
    needs = frozenset({"adapters"})

    @property
    def changes(self):
        return Changes(adapter=Path("/somewhere/else"))


class Leaving(Good):
    """Adds and subtracts by itself, which rounds."""

    async def answer(self, query):
        weight = self.llm.model.model.get_parameter(NAME).data
        weight += 1e5
        weight -= 1e5
        return await super().answer(query)


def test_a_change_that_is_declared_and_undone_keeps_the_rules(tiny, tmp_path):
    made = lab(Editing, tiny, tmp_path)
    for each in (loads, *rules.RULES):
        assert list(each.check(made)) == []


def test_a_change_that_needs_do_not_tell_is_named(tiny, tmp_path):
    ((wrong, fix),) = rules.declared.check(lab(Undeclared, tiny, tmp_path))
    assert wrong == "a model must offer 'weights'"
    assert "declare needs = frozenset({'weights'})" in fix


def test_an_adapter_of_another_place_is_named(tiny, tmp_path):
    ((wrong, _),) = rules.inside.check(lab(Elsewhere, tiny, tmp_path))
    assert wrong == "changes.adapter is /somewhere/else"


def test_weights_that_are_not_what_they_were_are_noticed(completion_model_dir, tmp_path):
    path = str(completion_model_dir)
    made = lab(Leaving, LocalModel(ModelConfig(name="tiny", path=path), path), tmp_path)
    assert list(rules.as_before.check(made)) == []
    made.requests(made.loaded(made.memory), rules.Case("all"))
    ((wrong, fix),) = rules.as_before.check(made)
    assert "left them changed" in wrong
    assert "subtracting what was added rounds" in fix
