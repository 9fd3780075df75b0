"""Forgetting: answers and perplexity without any memory, before and after the reader's training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.boards.changing.asking import ask, circumstances
from harness.boards.changing.before_after import answered_twice, perplexity_terms
from harness.boards.changing.kept import answers_folder
from harness.boards.task_entry import TaskSource
from harness.data.demonstrations import qa_prompts
from harness.data.task import TaskData
from harness.data.trained_on import check_untrained, warn_of_unknown
from harness.engine import Engine
from harness.errors import ConfigError, InputError
from harness.files import expanded, to_slug
from harness.fingerprint import fingerprint, sample_by_hash
from harness.llm.adapters import adapter_fingerprint
from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.llm.identity import identity
from harness.llm.loading import load_tokenizer
from harness.llm.model_config import ModelConfig
from harness.llm.open import weights_of
from harness.meters.hardware import set_torch_threads
from harness.method import Method
from harness.prompts import PROMPT_FORMAT
from harness.records import Passage, Prediction, Question
from methods.no_retrieval import NoRetrieval
from methods.parametric_qa.controls import ParametricQAClosedBook
from methods.parametric_qa.evaluate.evaluate_write import local_entry, open_local
from methods.parametric_qa.reader import DEFAULT_SHARED, check_shared, reader_adapter
from methods.parametric_qa.shared.initial import document_text
from methods.parametric_qa.train.account import Account, read_account
from methods.parametric_qa.train.training_data import TrainingTask, read_training_tasks

if TYPE_CHECKING:
    from rich.console import Console

    from harness.llm.local import LocalModel

PROMPTS = ("no-retrieval", "parametric-qa-closed-book")
"""Methods whose prompts are asked: few-shot from train questions, and as the reader was tuned."""


class ForgettingOptions(BaseModel):
    """What is measured, with which model before and which after training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[TaskSource, ...] = Field(
        (TaskSource(name="nq"), TaskSource(name="triviaqa")), min_length=1
    )
    limit: int = Field(100, ge=1, description="questions of each task")
    passages: int = Field(100, ge=1, description="held-out passages of each task")
    shared: str | None = Field(None, description="None: the shipped ones, unless after is given")
    after: str | None = Field(None, description="the model after full fine-tuning")
    model: str = DEFAULT_MODEL
    seed: int = Field(0, ge=0)
    device: str | None = None

    @model_validator(mode="after")
    def _one_way_of_tuning(self) -> Any:
        if self.shared is not None and self.after is not None:
            raise ConfigError(
                "--shared applies an adapter and --after names a whole model; give one of them"
            )
        return self


@dataclass(frozen=True, slots=True)
class AskedBothWays:
    """A question asked closed book with the prompt of a method; EM and F1 from 0 to 1."""

    task: str
    prompt: str
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
class ReadBothWays:
    """A passage's plain text after the start token: its tokens, and nats summed over them."""

    task: str
    passage_id: str
    tokens: int
    nats_before: float
    nats_after: float


@dataclass(frozen=True, slots=True)
class Forgetting:
    """Where the figures come from, and one record a question and prompt, and a passage."""

    facts: dict[str, Any]
    questions: list[AskedBothWays]
    passages: list[ReadBothWays]


@dataclass(frozen=True, slots=True)
class _Material:
    data: TaskData
    held_out: list[Passage]


@dataclass(slots=True)
class _Measured:
    """What one model says: predictions by task, prompt and id; tokens and nats by task and id."""

    answers: dict[tuple[str, str, str], Prediction] = field(default_factory=dict)
    texts: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)


def evaluate_forgetting(
    options: ForgettingOptions, console: Console, out: Path | None = None
) -> Forgetting:
    """Measure the model before and after training on the same questions and passages.

    What was answered is kept below ``out``, and an interrupted evaluation goes on there.
    Raises InputError or ConfigError for options that do not fit, CapabilityError for a model that
    is not run in this process.
    """
    shared = None if options.after else options.shared or DEFAULT_SHARED
    bundle = check_shared(shared, local_entry(options.model))
    other = local_entry(options.after) if options.after else None
    material = _material(options, _account(bundle.folder if bundle else None, other))
    set_torch_threads()
    llm = open_local(options.model, options.device)
    if bundle is not None:
        bundle.parts.check_model(llm.model, llm.name)
    if other is not None:
        _check_vocabulary(llm, other)
    adapter = reader_adapter(shared)
    with answers_folder(out) as kept:
        place = kept / f"reader-{_id(options, other, adapter, material)}"
        before = _measure(llm, material, options.seed, console, "before", place)
        after = before
        if other is not None or adapter is not None:
            with _tuned(llm, adapter, options) as tuned:
                after = _measure(tuned, material, options.seed, console, "after", place)
    facts = {
        "model": llm.name,
        "after": options.after or options.shared or DEFAULT_SHARED,
        "same_model": after is before,
        "full": options.after is not None,
        "corpora": {m.data.name: m.data.corpus_fingerprint for m in material},
        "seed": options.seed,
        **circumstances(),
    }
    return Forgetting(facts, _asked(material, before, after), _read(before, after))


