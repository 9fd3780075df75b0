"""Finding: which gold passages methods retrieve, without an answer being written."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from harness.boards.changing.asking import ask, circumstances, circumstances_line, methods_line
from harness.boards.changing.subject import (
    Subject,
    check_files,
    check_subjects,
    open_subjects_model,
    subjects_of,
    untrained_data,
)
from harness.boards.config import MethodEntry
from harness.boards.task_entry import TaskSource
from harness.errors import CapabilityError, ConfigError, InputError
from harness.llm.base import LanguageModel
from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.llm.requests import GenerateRequest, Reply
from harness.meters.hardware import set_torch_threads
from harness.method import Method, MethodCard
from harness.metrics.retrieval import all_gold_at_k, recall_at_k
from harness.metrics.statistics import compare_pair, mean_cis
from harness.progress import say
from harness.records import Passage, Prediction, Query, Question
from harness.report import NOT_COMPARABLE, report
from harness.runs.revising import Reviser

if TYPE_CHECKING:
    from rich.console import Console

    from harness.data.task import TaskData

MEASURES = {"recall": recall_at_k, "all_gold": all_gold_at_k}
_HEADERS = (
    "Method", "Questions", "Recall@{k}", "gained", "p", "All-gold@{k}", "gained", "p",
)  # fmt: skip


class FindingOptions(BaseModel):
    """Which methods find passages for whose questions; the first is what others gain over."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: TaskSource
    methods: tuple[MethodEntry, ...] = Field(min_length=1)
    k: int = Field(5, ge=1, le=1000)
    limit: int | None = Field(None, ge=1)
    model: str | None = None
    seed: int = Field(0, ge=0)
    device: str | None = None


