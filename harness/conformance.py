"""Rules that every method keeps. ``check_method(MyMethod)`` names the first one broken."""

from __future__ import annotations

import inspect
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from harness.demonstrations import qa_prompts
from harness.engine import Answered, Engine
from harness.errors import CapabilityError, HarnessError
from harness.fingerprint import canonical_json
from harness.llm.base import LanguageModel
from harness.method import Method, MethodCard, MethodParams
from harness.prompts import PromptStyle
from harness.records import Passage, Prediction, Query, StorageReport
from harness.runs import prediction_row
from harness.testing import RuleModel, WordRetriever, small_task
from harness.trace import current_scope

STORAGE_PARTS = frozenset(
    {"text", "sparse index", "dense index", "memory vectors", "adapters", "shared parameters"}
)
PICKLES = frozenset({".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib"})

T = TypeVar("T")
Rows = dict[str, dict[str, Any]]


class BrokenRuleError(HarnessError, AssertionError):
    """A method breaks a rule that the harness relies on."""


def check_method(
    cls: type[Method],
    params: dict[str, Any] | None = None,
    *,
    model: LanguageModel | None = None,
    max_calls: int = 200,
) -> None:
    """Raise BrokenRuleError unless ``cls`` keeps the rules of a method.

    Answers a few questions over a corpus of ten passages, with a model that follows fixed rules,
    in well under a second for most methods. ``params`` differ from the defaults. ``model`` is for
    methods that need more than text and log-probabilities, such as soft prompts: answers are then
    its own, except where a rule is about strange replies. ``max_calls`` of the model or the
    retriever are allowed for one question.
    """
    check_card(cls)
    check_params(cls, params or {})
    check_constructor(cls, params or {})
    check_answer_signature(cls)
    with tempfile.TemporaryDirectory() as folder:
        lab = _Lab(cls, params or {}, model, max_calls)
        first = lab.answer(lab.written(), _Case("plain questions"))
        check_same_answers(lab, first)
        check_storage(lab)
        check_save_and_load(lab, first, Path(folder))
        check_strange_replies(lab)


def check_card(cls: type[Method]) -> None:
    """The card has a title and a summary."""
    card = getattr(cls, "card", None)
    rule = _Rule(cls, "a method has a card")
    rule.require(isinstance(card, MethodCard), "set card = MethodCard(title=…, summary=…)")
    assert isinstance(card, MethodCard)
    rule.require(bool(card.title.strip()), "card.title is empty")
    rule.require(bool(card.summary.strip()), "card.summary is empty")


def check_params(cls: type[Method], values: dict[str, Any]) -> None:
    """Params are frozen, described, strict, and valid as they stand."""
    rule = _Rule(cls, "parameters are frozen, described and strict")
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


def check_constructor(cls: type[Method], values: dict[str, Any]) -> None:
    """The constructor stores parameters and does nothing else."""
    rule = _Rule(cls, "the constructor only stores parameters")
    params = cls.Params(**values)
    held = vars(cls(params))
    extra = sorted(set(held) - {"params"})
    rule.require(not extra, f"it also sets {', '.join(extra)}; build it in write() or answer()")
    rule.require(held.get("params") is params, "self.params must be the parameters given")


def check_answer_signature(cls: type[Method]) -> None:
    """``answer`` is a coroutine function of one query."""
    rule = _Rule(cls, "answer is 'async def answer(self, query)'")
    rule.require(inspect.iscoroutinefunction(cls.answer), "it is not a coroutine function")
    rule.require(len(inspect.signature(cls.answer).parameters) == 2, "it takes one query, no more")


def check_same_answers(lab: _Lab, first: Rows) -> None:
    """Neither batches, nor order, nor a second run change an answer."""
    rule = _Rule(lab.cls, "answers depend on the question and the seed alone")
    method = lab.written()
    for name, window, step in [
        ("in a second run", 64, 1),
        ("asked again, one at a time", 1, 1),
        ("asked again, in reverse order", 1, -1),
    ]:
        rows = lab.answer(method, _Case(name, window), lab.queries[::step])
        lab.compare(rule, name, first, rows)


def check_storage(lab: _Lab) -> None:
    """``storage`` reports whole bytes under the known names."""
    rule = _Rule(lab.cls, "storage() reports bytes by part")
    method = lab.written()
    lab.engine(method, _Case("storage"))
    report = method.storage()
    rule.require(isinstance(report, StorageReport), f"it returned {type(report).__name__}")
    unknown = sorted(set(report.parts) - STORAGE_PARTS)
    rule.require(not unknown, f"unknown parts {unknown} (known: {sorted(STORAGE_PARTS)})")
    for name, value in {**report.parts, "documents": report.documents}.items():
        rule.require(
            type(value) is int and value >= 0, f"{name} = {value!r}, not a number of bytes"
        )


def check_save_and_load(lab: _Lab, first: Rows, folder: Path) -> None:
    """What was saved answers like what was written, and holds no pickles."""
    rule = _Rule(lab.cls, "save() and load() keep the memory")
    lab.written().save(folder)
    pickles = sorted(path.name for path in folder.rglob("*") if path.suffix in PICKLES)
    rule.require(not pickles, f"{', '.join(pickles)}: use safetensors, npy or JSON")
    method = lab.new()
    lab.engine(method, _Case("load"))
    method.load(folder)
    lab.compare(rule, "after load()", first, lab.answer(method, _Case("after load()")))


