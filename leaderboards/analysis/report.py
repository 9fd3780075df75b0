"""The command ``analyse``: tables and pictures in a folder, and a summary in markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError, did_you_mean
from harness.escape import markdown_text
from harness.figures import save
from harness.files import atomic_file, writing
from harness.report import bullets
from leaderboards import captions
from leaderboards.analysis.crossings import (
    Crossed,
    crossing_records,
    crossings_table,
    find_crossings,
)
from leaderboards.analysis.failures import (
    Failures,
    Found,
    case_records,
    find_failures,
    share_records,
    shares_table,
)
from leaderboards.analysis.failures_picture import draw_failures
from leaderboards.analysis.forgetting import Forgotten, find_forgotten
from leaderboards.analysis.scaling import find_points, scaling_records
from leaderboards.analysis.scaling_picture import draw_scaling
from leaderboards.analysis.series import Pool, Series, labels_of, read_series
from leaderboards.analysis.storage import Stored, draw_storage, find_stored, storage_records
from leaderboards.analysis.storage_parts import part_records, parts_table
from leaderboards.floors import Floor, find_floors, floors_line
from leaderboards.rounding import rounded_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RIGHT_BY = ("em", "contains")
SUMMARY = "summary.md"
_CLASSES = (
    "Selection failure: no gold document was read, though it was among those ranked, or not. "
    "Multi-hop failure: some of several gold documents were read. Reading failure: all were read, "
    "or one where any gives the answer. "
    "Error: the method stopped."
)
_SCALES = (
    "F1, Recall@5, median latencies, time to first token, writing and bytes against the number of"
    " documents. Where the questions were dealt into several pools of a size, F1 and times of "
    "queries are over all of them, writing and bytes those of one pool, the mean; the table has "
    "also what 1,000 documents took. Memory: without shared parameters."
)
_FORGETTING = (
    "Forgetting: closed-book F1 with a method's weights in force less the model's own, as "
    "evaluate-forgetting --documents N --out RUNS/forgetting/... measured it beside the runs, at "
    "the sizes that are N; 0 by construction where no weight changes that questions share. What "
    "was not measured is not drawn, its cells are empty."
)
_CROSSINGS = (
    "Crossings: from how many documents on one method is ahead (of higher F1, faster, smaller), "
    "the sizes between being interpolated on a logarithmic scale. Intervals of 95% are of a "
    "bootstrap over questions, the same ones for both methods at all sizes; an end below the "
    "smallest size or above the largest says that a crossing there is not ruled out. Bytes have "
    "no interval. Many pairs are looked at, each by itself. Crosses in the picture: those whose "
    "interval lies within the sizes."
)
_LARGEST = "The picture shows the largest corpus of each task; the tables hold all sizes."


class Written:
    """Writes tables and pictures to one folder and remembers them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: list[Path] = []
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def text(self, name: str, text: str) -> None:
        """Write one file."""
        path = self.folder / name
        with atomic_file(path) as file:
            file.write(text.encode())
        self.paths.append(path)

    def table(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Write ``name.csv``."""
        self.text(f"{name}.csv", rounded_csv(list(records)))

    def picture(self, name: str, figure: Figure) -> None:
        """Write ``name.png`` and ``name.svg``."""
        self.paths += save(figure, self.folder, name)


def analyse(runs_dir: Path, out: Path, right: str = "em") -> str:
    """Write the analysis of the finished runs below ``runs_dir`` to ``out``; the summary as text.

    ``right`` is the score, em or contains, that is 1 for a right answer. Raises ConfigError for
    another one, InputError for broken, unscored or no finished runs.
    """
    if right not in RIGHT_BY:
        raise ConfigError(
            f"an answer is not right by {right!r}{did_you_mean(right, list(RIGHT_BY))}"
        )
    series, unfinished = read_series(runs_dir)
    found = [find_failures(pool, right) for one in series for pool in one.pools]
    written = Written(out)
    sections = [
        "# Analysis",
        *(_setting(one) for one in series),
        _failures(written, series, found, right),
        _storage(written, series, runs_dir),
        _scaling(written, series, find_forgotten(runs_dir)),
    ]
    if unfinished:
        sections.append(f"## Notes\n\n{bullets(unfinished)}")
    sections.append(f"## Written\n\n{bullets([str(path) for path in written.paths])}")
    text = "\n\n".join(sections) + "\n"
    written.text(SUMMARY, text)
    return text


def _setting(series: Series) -> str:
    largest = series.largest
    runs = [run for pool in series.pools for run in pool.group.runs]
    rows = [row for pool in series.pools for row in pool.rows]
    # The largest corpus first: it is the one that the caption describes.
    runs.sort(key=lambda run: run.manifest.config.task.passages != largest.documents)
    lines = [*captions.setting(runs, rows, series.hardware)]
    if len(series.sizes) > 1:
        sizes = ", ".join(f"{size:,}" for size in series.sizes)
        lines.append(f"Sizes of the corpus: {sizes} documents; the caption names the largest.")
    lines += [
        "Shares, F1 and Recall are percentages (x100) with 95% intervals over questions. Latency: "
        "closed loop, one query at a time, warm. Storage: MB (10^6 bytes).",
        *captions.alternatives(runs),
        *captions.mishaps(runs, rows),
        *captions.not_comparable(runs),
    ]
    return f"## {markdown_text(largest.group.title)}\n\n{bullets(lines)}"


def _failures(
    written: Written, series: Sequence[Series], found: Sequence[Found], right: str
) -> str:
    all_failures = [one for each in found for one in each.failures]
    notes = [f"Right: {right} is 1. {_CLASSES}", *dict.fromkeys(_left_out(found))]
    parts = ["## Why answers are wrong"]
    if all_failures:
        written.table("failures", case_records(all_failures))
        written.table("failures_summary", share_records(all_failures))
        largest = {id(one.largest) for one in series}
        panels = [each.failures for each in found if id(each.pool) in largest and each.failures]
        if panels:
            written.picture("failures", draw_failures(panels))
        parts.append(_shares(all_failures))
        notes += [_LARGEST] if len(found) > len(series) else []
    else:
        notes.append(
            "No table and no picture: no question with gold documents was answered by a method "
            "that retrieves or selects; give gold_doc_ids in the questions file."
        )
    return "\n\n".join([*parts, bullets(notes)])


def _shares(found: Sequence[Failures]) -> str:
    models = {one.pool.group.manifest.config.model.called for one in found}
    if len(models) == 1:
        return shares_table(found)
    tables = []
    for model in sorted(models):
        mine = [f for f in found if f.pool.group.manifest.config.model.called == model]
        tables.append(f"### {markdown_text(model)}\n\n{shares_table(mine)}")
    return "\n\n".join(tables)


def _left_out(found: Sequence[Found]) -> list[str]:
    notes = []
    for each in found:
        where = _where(each.pool)
        if each.without_retrieval:
            names = ", ".join(each.without_retrieval)
            notes.append(f"{where}: left out, since they retrieve nothing: {names}.")
        if each.without_gold:
            notes.append(
                f"{where}: left out, since they name no gold documents: {each.without_gold:,} of "
                f"{each.pool.questions:,} questions."
            )
    return notes


def _storage(written: Written, series: Sequence[Series], runs_dir: Path) -> str:
    all_stored: list[Stored] = []
    panels: list[list[Stored]] = []
    against: list[tuple[list[Stored], tuple[Floor, ...]]] = []
    notes = []
    for one in series:
        for pool in one.pools:
            stored, unknown = find_stored(pool)
            all_stored += stored
            config = pool.group.manifest.config.task
            if stored and (floors := find_floors(runs_dir, config.corpus_fingerprint)):
                against.append((stored, floors))
                notes += [f"{_where(pool)}: {line}" for line in floors_line(floors)]
            if pool is one.largest and stored:
                panels.append(stored)
            if unknown:
                notes.append(f"{_where(pool)}: no storage was measured: {', '.join(unknown)}.")
    if all_stored:
        written.table("storage", storage_records(all_stored))
        notes.append(
            "Filled: what grows with the documents. Hollow: with the shared parameters, spread "
            "over the corpus's documents."
        )
    else:
        notes.append("No table and no picture.")
    if panels:
        known = {id(stored[0]): floors for stored, floors in against}
        floors_of = [known.get(id(panel[0]), ()) for panel in panels]
        written.picture("storage", draw_storage(panels, labels_of(series), floors_of))
    if len(all_stored) > sum(map(len, panels)):
        notes.append(_LARGEST)
    if not against:
        return f"## Storage against accuracy\n\n{bullets(notes)}"
    records = (r for stored, floors in against for r in part_records(stored, floors))
    written.table("storage_parts", records)
    notes.append("Dotted in the picture: the floors; x: times as much as that floor.")
    tables = [
        f"### {markdown_text(_where(stored[0].pool))}: MB per 1,000 documents\n\n"
        f"{parts_table(stored, floors)}"
        for stored, floors in against
    ]
    return "\n\n".join(["## Storage against accuracy", bullets(notes), *tables])


def _scaling(written: Written, series: Sequence[Series], forgotten: Sequence[Forgotten]) -> str:
    tasks = [points for one in series if (points := find_points(one, forgotten))]
    crossings: list[Crossed] = []
    single = sorted({one.largest.group.title for one in series if len(one.sizes) < 2})
    notes = []
    if tasks:
        points = [point for points in tasks for point in points]
        written.table("scaling", scaling_records(points))
        crossings = [
            crossed
            for one in series
            for crossed in find_crossings(one, [p for p in points if p.pool in one.pools])
        ]
        written.picture("scaling", draw_scaling(tasks, labels_of(series), crossings))
        notes += [_SCALES, _FORGETTING]
        for one in series:
            rows = [point.row for point in points if point.pool in one.pools]
            notes += dict.fromkeys(captions.row_notes(rows, one.hardware))
    if single:
        notes.append(
            f"Runs over one size of the corpus alone, so no scaling picture: {'; '.join(single)}. "
            "For other sizes run with --documents N."
        )
    if not crossings:
        return f"## Scaling\n\n{bullets(notes)}"
    written.table("crossings", crossing_records(crossings))
    tables = [
        f"### {markdown_text(one.largest.group.title)}: crossings\n\n{crossings_table(mine)}"
        for one in series
        if (mine := [crossed for crossed in crossings if crossed.series is one])
    ]
    return "\n\n".join(["## Scaling", bullets([*notes, _CROSSINGS]), *tables])


def _where(pool: Pool) -> str:
    size = "" if pool.documents is None else f", {pool.documents:,} documents"
    return f"{pool.group.title}{size}"
