"""Rules of a method's class, checked without asking it anything."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import ValidationError

from harness.boards.method_entry import check_class
from harness.errors import ConfigError, problem_of
from harness.fingerprint import canonical_json
from harness.method import Method, MethodCard, MethodParams
from harness.testing.conformance_lab import Lab
from harness.testing.findings import Wrongs, rule


@rule("a method derives from harness.Method")
def is_method(lab: Lab) -> Wrongs:
    """It does."""
    if not issubclass(lab.cls, Method):
        yield f"{lab.cls.__name__} does not", f"write class {lab.cls.__name__}(Method)"


@rule("a method has a card", is_method)
def has_card(lab: Lab) -> Wrongs:
    """The card has a title, a summary and a version."""
    card = getattr(lab.cls, "card", None)
    if not isinstance(card, MethodCard):
        yield (
            f"card is {card!r:.60}",
            "set card = MethodCard(title=…, summary=…), which boards and 'list' show",
        )
        return
    for name in ("title", "summary"):
        value = getattr(card, name)
        if not isinstance(value, str) or not value.strip():
            yield f"card.{name} is empty", f"give it a {name}, which boards and 'list' show"
    if type(card.version) is not int or card.version < 1:
        yield (
            f"card.version is {card.version!r}",
            "begin with 1 and raise it whenever answers may change",
        )


@rule("a memory has write(), load() and storage()", is_method)
def is_whole(lab: Lab) -> Wrongs:
    """Who writes a memory also loads it and gives its bytes."""
    if not hasattr(lab.cls, "card"):
        return  # told by the rule about cards
    try:
        check_class(lab.cls.__name__, lab.cls)
    except ConfigError as error:
        yield str(error), "write what is missing, with these arguments"


@rule("parameters derive from MethodParams", is_method)
def has_params(lab: Lab) -> Wrongs:
    """Every method has ``shots``, and whatever else it says."""
    params: Any = lab.cls.Params
    if not (isinstance(params, type) and issubclass(params, MethodParams)):
        yield f"Params is {params!r:.80}", "write class Params(MethodParams) inside the class"


@rule("parameters are frozen, described and strict", has_params)
def strict(lab: Lab) -> Wrongs:
    """Params are what a run's identity can be made of."""
    params = lab.cls.Params
    if params.model_config.get("frozen") is not True:
        yield "parameters can be changed after they were recorded", "Params must keep frozen=True"
    if params.model_config.get("extra") != "forbid":
        yield "misspelt parameters pass unnoticed", "Params must keep extra='forbid'"
    for name, field in params.model_fields.items():
        if not field.description:
            yield (
                f"Params.{name} is not described",
                f"Params.{name} needs Field(…, description=…), which 'describe' shows",
            )


@rule("default parameters are valid", has_params)
def has_defaults(lab: Lab) -> Wrongs:
    """Defaults must be valid and fit into JSON, since they are part of a run's identity."""
    params: Any = lab.cls.Params
    try:
        params.model_validate(params().model_dump())
    except ValidationError as error:
        found = problem_of(error)
        fix = f"give Params.{found.where} a default that its own Field allows"
        yield f"defaults must be valid: Params.{found.where}: {found.message}", fix
        return
    try:
        canonical_json(params(**lab.values).model_dump(mode="json"))
    except (TypeError, ValueError) as error:
        yield lab.code.told(error), "take numbers, texts, truth values, and lists and maps of them"


@rule("a method can be made of its parameters", has_defaults)
def can_be_made(lab: Lab) -> Wrongs:
    """``cls(params)`` gives a method."""
    made = lab.new()
    if vars(made).get("params") is None:
        yield "self.params is not there", "call super().__init__(params), or define no __init__"


@rule("the constructor only stores parameters", can_be_made)
def constructor(lab: Lab) -> Wrongs:
    """Methods are made to look at them, many times, before anything is loaded."""
    params = lab.cls.Params(**lab.values)
    held = vars(lab.cls(params))
    if extra := sorted(set(held) - {"params"}):
        yield f"it also sets {', '.join(extra)}", "build it in load() or answer(), or write() it"
    if held.get("params") is not params:
        yield "self.params are not the parameters given", "store them as they are"


@rule("what a run asks before it opens a method follows from the parameters", can_be_made)
def properties(lab: Lab) -> Wrongs:
    """The retriever, the adapter, what was learnt from: the same each time, of their types."""
    names = ("retriever_name", "retriever_settings", "adapter", "inputs", "provenance", "needs_now")
    for name in names:
        first, again = getattr(lab.new(), name), getattr(lab.new(), name)
        if first != again:
            yield f"{name} is {first!r:.80}, then {again!r:.80}", "derive it from self.params alone"
    if not isinstance(lab.new().trained_on(), tuple):
        yield "trained_on() gives no tuple", "return a tuple of TrainedOn, () for none"
    retriever: Any = lab.new().retriever_name
    if retriever is not None and not isinstance(retriever, str):
        yield (
            f"retriever_name is {retriever!r:.80}",
            "name a retriever, such as 'bm25', or give None",
        )
    if unknown := sorted(lab.cls.only_answers - lab.cls.Params.model_fields.keys()):
        yield f"only_answers names no parameter: {unknown}", "name parameters, or leave them out"


@rule("answer is 'async def answer(self, query)'", is_method)
def signature(lab: Lab) -> Wrongs:
    """``answer`` is a coroutine function of one query."""
    answer = lab.cls.answer
    if getattr(answer, "__isabstractmethod__", False):
        return  # told as missing
    place = lab.code.where(answer.__code__) if hasattr(answer, "__code__") else "its class"
    if not inspect.iscoroutinefunction(answer):
        yield f"it is not a coroutine function ({place})", "write 'async def answer(self, query)'"
    if len(inspect.signature(answer).parameters) != 2:
        yield (
            f"it does not take one query ({place})",
            "it takes one query, no more: what else it needs is in self.params and self.lent",
        )


RULES = (
    is_method, has_card, is_whole, has_params, strict, has_defaults, can_be_made, constructor,
    properties, signature,
)  # fmt: skip
