"""Forgetting: what the model and a memory lose, by weights in force and by documents that come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from harness.boards.changing.asking import answers_in, ask, circumstances
from harness.boards.changing.before_after import answered_twice, perplexity_terms
from harness.boards.changing.kept import Kept, answers_folder, kept
from harness.boards.changing.material import Material
from harness.boards.changing.subject import (
    Subject,
    check_files,
    check_subjects,
    open_subjects_model,
    subjects_of,
    untrained_data,
)
from harness.boards.config import MethodEntry
from harness.boards.shots import fit_shots
from harness.boards.task_entry import TaskSource
from harness.data.corpus_changes import CorpusChanges
from harness.data.demonstrations import qa_prompts
from harness.engine import Engine
from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.meters.hardware import set_torch_threads
from harness.method import Method, MethodCard, MethodParams
from harness.progress import say
from harness.records import Prediction, Query
from harness.runs.revising import Reviser, State

if TYPE_CHECKING:
    from rich.console import Console

    from harness.llm.base import LanguageModel

CLOSED_BOOK, OLD_DOCUMENTS = "closed book", "old documents"
BEFORE, AFTER = "before", "after"


class ForgettingOptions(BaseModel):
    """What is measured, of which methods."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[TaskSource, ...] = Field(min_length=1)
    methods: tuple[MethodEntry, ...] = Field(min_length=1)
    limit: int = Field(100, ge=1, description="questions of each task")
    passages: int = Field(100, ge=1, description="held-out passages of each task, at most")
    documents: int | None = Field(None, ge=1, description="of each task that are old, gold in them")
    model: str = DEFAULT_MODEL
    seed: int = Field(0, ge=0)
    device: str | None = None


@dataclass(frozen=True, slots=True)
class AskedTwice:
    """A question that was answered before and after; EM and F1 from 0 to 1.

    ``closed book``: without any memory, before and after the method's weights are in force. ``old
    documents``: with the method's memory, before and after other documents were added to it.
    """

    task: str
    method: str
    measure: str
    question_id: str
    question: str
    answer_before: str
    answer_after: str
    em_before: float
    em_after: float
    f1_before: float
    f1_after: float
    error: str


@dataclass(frozen=True, slots=True)
class ReadTwice:
    """A passage's plain text: its tokens, and nats summed over them, by other weights each time."""

    task: str
    method: str
    passage_id: str
    tokens: int
    nats_before: float
    nats_after: float


@dataclass(slots=True)
class Forgetting:
    """Where the figures come from, and one record a question and measure, and a passage.

    ``facts["without_weights"]`` are methods in which no weight changes that all questions share.
    """

    facts: dict[str, Any]
    questions: list[AskedTwice] = field(default_factory=list)
    passages: list[ReadTwice] = field(default_factory=list)


class _ClosedBook(Method):
    """The few-shot prompt that all methods share, without any passage."""

    card = MethodCard("Closed book", "The model answers from its own weights in one call.")

    async def answer(self, query: Query) -> Prediction:
        """Ask the question, take the first line."""
        prompt = self.prompts.closed_book(query)
        reply = await self.llm.generate(prompt, max_tokens=32, one_line=True)
        return Prediction(reply.first_line)


@dataclass(frozen=True, slots=True)
class _Knows:
    """What a model says by itself: predictions by question id; tokens and nats by passage id."""

    answers: Mapping[str, Prediction]
    texts: Mapping[str, tuple[int, float]]


def evaluate_forgetting(
    options: ForgettingOptions, console: Console, out: Path | None = None
) -> Forgetting:
    """Measure each method on the same questions and passages, before and after.

    What was answered is kept below ``out``, and an interrupted evaluation goes on there.
    Raises HarnessError for options that do not fit.
    """
    subjects, model = subjects_of(options.methods), resolve_model(options.model)
    check_files(subjects, model)
    material = [
        Material.of(
            untrained_data(source.load(), subjects, model),
            options.limit,
            options.passages,
            options.documents,
        )
        for source in dict.fromkeys(options.tasks)
    ]
    for part in material:
        check_subjects(subjects, part.data)
        if any(subject.touches_weights for subject in subjects):
            part.check_held_out()
    set_torch_threads()
    llm = open_subjects_model(options.model, options.device, subjects, material[0].data)
    found = Forgetting(
        {
            "model": llm.name,
            "methods": {s.label: s.params.model_dump(mode="json") for s in subjects},
            "corpora": {part.data.name: part.data.corpus_fingerprint for part in material},
            "documents": {p.data.name: [len(p.data.corpus), len(p.added)] for p in material},
            "undone_exactly": [],
            "without_weights": [],
            "seed": options.seed,
        }
    )
    with answers_folder(out) as folder:
        for part in material:
            _of_task(folder, part, subjects, llm, options, console, found)
    for name in ("undone_exactly", "without_weights"):
        found.facts[name] = sorted(set(found.facts[name]))
    found.facts |= circumstances()
    return found


