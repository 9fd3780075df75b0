"""Rules of what a method answers, checked by asking it the questions of a small task."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import CoroutineType
from typing import TypeVar

from harness.fingerprint import canonical_json
from harness.llm.base import LanguageModel
from harness.prompts import PromptStyle
from harness.records import Hit, Passage, Query
from harness.runs.predictions import prediction_row
from harness.testing.conformance_lab import Lab, TooManyCallsError
from harness.testing.findings import Wrongs, rule
from harness.testing.models import RuleModel
from harness.testing.observed import Case
from harness.testing.outcomes import Outcome, changed_key, unfit
from harness.testing.rules_of_memory import loads
from harness.testing.watch import HungError

THOUGHTS = "What do I know of this? Let me think."
STATE = (
    "keep nothing of one question for the next (set no attributes and no globals in answer()), and "
    "draw random numbers from random.Random(f'{self.seed} {query.id}')"
)
ORDER = (
    "use what asyncio.gather() returns, in the order of its arguments: which call ends first "
    "depends on the batch"
)

T = TypeVar("T")


@rule("a question takes a bounded number of calls and ends", loads)
def bounded(lab: Lab) -> Wrongs:
    """Every question comes to an end."""
    try:
        _ = lab.plain
    except TooManyCallsError as error:
        yield (
            f"{error} asks for more than {lab.max_calls} calls",
            "bound every loop; what truly needs more is checked with check_method(…, max_calls=N) "
            "or --max-calls N",
        )
    except HungError as error:
        yield (
            f"answer() hangs: {error}",
            "await only self.llm, self.retriever and what ends by itself, and bound every loop",
        )


@rule("gold answers are not looked at", bounded)
def no_gold(lab: Lab) -> Wrongs:
    """Only a control whose card says so may see gold."""
    fix = "answer from query.text; a control that needs gold says card = MethodCard(…, oracle=True)"
    for place in lab.gold.looked[:1]:
        yield f"self.gold is read at {place}", fix
    for outcome in lab.plain.values():
        if _of_gold(lab, outcome) and not lab.gold.looked:
            yield _told(lab, outcome), fix
            return


@rule("every call is awaited", bounded)
def awaits(lab: Lab) -> Wrongs:
    """A call without ``await`` asks nothing."""
    fix = "write 'await' before the call, or give it to asyncio.gather(…) and await that"
    for outcome in lab.plain.values():
        if _of_coroutine(outcome):
            yield _told(lab, outcome), fix
            return
    for told in lab.forgotten[:1]:
        yield told, fix


@rule("every question gets an answer", bounded)
def answers(lab: Lab) -> Wrongs:
    """No question ends in an error."""
    for outcome in lab.plain.values():
        explained = _of_gold(lab, outcome) or _of_coroutine(outcome)
        if outcome.raised is not None and not explained:
            yield _told(lab, outcome), _advice(lab, outcome.raised)
            return


@rule("an answer is a Prediction with a text", bounded)
def predicts(lab: Lab) -> Wrongs:
    """``answer`` returns what can be scored."""
    for outcome in lab.plain.values():
        wrong = None if outcome.raised else unfit(outcome.returned)
        if wrong is not None and not isinstance(outcome.returned, CoroutineType):
            yield (
                f"{outcome.where}: {wrong}",
                "answer() must return a Prediction with a text, ranked passages or hits (a list, "
                "best first), and ids in read and support",
            )
            return


WHOLE = (no_gold, awaits, answers, predicts)
"""Rules without which there is nothing to look at."""


@rule("passages come from the corpus", *WHOLE)
def known(lab: Lab) -> Wrongs:
    """What is read or named are documents of the task."""
    for outcome in lab.plain.values():
        found = outcome.returned
        for passage in found.ranked:
            if not (isinstance(passage, Passage | Hit) and passage.id in lab.data.corpus):
                wrong = f"{outcome.where}: ranked holds {passage!r:.80}"
                yield wrong, "rank Passages that a search gave, or Hits with ids of the corpus"
                return
        for name in ("read", "support"):
            for id_ in getattr(found, name) or ():
                if id_ not in lab.data.corpus:
                    wrong = f"{outcome.where}: {name} holds {id_!r:.80}"
                    yield wrong, "name documents by their ids in the corpus (passage.id)"
                    return


@rule("predictions fit into JSON", *WHOLE)
def storable(lab: Lab) -> Wrongs:
    """Every prediction is a line of a file."""
    for question_id, outcome in lab.plain.items():
        try:
            canonical_json(prediction_row(question_id, outcome.prediction)).encode()
        except (TypeError, ValueError) as error:
            yield (
                f"{outcome.where}: {' '.join(str(error).split())}",
                "keep to texts, finite numbers, lists and maps; half of a surrogate pair is no "
                "text (text.encode(errors='replace').decode())",
            )
            return


@rule("answers depend on the question and the seed alone", storable)
def same_answers(lab: Lab) -> Wrongs:
    """Neither batches, nor order, nor writing the memory again change an answer."""
    method = lab.loaded(lab.write("again"))
    for case, step, fix in [
        (Case("in a second run"), 1, STATE),
        (Case("asked again, one at a time", window=1), 1, STATE),
        (Case("asked again, in reverse order", window=1), -1, STATE),
        (Case("where of several calls the last is answered first", backwards=True), 1, ORDER),
    ]:
        outcomes = lab.ask(method, case, lab.queries[::step])
        if difference := lab.difference(outcomes):
            yield f"{case.name}: {difference}", fix
            return


@rule(
    "another process gives the same answers",
    same_answers,
    applies=lambda lab: lab.elsewhere is not None,
)
def same_elsewhere(lab: Lab) -> Wrongs:
    """Python orders sets, and hashes texts, otherwise in every process."""
    assert lab.elsewhere is not None
    rows = lab.elsewhere()
    for question_id, outcome in lab.plain.items():
        row = json.loads(canonical_json(prediction_row(question_id, outcome.prediction)))
        if changed := changed_key(row, rows[question_id], exact=True):
            yield (
                f"question {question_id}: {changed}",
                "sort what comes out of a set, use hashlib where hash() of a text decides, and ask "
                "neither clock nor process",
            )
            return


@rule("needs says what is asked of the model", *WHOLE, applies=lambda lab: lab.model is None)
def needs(lab: Lab) -> Wrongs:
    """Else a run with another model stops at its first question."""
    method = lab.loaded(lab.memory)
    weak = RuleModel()
    weak.capabilities = frozenset(method.needs_now)
    for kind, request in lab.requests(method, Case("a model that offers no more", rules=weak)):
        wanted = {"score": "logprobs", "next_token_probs": "next-token-probs"}.get(kind)
        if kind == "generate":
            wanted = "logprobs" if request.watch else None
            wanted = "soft-prompts" if request.soft_prompts else wanted
        enough = {wanted, "logprobs"} if wanted == "next-token-probs" else {wanted}
        if wanted is not None and not enough & method.needs_now:
            yield (
                f"it asks for {kind}, for which a model must offer '{wanted}'",
                f"declare needs = frozenset({{{wanted!r}}}), so that a model without it is refused "
                "before any work",
            )
            return


@rule("odd replies and empty results get an answer in a bounded number of calls", *WHOLE)
def strange_replies(lab: Lab) -> Wrongs:
    """A model may reply anything, and a search may find nothing."""
    method = lab.loaded(lab.memory)
    for case in _strange_cases():
        try:
            outcomes = lab.ask(method, case, lab.hard_queries)
        except TooManyCallsError as error:
            yield f"{error} asks for more than {lab.max_calls} calls", "bound every loop"
            return
        for outcome in outcomes.values():
            if not outcome.is_whole:
                yield (
                    _told(lab, outcome),
                    "take any text, any probability and an empty list, and answer with ''",
                )
                return


@rule("thoughts are no part of a prompt, a query or an answer", *WHOLE)
def thoughts(lab: Lab) -> Wrongs:
    """What a reasoning model thinks stands in the trace of its call and nowhere else."""
    case = Case("a model that thinks", rules=RuleModel(thoughts=THOUGHTS))
    for question_id, outcome in lab.ask(lab.loaded(lab.memory), case).items():
        row = prediction_row(question_id, outcome.prediction)
        steps = [{k: v for k, v in step.items() if k != "thoughts"} for step in row["steps"]]
        for name, value in {**row, "steps": steps}.items():
            if THOUGHTS in canonical_json(value):
                yield f"{outcome.where}: {name}", "use reply.text or reply.first_line alone"
                return


@rule("an answer ends when it is cancelled", *WHOLE)
def cancellable(lab: Lab) -> Wrongs:
    """A run that is stopped would go on for ever, or keep an answer that nobody gave."""
    try:
        ends = lab.cancelled(lab.loaded(lab.memory))
    except HungError:
        ends = False
    if not ends:
        yield (
            "answer() goes on, or returns, after asyncio.CancelledError",
            "catch Exception, never BaseException, CancelledError or everything ('except:'), or "
            "raise it again",
        )


def _told(lab: Lab, outcome: Outcome) -> str:
    return f"{outcome.where}: {outcome.problem(lab.code)}"


def _of_gold(lab: Lab, outcome: Outcome) -> bool:
    """Whether an error comes of looking for gold: in the query, or where an oracle finds it."""
    error = outcome.raised
    if isinstance(error, AttributeError) and isinstance(error.obj, Query):
        return error.name in ("golden_answers", "gold_doc_ids", "metadata")
    return isinstance(error, KeyError) and bool(lab.gold.looked)


def _of_coroutine(outcome: Outcome) -> bool:
    """Whether a call was taken for its result."""
    error = outcome.raised
    taken = isinstance(error, AttributeError) and isinstance(error.obj, CoroutineType)
    used = isinstance(error, TypeError) and "'coroutine' object" in str(error)
    return taken or used or isinstance(outcome.returned, CoroutineType)


def _advice(lab: Lab, error: Exception) -> str:
    if isinstance(error, AttributeError) and isinstance(error.obj, lab.cls) and lab.writes:
        return (
            f"set self.{error.name} in load(), from what write() left in the folder: every run "
            "loads the memory into a new object"
        )
    if isinstance(error, AttributeError) and isinstance(error.obj, LanguageModel):
        return "not every model has it: say in needs what is asked of one, or check with a --model"
    return "handle it: an error counts as a wrong answer"


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


BEFORE = (bounded, *WHOLE, known, storable, same_answers, same_elsewhere, needs)
AFTER = (strange_replies, thoughts, cancellable)