def check_strange_replies(lab: _Lab) -> None:
    """Odd replies and empty results give an answer, in a bounded number of calls."""
    method = lab.written()
    for case in _strange_cases():
        lab.answer(method, case)


@dataclass(frozen=True, slots=True)
class _Case:
    """How the questions are asked; ``most`` passages are found, None for as many as there are."""

    name: str
    window: int = 64
    rules: RuleModel | None = None
    most: int | None = None


def _strange_cases() -> Iterator[_Case]:
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
            yield _Case(f"{name}, {style} model", rules=rules)
    for p in (0.0, 1.0):
        yield _Case(f"probabilities of {p}", rules=RuleModel(probability=_always(p)))
    for most in (0, 1):
        yield _Case(f"a retriever that finds {most} passages", rules=RuleModel(), most=most)


def _always(value: T) -> Callable[..., T]:
    return lambda *_: value


@dataclass(frozen=True, slots=True)
class _Rule:
    cls: type[Method]
    name: str

    def require(self, kept: bool, detail: str) -> None:
        if not kept:
            self.broken(detail)

    def broken(self, detail: str) -> None:
        raise BrokenRuleError(f'{self.cls.__name__} breaks the rule "{self.name}": {detail}')


class _Lab:
    """A small world in which a method is written and asked."""

    def __init__(
        self, cls: type[Method], values: dict[str, Any], model: LanguageModel | None, max_calls: int
    ) -> None:
        self.cls, self.values, self.model, self.max_calls = cls, values, model, max_calls
        self.data = small_task()
        self.queries = [question.query for question in self.data.questions]

    def new(self) -> Method:
        return self.cls(self.cls.Params(**self.values))

    def written(self) -> Method:
        method = self.new()
        self.engine(method, _Case("write"))
        method.write(self.data.corpus, self.data.train)
        return method

    def engine(self, method: Method, case: _Case) -> _Engine:
        data, retrieves = self.data, method.retriever_name is not None
        try:
            engine = _Engine(
                method,
                self.model or case.rules or RuleModel(),
                WordRetriever(data.corpus, case.most) if retrieves else None,
                data.corpus,
                prompts=qa_prompts(data, min(method.params.shots, len(data.train)), seed=0),
                window=case.window,
            )
        except CapabilityError as error:
            raise CapabilityError(f"{error}; give one to check_method(…, model=…)") from error
        engine.rules, engine.max_calls = case.rules, self.max_calls
        return engine

    def answer(self, method: Method, case: _Case, queries: Sequence[Query] | None = None) -> Rows:
        answered: list[Answered] = []
        try:
            self.engine(method, case).run(queries or self.queries, answered.append)
        except _TooManyCallsError as error:
            rule = _Rule(self.cls, f"at most {self.max_calls} calls a question")
            rule.broken(f"{case.name}: question {error} asks for more; bound every loop")
        return {a.question_id: self._row(case, a.question_id, a.prediction) for a in answered}

    def _row(self, case: _Case, question_id: str, prediction: Prediction) -> dict[str, Any]:
        rule = _Rule(self.cls, "every question gets an answer")
        where = f"{case.name}, question {question_id}"
        rule.require(prediction.error is None, f"{where}: {prediction.error}")
        rule = _Rule(self.cls, "passages come from the corpus")
        for passage in prediction.passages:
            known = isinstance(passage, Passage) and passage.id in self.data.corpus
            rule.require(known, f"{where}: {passage!r:.80}")
        row = prediction_row(question_id, prediction)
        try:
            canonical_json(row).encode()
        except (TypeError, ValueError) as error:
            _Rule(self.cls, "predictions fit into JSON").broken(f"{where}: {error}")
        return row

    def compare(self, rule: _Rule, case: str, first: Rows, rows: Rows) -> None:
        # Another model may round differently in another batch; the rules do not.
        keys = sorted(rows["q0"]) if self.model is None else ["answer", "retrieved_ids"]
        for question_id, row in first.items():
            for key in keys:
                was, now = row[key], rows[question_id][key]
                rule.require(
                    was == now,
                    f"{case}, question {question_id}: {key} {now!r:.200}, not {was!r:.200}",
                )


class _Engine(Engine):
    """Counts the calls of each question; may reply by rules instead of asking the model."""

    rules: RuleModel | None = None
    max_calls = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._calls: Counter[str] = Counter()

    async def submit(self, kind: str, request: Any) -> Any:
        recorder = current_scope().recorder
        self._calls[recorder.query_id] += 1
        if self._calls[recorder.query_id] > self.max_calls:
            raise _TooManyCallsError(recorder.query_id)
        if self.rules is None or kind == "search":
            return await super().submit(kind, request)
        return next(iter(getattr(self.rules, kind)([request])))[1]


class _TooManyCallsError(BaseException):
    """Not an Exception, so that a method that retries after every error ends too."""