def _of_task(
    folder: Path,
    part: Material,
    subjects: Sequence[Subject],
    llm: LanguageModel,
    options: ForgettingOptions,
    console: Console,
    found: Forgetting,
) -> None:
    model, name = resolve_model(options.model), part.data.name
    added, held_out = ([p.id for p in passages] for passages in (part.added, part.held_out))
    plain = Subject("plain model", _ClosedBook, MethodParams())
    known: _Knows | None = None
    for subject in subjects:
        label = subject.label
        if subject.touches_weights and known is None:
            place = kept(folder, plain, model, part.data, options.seed, held_out).folder
            known = _known_by(llm, part, options.seed, console, f"{name}, plain model", place)
        own = kept(folder, subject, model, part.data, options.seed, added, held_out)
        say(console, f"{name}, {label}: {len(part.data.corpus):,} documents")
        work = partial(_ask_all, own, subject, llm, part, options.seed, console)
        if own.once(llm, subject, work):
            found.facts["undone_exactly"].append(label)
        if known is not None and own.told(BEFORE)["in_force"]:
            tuned = _known_by(llm, part, options.seed, console, label, own.place(CLOSED_BOOK))
            found.questions += _asked(part, label, CLOSED_BOOK, known.answers, tuned.answers)
            found.passages += _read(part, label, known, tuned)
        else:
            found.facts["without_weights"].append(label)
        both = (answers_in(own.place(state)) for state in (BEFORE, AFTER))
        found.questions += _asked(part, label, OLD_DOCUMENTS, *both)


def _ask_all(
    own: Kept, subject: Subject, llm: LanguageModel, part: Material, seed: int, console: Console
) -> None:
    """Ask what is not answered yet, over the old documents, then over all."""
    label, reviser = (
        f"{part.data.name}, {subject.label}",
        Reviser(partial(subject.new, part.data), llm, seed, console, own.states),
    )
    first = reviser.begin(part.data, BEFORE)
    with reviser.asking(first):
        _answers(first, part, console, f"{label}, before", own.place(BEFORE))
        if in_force := subject.touches_weights and _in_force(first):
            called = f"{label}, closed book"
            _known_by(llm, part, seed, console, called, own.place(CLOSED_BOOK))
    own.tell(BEFORE, {"in_force": in_force})
    changes = CorpusChanges.of(part.data.corpus, added=part.added)
    grown = reviser.change(first, changes, AFTER, one_by_one=False)
    with reviser.asking(grown):
        _answers(grown, part, console, f"{label}, after", own.place(AFTER))


def _in_force(state: State) -> bool:
    """Whether weights that all questions share differ from the model's own."""
    changes = state.method.changes
    return state.method.adapter is not None or bool(changes.adapter or changes.edits)


def _answers(
    state: State, part: Material, console: Console, label: str, place: Path
) -> dict[str, Prediction]:
    queries = [question.query for question in part.data.questions]
    return ask(state.engine, state.method, queries, console, label, place)


def _known_by(
    llm: LanguageModel, part: Material, seed: int, console: Console, label: str, place: Path
) -> _Knows:
    """What the model, as it is now, says by itself; all that is kept in ``place`` is not asked."""
    method = _ClosedBook(fit_shots(MethodParams(), part.data))
    engine = Engine(llm)
    method.open(engine.lend(prompts=qa_prompts(part.data, method.params.shots, seed), seed=seed))
    queries = [question.query for question in part.data.questions]
    answers = ask(engine, method, queries, console, label, place)
    texts = perplexity_terms(llm, part.held_out, console, f"{label}, passages", place)
    return _Knows(answers, texts)


def _asked(
    part: Material,
    label: str,
    measure: str,
    before: Mapping[str, Prediction],
    after: Mapping[str, Prediction],
) -> list[AskedTwice]:
    return [
        AskedTwice(part.data.name, label, measure, **answered_twice(q, before[q.id], after[q.id]))
        for q in part.data.questions
    ]


def _read(part: Material, label: str, before: _Knows, after: _Knows) -> list[ReadTwice]:
    return [
        ReadTwice(part.data.name, label, id_, tokens, nats, after.texts[id_][1])
        for id_, (tokens, nats) in before.texts.items()
    ]
