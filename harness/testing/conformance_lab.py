"""The small world in which a method is checked, and how a broken rule is reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from harness.boards.needs import check_needs
from harness.data.demonstrations import qa_prompts
from harness.engine import Answered, Engine
from harness.errors import CapabilityError, HarnessError
from harness.fingerprint import canonical_json
from harness.llm.base import LanguageModel
from harness.method import Method, writes_memory
from harness.records import Hit, Passage, Prediction, Query
from harness.runs.predictions import prediction_row
from harness.testing.models import RuleModel, WordRetriever, small_task
from harness.trace import current_scope

Rows = dict[str, dict[str, Any]]


class BrokenRuleError(HarnessError, AssertionError):
    """A method breaks a rule that the harness relies on."""


@dataclass(frozen=True, slots=True)
class Case:
    """How the questions are asked; ``most`` passages are found, None for as many as there are."""

    name: str
    window: int = 64
    rules: RuleModel | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule by its name, and how its breach is told."""

    cls: type[Method]
    name: str

    def require(self, kept: bool, detail: str) -> None:
        """Raise BrokenRuleError unless the rule was kept."""
        if not kept:
            self.broken(detail)

    def broken(self, detail: str) -> NoReturn:
        """Raise BrokenRuleError with the detail."""
        raise BrokenRuleError(f'{self.cls.__name__} breaks the rule "{self.name}": {detail}')


class Lab:
    """A small world in which a method is written and asked."""

    def __init__(
        self,
        cls: type[Method],
        values: dict[str, Any],
        model: LanguageModel | None,
        max_calls: int,
        folder: Path,
    ) -> None:
        self.cls, self.values, self.model, self.max_calls = cls, values, model, max_calls
        self.folder, self.data = folder, small_task()
        self.queries = [question.query for question in self.data.questions]

    def new(self) -> Method:
        """The method, not yet written."""
        return self.cls(self.cls.Params(**self.values))

    def adapted(self) -> AbstractContextManager[None]:
        """The model with the adapter that the method brings, while the rules are tried."""
        try:
            return (self.model or RuleModel()).adapted(self.new().adapter)
        except CapabilityError as error:
            raise _ask_for_model(error) from error

    def write(self, name: str) -> Path:
        """A folder with a memory, written by a method of its own."""
        folder, scratch = self.folder / name, self.folder / f"{name}-scratch"
        for each in (folder, scratch):
            each.mkdir()
        method = self.new()
        self.engine(method, Case("write"))
        method.open(replace(method.lent, scratch=scratch))
        method.write(self.data.corpus, self.data.train, folder)
        return folder

    def loaded(self, memory: Path) -> Method:
        """Another method that has opened a memory."""
        method = self.new()
        self.engine(method, Case("load"))
        if writes_memory(self.cls):
            method.load(memory)
        return method

    def engine(self, method: Method, case: Case) -> _Engine:
        """An engine over ten passages, with which the method is opened."""
        data, retrieves = self.data, method.retriever_name is not None
        try:
            model = self.model or self.able(case.rules or RuleModel())
            check_needs(self.cls.__name__, method, model)
        except CapabilityError as error:
            raise _ask_for_model(error) from error
        engine = _Engine(
            model,
            WordRetriever(data.corpus, case.most) if retrieves else None,
            data.corpus,
            window=case.window,
        )
        engine.rules, engine.max_calls = case.rules, self.max_calls
        prompts = qa_prompts(data, min(method.params.shots, len(data.train)), seed=0)
        gold = {q.id: q for q in data.questions} if method.card.oracle else {}
        task = data.card if method.reads_task else None
        method.open(engine.lend(prompts=prompts, gold=gold, task=task))
        return engine

    def able(self, rules: RuleModel) -> RuleModel:
        """The rules in the role of the checkpoint that the method asks for."""
        rules.tokens = frozenset(self.cls.needs_tokens)
        rules.trained_for = frozenset(filter(None, [self.cls.needs_training_for]))
        return rules

    def answer(self, method: Method, case: Case, queries: Sequence[Query] | None = None) -> Rows:
        """Rows of predictions by question id."""
        answered: list[Answered] = []
        try:
            self.engine(method, case).run(method, queries or self.queries, answered.append)
        except _TooManyCallsError as error:
            rule = Rule(self.cls, f"at most {self.max_calls} calls a question")
            rule.broken(f"{case.name}: question {error} asks for more; bound every loop")
        return {a.question_id: self._row(case, a.question_id, a.prediction) for a in answered}

    def _row(self, case: Case, question_id: str, prediction: Prediction) -> dict[str, Any]:
        rule = Rule(self.cls, "every question gets an answer")
        where = f"{case.name}, question {question_id}"
        rule.require(prediction.error is None, f"{where}: {prediction.error}")
        rule = Rule(self.cls, "passages come from the corpus")
        for passage in prediction.ranked:
            known = isinstance(passage, Passage | Hit) and passage.id in self.data.corpus
            rule.require(known, f"{where}: {passage!r:.80}")
        for id_ in prediction.read or ():
            rule.require(id_ in self.data.corpus, f"{where}: read {id_!r:.80}")
        row = prediction_row(question_id, prediction)
        try:
            canonical_json(row).encode()
        except (TypeError, ValueError) as error:
            Rule(self.cls, "predictions fit into JSON").broken(f"{where}: {error}")
        return row

    def compare(self, rule: Rule, case: str, first: Rows, rows: Rows) -> None:
        """Require that two sets of rows are equal."""
        for question_id, row in first.items():
            again = rows[question_id]
            # Another model may round differently in another batch; the rules do not.
            own = self.model is not None
            for key in ["answer", "retrieved_ids"] if own else sorted(row.keys() | again.keys()):
                was, now = row.get(key), again.get(key)
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


def _ask_for_model(error: CapabilityError) -> CapabilityError:
    return CapabilityError(f"{error}; give one to check_method(…, model=…)")


class _TooManyCallsError(BaseException):
    """Not an Exception, so that a method that retries after every error ends too."""
