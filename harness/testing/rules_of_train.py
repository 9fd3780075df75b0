"""Rules of train questions: documents of one's own may come with none, or with no gold passages."""

from __future__ import annotations

from dataclasses import replace

from harness.errors import HarnessError
from harness.records import Question
from harness.testing.conformance_lab import Lab
from harness.testing.findings import Wrongs, rule
from harness.testing.observed import Case
from harness.testing.rules_of_answers import WHOLE


@rule("train questions may be missing", *WHOLE, applies=lambda lab: lab.model is None)
def none_there(lab: Lab) -> Wrongs:
    """A task then has no demonstrations, and ``write`` gets none."""
    yield from _wrong(
        lab, "no-train-questions", (), "take empty prompts.examples (and an empty train in write())"
    )


@rule("gold passages of train questions may be missing", none_there,
      applies=lambda lab: lab.model is None)  # fmt: skip
def no_gold_passages(lab: Lab) -> Wrongs:
    """They need not be in the corpus."""
    train = tuple(replace(question, gold_doc_ids=()) for question in lab.data.train)
    yield from _wrong(
        lab, "no-gold-passages", train, "take empty passages of an example, and empty gold_doc_ids"
    )


def _wrong(lab: Lab, name: str, train: tuple[Question, ...], fix: str) -> Wrongs:
    method, where = lab.new(train), f"where there are {name.replace('-', ' ')}"
    if method.params.shots > len(train) or _refuses(lab, train):
        return  # such a run is refused before any work
    fix += "; a method that truly needs them raises ConfigError in check_write(train)"
    try:
        memory = lab.write(name, train=train)
        outcomes = lab.ask(lab.loaded(memory, train), Case(where, train=train))
    except Exception as error:
        yield f"{where}: {lab.code.told(error)}", fix
        return
    for outcome in outcomes.values():
        if not outcome.is_whole:
            yield f"{outcome.where}: {outcome.problem(lab.code)}", fix
            return


def _refuses(lab: Lab, train: tuple[Question, ...]) -> bool:
    """Whether the method says, before a run, that it needs other train questions."""
    try:
        lab.new(train).check_write(train)
    except HarnessError:
        return True
    return False


RULES = (none_there, no_gold_passages)
