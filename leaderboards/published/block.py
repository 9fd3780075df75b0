"""Block of published figures: tables of their own, one a task, that no row of ours stands in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.escape import markdown_text, shortened
from harness.report import bullets, csv_records, pipe_table
from leaderboards.published import ANY_TASK, Figure, Metric

HEADING = "Published elsewhere, other settings: never ranked with the rows above"
CAPTION = (
    "Numbers as their sources print them, on other questions, corpora, models, prompts and metrics "
    "than the rows above; EM, F1 and Contains are percentages. Between sources they are as little "
    "comparable.",
    "Claim: stated without a run that anybody could look at. Unnamed: the source does not say of "
    "which metric.",
)
OTHERS: dict[Metric, str] = {
    "unnamed": "(unnamed)",
    "times_faster": "faster than text",
    "times_smaller": "smaller than text",
}
MISSING = "\u2014"
WIDTH = 120
"""Characters of a line of a table in markdown, where nobody asks for all columns."""
_LONGEST_NAME = 30
_NOTES = 14
"""Characters of the numbers of a line's footnotes."""


@dataclass(frozen=True, slots=True)
class Line:
    """One method of one source on one task; ``source`` and ``detail`` number their footnotes.

    ``more`` are those of what has no room in a column.
    """

    figures: tuple[Figure, ...]
    source: int
    detail: int | None
    more: tuple[int, ...] = ()

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
        return ", ".join(str(n) for n in (self.source, self.detail, *self.more) if n)

    def value(self, metric: Metric) -> str:
        """The figure of one metric."""
        return next((f.shown for f in self.figures if f.metric == metric), MISSING)


@dataclass(frozen=True, slots=True)
class Block:
    """All lines, by task, and the footnotes that they share, numbered in this order from 1.

    ``columns`` are those that are shown of a task.
    """

    lines: dict[str, tuple[Line, ...]]
    footnotes: tuple[str, ...]
    columns: dict[str, tuple[str, ...]]


def block(figures: Iterable[Figure], *, wide: bool = True) -> Block:
    """Put the figures together: one line for a method of a source, tasks in their order.

    Unless it is ``wide``, what does not fit into ``WIDTH`` stands in footnotes.
    """
    tables: dict[str, list[Figure]] = {}
    for figure in figures:
        tables.setdefault(figure.table, []).append(figure)
    drafts: dict[str, list[tuple[Line, list[str]]]] = {}
    for members in tables.values():
        retriever = Counter(figure.retriever for figure in members).most_common(1)[0][0]
        together: dict[str, list[Figure]] = {}
        for figure in members:
            together.setdefault(figure.id.rpartition("/")[0], []).append(figure)
        for same in together.values():
            told = [_source(members[0], retriever), _detail(same[0], retriever)]
            drafts.setdefault(same[0].task, []).append((Line(tuple(same), 0, None), told))
    ordered = sorted(drafts, key=lambda task: (task == ANY_TASK, task))
    columns = {task: _columns([line for line, _ in drafts[task]], wide=wide) for task in ordered}
    notes: dict[str, int] = {}
    lines = {
        task: tuple(
            _numbered(line, [*told, *([] if wide else _no_room(line, columns[task]))], notes)
            for line, told in drafts[task]
        )
        for task in ordered
    }
    return Block(lines, tuple(notes), columns)


def _columns(lines: Sequence[Line], *, wide: bool) -> tuple[str, ...]:
    """The columns that any line fills; unless ``wide``, the most important that fit."""
    filled = [name for name, cell in _CELLS.items() if any(cell(x) != MISSING for x in lines)]
    if wide:
        return (*filled, "Notes")
    left, kept = WIDTH - 1 - (_NOTES + 3), set[str]()
    for name in sorted(filled, key=_IMPORTANT.index):
        size = max(len(name), *(len(_cell(name, line, wide=False)) for line in lines)) + 3
        left -= size
        if left < 0:
            break
        kept.add(name)
    return (*(name for name in filled if name in kept), "Notes")


def _no_room(line: Line, columns: Sequence[str]) -> Iterator[str]:
    """What a narrow table leaves out of a line."""
    for name, cell in _CELLS.items():
        text = cell(line)
        if text != MISSING and (name not in columns or text != _cell(name, line, wide=False)):
            yield f"{name}: {text}."


def _numbered(line: Line, texts: Sequence[str], notes: dict[str, int]) -> Line:
    source, detail, *more = (_number(notes, text) if text else None for text in texts)
    assert source is not None  # every figure has one
    return replace(line, source=source, detail=detail, more=tuple(n for n in more if n))


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


def to_markdown(figures: Sequence[Figure], *, wide: bool = False) -> str:
    """The block as markdown tables with footnotes; empty without any figure.

    Lines are at most ``WIDTH`` wide, unless all columns are wanted.
    """
    if not figures:
        return ""
    found = block(figures, wide=wide)
    parts = [f"## {HEADING}", bullets(CAPTION)]
    for task, lines in found.lines.items():
        shown = found.columns[task]
        rows = [[markdown_text(_cell(name, x, wide=wide)) for name in shown] for x in lines]
        left = [place for place, heading in enumerate(shown) if heading not in _NUMBERS]
        parts.append(f"### {markdown_text(task_title(task))}")
        parts.append(pipe_table(shown, rows, left=left))
    notes = [f"({number}) {text}" for number, text in enumerate(found.footnotes, 1)]
    return "\n\n".join([*parts, bullets(notes)])


def task_title(task: str) -> str:
    """A task as a heading."""
    return "no task in particular" if task == ANY_TASK else task


def texts(lines: Sequence[Line], escape: Callable[[str], str]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the columns that any line fills, escaped."""
    shown = list(_columns(lines, wide=True))
    return shown, [[escape(_cell(name, x, wide=True)) for name in shown] for x in lines]


def _cell(name: str, line: Line, *, wide: bool) -> str:
    if name == "Notes":
        return line.footnotes
    text = _CELLS[name](line)
    return text if wide else shortened(text, _LONGEST_NAME)


_CELLS: dict[str, Callable[[Line], str]] = {
    "Method": lambda line: line.first.method,
    "Reported by": lambda line: line.first.reported_by,
    "EM": lambda line: line.value("em"),
    "F1": lambda line: line.value("f1"),
    "Contains": lambda line: line.value("contains"),
    "Other": lambda line: line.others,
    "Questions": lambda line: line.asked,
    "Model": lambda line: line.first.model or MISSING,
}
_IMPORTANT = ("Method", "EM", "F1", "Contains", "Other", "Reported by", "Model", "Questions")
"""The columns that stay longest first; the source's footnote says who reports."""
_NUMBERS = ("EM", "F1", "Contains")


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
