"""Block of published figures: tables of their own, one a task, that no row of ours stands in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.escape import markdown_text
from harness.report import bullets, csv_records, pipe_table
from leaderboards.published import ANY_TASK, Figure, Metric

HEADING = "Published elsewhere, other settings: never ranked with the rows above"
CAPTION = (
    "Numbers as their sources print them, on other questions, corpora, models, prompts and metrics "
    "than the rows above; EM, F1 and Contains are percentages. Between sources they are as little "
    "comparable.",
    "Claim: stated without a run that anybody could look at.",
)
OTHERS: dict[Metric, str] = {
    "unnamed": "(metric not named)",
    "times_faster": "faster than text",
    "times_smaller": "smaller than text",
}
MISSING = "\u2014"


@dataclass(frozen=True, slots=True)
class Line:
    """One method of one source on one task; ``source`` and ``detail`` number their footnotes."""

    figures: tuple[Figure, ...]
    source: int
    detail: int | None

    @property
    def first(self) -> Figure:
        """Its figures differ in metric and value alone."""
        return self.figures[0]

    @property
    def asked(self) -> str:
        """Split and number of questions, as far as they are told."""
        n = "" if self.first.n is None else f"n = {self.first.n:,}"
        return ", ".join(filter(None, (self.first.split, n))) or MISSING

    @property
    def others(self) -> str:
        """Figures that have no column."""
        found = [f"{f.shown} {OTHERS[f.metric]}" for f in self.figures if f.metric in OTHERS]
        return "; ".join(found) or MISSING

    @property
    def footnotes(self) -> str:
        """The numbers of its footnotes."""
        return ", ".join(str(number) for number in (self.source, self.detail) if number)

    def value(self, metric: Metric) -> str:
        """The figure of one metric."""
        return next((f.shown for f in self.figures if f.metric == metric), MISSING)


@dataclass(frozen=True, slots=True)
class Block:
    """All lines, by task, and the footnotes that they share, numbered from 1."""

    lines: dict[str, tuple[Line, ...]]
    footnotes: tuple[str, ...]


def block(figures: Iterable[Figure]) -> Block:
    """Put the figures together: one line for a method of a source, tasks in their order."""
    tables: dict[str, list[Figure]] = {}
    for figure in figures:
        tables.setdefault(figure.table, []).append(figure)
    notes: dict[str, int] = {}
    lines: dict[str, list[Line]] = {}
    for members in tables.values():
        retriever = Counter(figure.retriever for figure in members).most_common(1)[0][0]
        source = _number(notes, _source(members[0], retriever))
        together: dict[str, list[Figure]] = {}
        for figure in members:
            together.setdefault(figure.id.rpartition("/")[0], []).append(figure)
        for same in together.values():
            detail = _detail(same[0], retriever)
            number = _number(notes, detail) if detail else None
            lines.setdefault(same[0].task, []).append(Line(tuple(same), source, number))
    ordered = sorted(lines, key=lambda task: (task == ANY_TASK, task))
    return Block({task: tuple(lines[task]) for task in ordered}, tuple(notes))


def records(figures: Iterable[Figure]) -> Iterator[dict[str, Any]]:
    """One flat record a figure, for CSV, Parquet and JSON."""
    for figure in figures:
        source = {f"source_{name}": value for name, value in figure.source.model_dump().items()}
        yield {k: v for k, v in asdict(figure).items() if k != "source"} | source


def to_csv(figures: Sequence[Figure]) -> str:
    """One line a figure."""
    return csv_records(list(records(figures)))


def to_json(figures: Sequence[Figure]) -> str:
    """A list of figures."""
    return json.dumps(list(records(figures)), indent=2, ensure_ascii=False) + "\n"


def to_markdown(figures: Sequence[Figure]) -> str:
    """The block as markdown tables with footnotes; empty without any figure."""
    if not figures:
        return ""
    found = block(figures)
    parts = [f"## {HEADING}", bullets(CAPTION)]
    for task, lines in found.lines.items():
        parts += [f"### {markdown_text(task_title(task))}", _grid(lines)]
    notes = [f"({number}) {text}" for number, text in enumerate(found.footnotes, 1)]
    return "\n\n".join([*parts, bullets(notes)])


def task_title(task: str) -> str:
    """A task as a heading."""
    return "no task in particular" if task == ANY_TASK else task


def texts(lines: Sequence[Line], escape: Callable[[str], str]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the columns that any line fills, escaped."""
    cells = {heading: [cell(line) for line in lines] for heading, cell in _COLUMNS.items()}
    shown = [heading for heading, column in cells.items() if any(c != MISSING for c in column)]
    rows = zip(*(map(escape, cells[heading]) for heading in shown), strict=True)
    return shown, list(map(list, rows))


_COLUMNS: dict[str, Callable[[Line], str]] = {
    "Method": lambda line: line.first.method,
    "Reported by": lambda line: line.first.reported_by,
    "EM": lambda line: line.value("em"),
    "F1": lambda line: line.value("f1"),
    "Contains": lambda line: line.value("contains"),
    "Other": lambda line: line.others,
    "Questions": lambda line: line.asked,
    "Model": lambda line: line.first.model or MISSING,
    "Notes": lambda line: line.footnotes,
}
_NUMBERS = ("EM", "F1", "Contains")


def _grid(lines: Sequence[Line]) -> str:
    shown, rows = texts(lines, markdown_text)
    left = [place for place, heading in enumerate(shown) if heading not in _NUMBERS]
    return pipe_table(shown, rows, left=left)


def _number(notes: dict[str, int], text: str) -> int:
    return notes.setdefault(text, len(notes) + 1)


def _source(figure: Figure, retriever: str | None) -> str:
    """What holds for all lines of one published table."""
    told = {"Retriever": retriever, "Setting": figure.setting}
    return " ".join([f"{figure.reported_by}: {figure.source.text}.", *_sentences(told)])


def _detail(figure: Figure, retriever: str | None) -> str:
    """What a line says of itself alone."""
    own = None if figure.retriever == retriever else figure.retriever
    told = {"Retriever": own, "": figure.detail, "Stored": figure.stored, "Paper": figure.paper}
    found = list(_sentences(told))
    return f"{figure.method}: {' '.join(found)}" if found else ""


def _sentences(told: Mapping[str, str | None]) -> Iterator[str]:
    for name, text in told.items():
        if text:
            yield f"{name}: {text}." if name else f"{text}."