def _id(
    options: ForgettingOptions,
    other: ModelConfig | None,
    adapter: Path | None,
    material: Sequence[_Material],
) -> str:
    """What decides all that is measured, hashed."""
    models = [identity(model) for model in (resolve_model(options.model), other) if model]
    asked = [
        (part.data.corpus_fingerprint, [q.id for q in part.data.questions]) for part in material
    ]
    read = [passage.id for part in material for passage in part.held_out]
    tuned = None if adapter is None else adapter_fingerprint(adapter)
    return fingerprint([models, tuned, options.seed, PROMPT_FORMAT, asked, read])[:12]


def held_out_passages(task: TrainingTask, seen: frozenset[str], count: int) -> list[Passage]:
    """The ``count`` passages with the smallest SHA-256 of their ids that training never read.

    They are gold for an evaluated or a validation question; one whose text is in ``seen`` is left
    out. Raises InputError if there are not so many.
    """
    held = sorted(set(task.corpus.ids) - set(task.free))
    ids = [id_ for id_ in held if document_text(task.corpus.get(id_)) not in seen]
    if count > len(ids):
        raise InputError(
            f"training left out {len(ids):,} passages of '{task.name}', not {count:,}; ask for "
            f"--passages {len(ids)} or fewer"
        )
    chosen = sample_by_hash(ids, count, str)
    return [task.corpus.get(id_) for id_ in chosen]


def _account(folder: Path | None, other: ModelConfig | None) -> Account:
    """What is noted of training; nothing without an account of it."""
    if folder is None and other is not None:
        # Full fine-tuning writes the model into the folder of the shared parts.
        folder = expanded(other.path).parent
    return Account() if folder is None else read_account(folder)


def _material(options: ForgettingOptions, training: Account) -> list[_Material]:
    warn_of_unknown(training.trained)
    asked = [
        check_untrained(source.load(options.limit), training.trained, leave_out=True)
        for source in dict.fromkeys(options.tasks)
    ]
    used = read_training_tasks(dict.fromkeys([*training.tasks, *options.tasks]))
    tasks = {task.name: task for task in used}
    training.check(tasks)
    # Two tasks may hold the same passage of Wikipedia under different ids.
    seen = frozenset(
        document_text(task.corpus.get(id_)) for task in tasks.values() for id_ in task.free
    )
    count = options.passages
    return [_Material(data, held_out_passages(tasks[data.name], seen, count)) for data in asked]


@contextmanager
def _tuned(
    llm: LocalModel, adapter: Path | None, options: ForgettingOptions
) -> Iterator[LocalModel]:
    if options.after is None:
        with llm.adapted(adapter):
            yield llm
        return
    # Not both at once: a large model fills the machine alone.
    llm.close()
    yield open_local(options.after, options.device)


def _check_vocabulary(llm: LocalModel, other: ModelConfig) -> None:
    # Before hours of questions: a tokenizer is read in no time.
    tokenizer = load_tokenizer(other, weights_of(other))
    if tokenizer.get_vocab() != llm.tokenizer.get_vocab():
        raise ConfigError(
            f"'{other.name}' has another vocabulary than '{llm.name}', so perplexities cannot be "
            "compared; give --model the model that it was trained from"
        )


def _measure(
    llm: LocalModel,
    material: Sequence[_Material],
    seed: int,
    console: Console,
    when: str,
    place: Path,
) -> _Measured:
    measured = _Measured()
    for part in material:
        name = part.data.name
        queries = [question.query for question in part.data.questions]
        for prompt, method in _askers().items():
            shots = qa_prompts(part.data, method.params.shots, seed)
            engine = Engine(llm)
            method.open(engine.lend(prompts=shots, seed=seed))
            label, own = f"{name}, {prompt}, {when}", place / to_slug(f"{when}-{name}-{prompt}")
            found = ask(engine, method, queries, console, label, own)
            measured.answers |= {(name, prompt, id_): value for id_, value in found.items()}
        label, own = f"{name}, passages, {when}", place / to_slug(f"{when}-{name}-passages")
        texts = perplexity_terms(llm, part.held_out, console, label, own)
        measured.texts |= {(name, id_): value for id_, value in texts.items()}
    return measured


def _askers() -> dict[str, Method]:
    own = ParametricQAClosedBook(ParametricQAClosedBook.Params(shared=None))
    return dict(zip(PROMPTS, (NoRetrieval(), own), strict=True))


def _asked(
    material: Sequence[_Material], before: _Measured, after: _Measured
) -> list[AskedBothWays]:
    return [
        _compared(part.data.name, prompt, question, before, after)
        for part in material
        for prompt in PROMPTS
        for question in part.data.questions
    ]


def _compared(
    task: str, prompt: str, question: Question, before: _Measured, after: _Measured
) -> AskedBothWays:
    key = task, prompt, question.id
    both = before.answers[key], after.answers[key]
    return AskedBothWays(task, prompt, **answered_twice(question, *both))


def _read(before: _Measured, after: _Measured) -> list[ReadBothWays]:
    return [
        ReadBothWays(task, id_, tokens, nats, after.texts[task, id_][1])
        for (task, id_), (tokens, nats) in before.texts.items()
    ]
