"""The matrix of methods and backends tells beforehand what a run would be refused for."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from harness.boards.matrix import cell, matrix
from harness.boards.method_entry import load_method
from harness.boards.needs import check_needs
from harness.errors import CapabilityError
from harness.llm.backends import BACKENDS, Backend
from harness.method import Method
from harness.registry import names
from tests.harness.conftest import CommandLine
from tests.harness.lab import Ask
from tests.readme import README


@dataclass
class Open:
    """A model of a backend, fine-tuned for the method that asks."""

    backend: Backend
    method: Method
    name: str = "m"

    @property
    def capabilities(self):
        return self.backend.capabilities

    @property
    def trained_for(self):
        return frozenset(filter(None, [self.method.needs_training_for]))

    def has_token(self, text: str) -> bool:
        return self.backend.tokens


def is_refused(method: Method, backend: Backend) -> bool:
    try:
        check_needs("m", method, Open(backend, method))
    except CapabilityError:
        return True
    return method.adapter is not None and "adapters" not in backend.capabilities


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_a_yes_is_what_a_run_would_not_refuse(backend: Backend) -> None:
    for name in names("methods"):
        cls = load_method(name)
        assert cell(cls, backend).startswith("yes") is not is_refused(cls(), backend), name


class Choosy(Ask):
    """Needs more with some parameters than with others."""

    class Params(Ask.Params):
        way: str = "plain"
        parts: str | None = "parts"

    @property
    def needs_now(self):
        return frozenset({"soft-prompts"} if self.params.parts else ())


def test_parameters_that_make_it_run_are_named() -> None:
    found = {backend.name: cell(Choosy, backend) for backend in BACKENDS}
    assert found["transformers"] == "yes"
    assert set(found.values()) == {"yes", "with parts=null"}


def test_values_that_need_more_are_named() -> None:
    likeliest = next(backend for backend in BACKENDS if "likeliest" in backend.name)
    corag = cell(load_method("corag-prompted"), likeliest)
    assert corag == "yes, not strategy=best_of_n/tree"


def test_the_readme_shows_what_the_command_prints(cli: CommandLine) -> None:
    done = cli("matrix")
    assert done.code == 0
    assert done.out in README.read_text(encoding="utf-8")
    assert [row[0] for row in matrix()] == names("methods")
