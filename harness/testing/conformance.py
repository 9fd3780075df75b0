"""Rules that every method keeps, and ``check_method``, which says which were checked."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from harness.errors import ConfigError, describe_error
from harness.fingerprint import canonical_json
from harness.llm.base import LanguageModel
from harness.method import Method, MethodCard, MethodParams, check_class
from harness.prompts import PromptStyle
from harness.records import StorageReport
from harness.testing.conformance_lab import BrokenRuleError as BrokenRuleError
from harness.testing.conformance_lab import Case, Lab, Rows, Rule
from harness.testing.models import RuleModel

STORAGE_PARTS = frozenset(
    {"text", "sparse index", "dense index", "memory vectors", "adapters", "shared parameters"}
)
PICKLES = frozenset({".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib"})

_THOUGHTS = "What do I know of this? Let me think."

T = TypeVar("T")


def check_method(
    cls: type[Method],
    params: dict[str, Any] | None = None,
    *,
    model: LanguageModel | None = None,
    max_calls: int = 200,
) -> tuple[str, ...]:
    """The rules of a method that ``cls`` was found to keep; BrokenRuleError names one it breaks.

    Answers a few questions over a corpus of ten passages, with a model that follows fixed rules,
    in well under a second for most methods. ``params`` differ from the defaults. ``model`` is for
    methods that need more than text and log-probabilities, such as soft prompts: answers are then
    its own, except where a rule is about strange replies. ``max_calls`` of the model or the
    retriever are allowed for one question.
    """
    values = params or {}
    kept = [
        check_card(cls),
        check_whole(cls),
        check_params(cls, values),
        check_constructor(cls, values),
        check_answer_signature(cls),
    ]
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(cls, values, model, max_calls, Path(folder))
        with lab.adapted():
            memory = lab.write("memory")
            first = lab.answer(lab.loaded(memory), Case("plain questions"))
            kept += [
                check_same_answers(lab, first),
                check_storage(lab, memory),
                check_memory(lab, first, memory),
                check_strange_replies(lab, memory),
                check_thoughts(lab, memory),
            ]
    return tuple(rule.name for rule in kept)


def check_card(cls: type[Method]) -> Rule:
    """The card has a title and a summary."""
    card = getattr(cls, "card", None)
    rule = Rule(cls, "a method has a card")
    rule.require(isinstance(card, MethodCard), "set card = MethodCard(title=…, summary=…)")
    assert isinstance(card, MethodCard)
    rule.require(bool(card.title.strip()), "card.title is empty")
    rule.require(bool(card.summary.strip()), "card.summary is empty")
    return rule


def check_whole(cls: type[Method]) -> Rule:
    """Who writes a memory also loads it and gives its bytes."""
    rule = Rule(cls, "a memory has write(), load() and storage()")
    try:
        check_class(cls.__name__, cls)
    except ConfigError as error:
        rule.broken(str(error))
    return rule


def check_params(cls: type[Method], values: dict[str, Any]) -> Rule:
    """Params are frozen, described, strict, and valid as they stand."""
    rule = Rule(cls, "parameters are frozen, described and strict")
    params = cls.Params
    rule.require(issubclass(params, MethodParams), "Params must derive from MethodParams")
    rule.require(params.model_config.get("frozen") is True, "Params must keep frozen=True")
    rule.require(params.model_config.get("extra") == "forbid", "Params must keep extra='forbid'")
    for name, field in params.model_fields.items():
        rule.require(bool(field.description), f"Params.{name} needs Field(…, description=…)")
    try:
        given = params(**values)
        params.model_validate(params().model_dump())
        canonical_json(given.model_dump(mode="json"))
    except (ValidationError, TypeError, ValueError) as error:
        rule.broken(f"defaults must be valid and fit into JSON: {error}")
    return rule


def check_constructor(cls: type[Method], values: dict[str, Any]) -> Rule:
    """The constructor stores parameters and does nothing else."""
    rule = Rule(cls, "the constructor only stores parameters")
    params = cls.Params(**values)
    held = vars(cls(params))
    extra = sorted(set(held) - {"params"})
    rule.require(not extra, f"it also sets {', '.join(extra)}; build it in write() or answer()")
    rule.require(held.get("params") is params, "self.params must be the parameters given")
    return rule


def check_answer_signature(cls: type[Method]) -> Rule:
    """``answer`` is a coroutine function of one query."""
    rule = Rule(cls, "answer is 'async def answer(self, query)'")
    rule.require(inspect.iscoroutinefunction(cls.answer), "it is not a coroutine function")
    rule.require(len(inspect.signature(cls.answer).parameters) == 2, "it takes one query, no more")
    return rule


def check_same_answers(lab: Lab, first: Rows) -> Rule:
    """Neither batches, nor order, nor writing the memory again change an answer."""
    rule = Rule(lab.cls, "answers depend on the question and the seed alone")
    method = lab.loaded(lab.write("again"))
    for name, window, step in [
        ("in a second run", 64, 1),
        ("asked again, one at a time", 1, 1),
        ("asked again, in reverse order", 1, -1),
    ]:
        rows = lab.answer(method, Case(name, window), lab.queries[::step])
        lab.compare(rule, name, first, rows)
    return rule


def check_storage(lab: Lab, memory: Path) -> Rule:
    """``storage`` reports whole bytes under the known names."""
    rule = Rule(lab.cls, "storage() reports bytes by part")
    report = lab.loaded(memory).storage()
    rule.require(isinstance(report, StorageReport), f"it returned {type(report).__name__}")
    unknown = sorted(set(report.parts) - STORAGE_PARTS)
    rule.require(not unknown, f"unknown parts {unknown} (known: {sorted(STORAGE_PARTS)})")
    for name, value in {**report.parts, "documents": report.documents}.items():
        rule.require(
            type(value) is int and value >= 0, f"{name} = {value!r}, not a number of bytes"
        )
    return rule


def check_memory(lab: Lab, first: Rows, memory: Path) -> Rule:
    """A copy of the folder gives the same answers, and holds no pickles."""
    rule = Rule(lab.cls, "the memory is what write() left in its folder")
    pickles = sorted(path.name for path in memory.rglob("*") if path.suffix in PICKLES)
    rule.require(not pickles, f"{', '.join(pickles)}: use safetensors, npy or JSON")
    moved = memory.rename(memory.with_name("moved"))
    try:
        method = lab.loaded(moved)
    except Exception as error:
        rule.broken(f"in another place: load() failed with {describe_error(error)}")
    lab.compare(rule, "in another place", first, lab.answer(method, Case("in another place")))
    moved.rename(memory)
    return rule


def check_strange_replies(lab: Lab, memory: Path) -> Rule:
    """Odd replies and empty results give an answer, in a bounded number of calls."""
    method = lab.loaded(memory)
    for case in _strange_cases():
        lab.answer(method, case)
    return Rule(lab.cls, "odd replies and empty results get an answer in a bounded number of calls")


def check_thoughts(lab: Lab, memory: Path) -> Rule:
    """What a reasoning model thinks stands in the trace of its call and nowhere else."""
    rule = Rule(lab.cls, "thoughts are no part of a prompt, a query or an answer")
    case = Case("a model that thinks", rules=RuleModel(thoughts=_THOUGHTS))
    for question_id, row in lab.answer(lab.loaded(memory), case).items():
        steps = [{k: v for k, v in step.items() if k != "thoughts"} for step in row["steps"]]
        for name, value in {**row, "steps": steps}.items():
            place = f"{case.name}, question {question_id}: {name}"
            rule.require(_THOUGHTS not in canonical_json(value), place)
    return rule


def _strange_cases() -> Iterator[Case]:
    replies = {
        "an empty reply": "",
        "a reply of spaces": " \n\t ",
        "a reply of 5,000 words": "word " * 5000,
        "a reply of 200 lines": "\n".join(f"{n}. line: it's #{n}" for n in range(200)),
        "a reply in many scripts": "\u6771\u4eac \U0001f5fc \u0645\u0631\u062d\u0628\u0627 e\u0301",
        "a reply with braces and brackets": "{0} %s [Answer] </s> \\1",
    }
    styles: tuple[PromptStyle, ...] = ("completion", "chat")
    for name, text in replies.items():
        for style in styles:
            rules = RuleModel(_always(text), style=style, verbose=True)
            yield Case(f"{name}, {style} model", rules=rules)
    for p in (0.0, 1.0):
        yield Case(f"probabilities of {p}", rules=RuleModel(probability=_always(p)))
    for most in (0, 1):
        yield Case(f"a retriever that finds {most} passages", rules=RuleModel(), most=most)


def _always(value: T) -> Callable[..., T]:
    return lambda *_: value
