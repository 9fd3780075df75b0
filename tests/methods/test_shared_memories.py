"""Controls whose memory is their method's: they have what decides it in common."""

from __future__ import annotations

import pytest

from harness.boards.method_entry import load_method
from harness.registry import names

CONTROLS = {
    "compressor-shuffled": "compressor",
    "parametric-qa-consolidated-unstudied": "parametric-qa-consolidated",
    "parametric-qa-gold": "parametric-qa",
    "parametric-qa-shuffled": "parametric-qa",
    "parametric-qa-joint-closed-book": "parametric-qa-joint",
    "parametric-qa-joint-shuffled": "parametric-qa-joint",
    "prag-shuffled": "prag",
    "pruned-text-oracle": "pruned-text",
}


def test_these_write_nothing_of_their_own():
    found = {name: load_method(name).writes_as for name in names("methods")}
    assert {name: other for name, other in found.items() if other} == CONTROLS


@pytest.mark.parametrize(("control", "method"), CONTROLS.items())
def test_they_write_as_their_method_does(control, method):
    cls, of = load_method(control), load_method(method)
    assert issubclass(cls, of) and cls.version() == of.version()
    assert cls.only_answers == of.only_answers
    own, theirs = cls.Params.model_fields, of.Params.model_fields
    assert own.keys() == theirs.keys()
    for name in own.keys() - of.only_answers:
        assert own[name].default == theirs[name].default
    answers = {"_choose", "_read", "_chosen", "load", "find"}
    methods = {k for base in cls.__mro__[: cls.__mro__.index(of)] for k in vars(base)}
    assert {k for k in methods if callable(getattr(cls, k))} - {"Params"} - answers <= {
        "__doc__", "__module__", "__abstractmethods__", "_abc_impl",
    }  # fmt: skip


@pytest.mark.parametrize("name", names("methods"))
def test_what_is_only_for_answers_are_parameters(name):
    cls = load_method(name)
    assert cls.only_answers <= cls.Params.model_fields.keys()
