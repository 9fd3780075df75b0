"""Published figures: what papers and repositories report, as data, never ranked with our rows.

Each file of this folder is one table of one source. Its keys hold for all its rows unless a row
says otherwise; what a source does not tell is left out. README.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.errors import InputError, did_you_mean, problem_of
from harness.files import to_slug

FOLDER = Path(__file__).parent
ANY_TASK = "any"
"""The task of a figure that belongs to none, such as a factor of speed."""

Metric = Literal["em", "f1", "contains", "unnamed", "times_faster", "times_smaller"]
"""Percentages (x100), but for the factors; ``unnamed``: the source does not say which score."""
METRICS: tuple[Metric, ...] = get_args(Metric)
FACTORS: tuple[Metric, ...] = ("times_faster", "times_smaller")
Kind = Literal["measured", "claim"]
"""``claim``: stated without a run that anybody could look at."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Source(_Part):
    """Where a figure can be looked up."""

    title: str = Field(min_length=1)
    arxiv: str | None = Field(None, pattern=r"^\d{4}\.\d{5}$")
    url: str | None = Field(None, pattern=r"^https://[^\s<>\"]+$")
    table: str | None = None
    confirmed: str | None = None
    """Where and when somebody of this project compared the figures with the source itself."""
    second_hand: bool = False
    """Copied from a transcription by a third party, not from the source."""

    @model_validator(mode="after")
    def _can_be_found(self) -> Self:
        if not (self.arxiv or self.url or self.table):
            raise ValueError("give arxiv, url or table, so that it can be looked up")
        return self

    @property
    def link(self) -> str | None:
        """An address to open."""
        return self.url or (f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else None)

    @property
    def text(self) -> str:
        """One line: what it is, which table, and how far it was looked at."""
        parts = [self.title, self.link, self.table]
        parts.append(f"confirmed: {self.confirmed}" if self.confirmed else None)
        parts.append("copied from a third party's transcription" if self.second_hand else None)
        return "; ".join(filter(None, parts))


class Asked(_Part):
    """The questions behind a figure, as far as the source tells."""

    split: str | None = None
    n: int | None = Field(None, ge=1)


class _Shared(_Part):
    """What a file says of all its rows, or a row of itself."""

    model: str | None = None
    retriever: str | None = None
    setting: str | None = None
    tasks: dict[str, Asked] = Field({})


class _Row(_Shared):
    method: str = Field(min_length=1)
    paper: str | None = None
    stored: str | None = None
    scores: dict[str, dict[Metric, float]] = Field(min_length=1)


class _File(_Shared):
    reported_by: str = Field(min_length=1)
    kind: Kind
    source: Source
    rows: tuple[_Row, ...] = Field(min_length=1, strict=False)


@dataclass(frozen=True, slots=True)
class Figure:
    """One published number; None where its source does not tell.

    ``value`` is a percentage (x100) or a factor, as printed there. ``paper`` is the method's own
    where others report it (``reported_by``). ``setting`` is of its whole table, ``detail`` of this
    method; ``stored``: what it keeps of a document.
    """

    id: str
    method: str
    task: str
    metric: Metric
    value: float
    kind: Kind
    reported_by: str
    source: Source
    split: str | None = None
    n: int | None = None
    model: str | None = None
    retriever: str | None = None
    setting: str | None = None
    detail: str | None = None
    paper: str | None = None
    stored: str | None = None

    @property
    def table(self) -> str:
        """The table that it stands in there: one file of this folder."""
        return self.id.partition("/")[0]

    @property
    def shown(self) -> str:
        """The value as a cell."""
        if self.metric in FACTORS:
            return f"{self.value:g}x"
        return f"{self.value:g} (claim)" if self.kind == "claim" else repr(self.value)


def figures(tasks: Collection[str] | None = None) -> tuple[Figure, ...]:
    """The figures that ship, on these tasks and of no task in particular; on all without any.

    In the order of the files' names, then as they stand there.
    """
    every = _shipped()
    return every if tasks is None else tuple(f for f in every if f.task in {*tasks, ANY_TASK})


@cache
def _shipped() -> tuple[Figure, ...]:
    return read_figures(FOLDER)


def read_figures(folder: Path) -> tuple[Figure, ...]:
    """The figures of a folder's YAML files. Raises InputError naming file, key and fix."""
    found: dict[str, Figure] = {}
    for path in sorted(folder.glob("*.yaml")):
        for figure in _read(path):
            if figure.id in found:
                raise InputError(
                    f"{path}: '{figure.method}' has {figure.task} {figure.metric} twice; give the "
                    "rows names of their own"
                )
            found[figure.id] = figure
    return tuple(found.values())


def _read(path: Path) -> Iterator[Figure]:
    file = _parse(path)
    for row in file.rows:
        asked = {**file.tasks, **row.tasks}
        for task, scores in row.scores.items():
            for metric, value in scores.items():
                yield Figure(
                    id=f"{path.stem}/{to_slug(row.method)}/{task}/{metric}",
                    method=row.method,
                    task=task,
                    metric=metric,
                    value=value,
                    kind=file.kind,
                    reported_by=file.reported_by,
                    source=file.source,
                    split=asked[task].split if task in asked else None,
                    n=asked[task].n if task in asked else None,
                    model=row.model or file.model,
                    retriever=row.retriever or file.retriever,
                    setting=file.setting,
                    detail=row.setting,
                    paper=row.paper,
                    stored=row.stored,
                )


def _parse(path: Path) -> _File:
    import yaml

    from harness.data.yaml import load_yaml

    try:
        values = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read ({reason}); mend the file") from error
    try:
        return _File.model_validate(values)
    except ValidationError as error:
        found = problem_of(error)
        if found.is_unknown:
            hint = did_you_mean(found.key, _known(found.path))
            raise InputError(f"{path}: unknown key '{found.where}'{hint}") from error
        where = found.where.removesuffix(".[key]") or "the file"
        raise InputError(f"{path}: '{where}': {found.message}; correct it") from error


def _known(path: tuple[str | int, ...]) -> list[str]:
    """The keys there are where an unknown one stands."""
    models: Mapping[Any, type[BaseModel]] = {"source": Source, "rows": _Row, "tasks": Asked}
    inner = [part for part in path[:-1] if part in models]
    return list((models[inner[-1]] if inner else _File).model_fields)