@runtime_checkable
class Finder(Protocol):
    """A method whose search ends before its model reads."""

    def find(self, query: Query) -> Awaitable[list[Passage]]:
        """The passages that are read, best first."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """What a method found for one question: ids, best first, and their scores in [0, 1]."""

    method: str
    question_id: str
    gold_ids: tuple[str, ...]
    found_ids: tuple[str, ...]
    recall: float
    all_gold: float
    error: str


class NoModel(LanguageModel):
    """In the place of a model, for methods that find passages without one."""

    name = "none"

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
        """Nothing. Raises CapabilityError: a method that asks needs a model."""
        raise CapabilityError(
            "the method asks a model before it has found its passages; name one: --model NAME"
        )


class _FindsAlone(Method):
    """An opened method that stops when it has found."""

    card = MethodCard(title="Finds alone", summary="What a method finds, without an answer.")

    def __init__(self, finder: Finder) -> None:
        super().__init__()
        self._finder = finder

    async def answer(self, query: Query) -> Prediction:
        return Prediction("", ranked=await self._finder.find(query))


def evaluate_finding(
    options: FindingOptions, console: Console
) -> tuple[dict[str, Any], list[Found]]:
    """Facts, and what every method finds for the questions that name gold passages.

    Raises HarnessError for options that do not fit, before any work.
    """
    subjects = subjects_of(options.methods)
    for subject in subjects:
        if not isinstance(subject.cls(subject.params), Finder):
            raise ConfigError(
                f"method '{subject.label}' has no find(): its model has a part in what is "
                "retrieved; measure it with 'run'"
            )
    model = resolve_model(options.model or DEFAULT_MODEL)
    check_files(subjects, model)
    data = untrained_data(options.task.load(options.limit), subjects, model)
    asked = [question for question in data.questions if question.gold_doc_ids]
    if not asked:
        raise InputError(f"task '{data.name}' names no gold passages; nothing can be measured")
    check_subjects(subjects, data)
    llm: LanguageModel = NoModel()
    if options.model is not None:
        set_torch_threads()
        llm = open_subjects_model(options.model, options.device, subjects, data)
    facts = {
        "model": llm.name,
        "methods": {s.label: s.params.model_dump(mode="json") for s in subjects},
        "task": data.name,
        "split": data.split,
        "corpus_fingerprint": data.corpus_fingerprint,
        "corpus_passages": len(data.corpus),
        "questions": len(asked),
        "k": options.k,
        "seed": options.seed,
    }
    found = [row for s in subjects for row in _find(s, data, asked, llm, options, console)]
    return facts | circumstances(), found


def _find(
    subject: Subject,
    data: TaskData,
    asked: Sequence[Question],
    llm: LanguageModel,
    options: FindingOptions,
    console: Console,
) -> Iterator[Found]:
    say(console, f"{data.name}, {subject.label}: {len(data.corpus):,} passages")
    with TemporaryDirectory() as folder:
        reviser = Reviser(partial(subject.new, data), llm, options.seed, console, Path(folder))
        state = reviser.begin(data)
        assert isinstance(state.method, Finder)  # as was checked
        alone = _FindsAlone(state.method)
        with reviser.asking(state):
            queries = [question.query for question in asked]
            answers = ask(state.engine, alone, queries, console, subject.label)
    for question in asked:
        answer, gold = answers[question.id], question.gold_doc_ids
        ids = answer.ranked_ids
        recall, all_gold = (measure(ids, gold, options.k) for measure in MEASURES.values())
        assert recall is not None and all_gold is not None  # there is gold
        yield Found(
            subject.label, question.id, tuple(gold), tuple(ids), recall, all_gold,
            answer.error or "",
        )  # fmt: skip


def summary(found: Sequence[Found]) -> list[dict[str, Any]]:
    """Means of each method with their intervals, and its paired differences from the first."""
    rows = [asdict(each) for each in found]
    labels = list(dict.fromkeys(row["method"] for row in rows))
    lines = []
    for label in labels:
        own = [row for row in rows if row["method"] == label]
        line = {"method": label, "n": len(own), "errors": sum(bool(r["error"]) for r in own)}
        for name in MEASURES:
            base, mine = (
                [row[name] for row in rows if row["method"] == each] for each in (labels[0], label)
            )
            low, high = mean_cis([mine])[0]
            line |= {name: sum(mine) / len(mine), f"{name}_low": low, f"{name}_high": high}
            if label != labels[0]:
                pair = compare_pair(base, mine)
                line |= {f"{name}_gained": pair.difference, f"{name}_p": pair.p_value}
                line |= {f"{name}_gained_low": pair.interval.low}
                line |= {f"{name}_gained_high": pair.interval.high}
        lines.append(line)
    return lines


def table(facts: dict[str, Any], lines: Sequence[dict[str, Any]]) -> str:
    """The summary as markdown, under what was done and how."""
    first, errors = lines[0]["method"], sum(line["errors"] for line in lines)
    caption = [
        f"Model: {facts['model']}. {methods_line(facts['methods'])}",
        f"Task: {facts['task']}, {facts['questions']:,} questions that name gold passages; corpus "
        f"fingerprint {facts['corpus_fingerprint'][:12]}, {facts['corpus_passages']:,} passages. "
        f"Seed {facts['seed']}.",
        f"Percentages with 95 % intervals. Gained: over {first}, paired by question; p of a "
        "randomisation test, of All-gold McNemar's.",
        *([f"{errors:,} searches failed; they found nothing."] if errors else []),
        circumstances_line(facts),
        NOT_COMPARABLE,
    ]
    headers = [header.format(k=facts["k"]) for header in _HEADERS]
    return report("Passages found", caption, headers, [_cells(line) for line in lines])


def _cells(line: dict[str, Any]) -> list[str]:
    cells = [line["method"], f"{line['n']:,}"]
    for name in MEASURES:
        cells.append(_percent(line, name, ""))
        if f"{name}_gained" in line:
            cells += [_percent(line, f"{name}_gained", "+"), _p(line[f"{name}_p"])]
        else:
            cells += ["—", "—"]
    return cells


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else "<0.0001"


def _percent(line: dict[str, Any], name: str, sign: str) -> str:
    mean, low, high = (
        f"{100 * line[key] + 0.0:{sign}.1f}" for key in (name, f"{name}_low", f"{name}_high")
    )
    return f"{mean} [{low}, {high}]"
