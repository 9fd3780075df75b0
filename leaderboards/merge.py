"""Runs of several machines in one folder: first everything is compared, then copied."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.errors import InputError
from harness.files import locked, writing
from harness.fingerprint import file_sha256
from harness.runs.directory import find_runs, run_folders
from harness.runs.gold import check_gold, gold_of, gold_path
from harness.runs.joining import Sharded, join
from harness.runs.judge_record import JUDGE
from harness.runs.manifest import Manifest, read_manifest
from harness.runs.shard import Shard
from harness.runs.stamp import PREDICTIONS
from leaderboards.collect import Golds, Run, read_run

_HALF = ".merging"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Copy:
    """A run as one of the folders has it; ``run`` None if it has not ended."""

    folder: Path
    manifest: Manifest
    run: Run | None
    is_there: bool
    """In the folder that gets them all."""

    @property
    def rank(self) -> int:
        """How far it has come: finished, ended with unanswered questions, or under way."""
        return self.manifest.has_ended + self.manifest.is_finished

    @property
    def extras(self) -> tuple[bool, int]:
        """What equal answers may have beside them: verdicts of a judge, and measured figures."""
        figures = {} if self.run is None else self.run.performance.written()
        known = sum(value is not None for value in figures.values())
        return (self.folder / JUDGE).exists(), known

    @property
    def content(self) -> tuple[str, ...]:
        """What equal copies have in common: the answers, and how they were scored."""
        if self.run is not None:
            rules = self.manifest.scoring, *self.manifest.metrics
            return self.run.predictions_sha256, *map(str, rules)
        path = self.folder / PREDICTIONS
        return (file_sha256(path) if path.exists() else "",)


def merge(sources: Sequence[Path], out: Path) -> list[str]:
    """Copy the runs below ``sources``, and the gold of their questions, into ``out``.

    Returns lines on what was done and what is to know. Equal runs are copied once, finished before
    unfinished ones; memories that methods wrote stay behind. All are copied or none, also after
    Ctrl-C or where the disk is full. Raises InputError, naming the runs and the reasons, if any run
    is damaged, they are of different schema or metrics versions, a run, questions or a corpus of
    one fingerprint differ, shards are not all of a run or twice the same questions of it, or other
    files are in the way of a run; then nothing is copied.
    """
    with TemporaryDirectory(prefix="memory-harness-") as joined:
        return _merge(sources, out, Path(joined))


def _merge(sources: Sequence[Path], out: Path, joined: Path) -> list[str]:
    folders = [(folder, False) for source in sources for folder in find_runs(source)]
    there = [(folder, True) for folder in run_folders(out)]
    golds, problems, copies = Golds(), list[str](), list[_Copy]()
    for folder, is_there in [*there, *folders]:
        try:
            copies.append(_read(folder, golds, is_there))
        except InputError as error:
            problems.append(str(error))
    chosen, notes = list[_Copy](), list[str]()
    for same in _by_place(copies, out):
        try:
            found = _whole(same, joined, golds, notes)
        except InputError as error:
            problems.append(str(error))
        else:
            _choose(found, chosen, notes, problems)
    problems += [*_other_versions(copies), *_other_data(copies)]
    new = [copy for copy in chosen if not copy.is_there]
    problems += dict.fromkeys(_in_the_way(new, out))
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise InputError(f"nothing was merged: {'; '.join(problems[:_SHOWN])}{more}")
    if new:
        _copy_all(new, out)
    told = f"{len(new):,} runs copied to {out}, {len(chosen) - len(new):,} were there"
    return [told, *notes, *_unfinished(chosen), *_releases(chosen)]


def _read(folder: Path, golds: Golds, is_there: bool) -> _Copy:
    manifest = read_manifest(folder)
    run = None
    if manifest.has_ended:
        run = read_run(folder, manifest, golds)
        if golds.of(folder, manifest) is None:
            check_gold(gold_of(folder, manifest.config.task), manifest.config.task)
    return _Copy(folder, manifest, run, is_there)


def _by_place(copies: Iterable[_Copy], out: Path) -> Iterable[list[_Copy]]:
    places: dict[Path, list[_Copy]] = {}
    for copy in copies:
        places.setdefault(copy.manifest.config.folder(out), []).append(copy)
    return places.values()


def _whole(same: Sequence[_Copy], joined: Path, golds: Golds, notes: list[str]) -> Sequence[_Copy]:
    """Copies of one run, its shards as the run that they are together, unless a copy has ended.

    Raises InputError if shards are not all of the run.
    """
    different: dict[tuple[Shard, tuple[str, ...]], Sharded] = {}
    for copy in same:
        if shard := copy.manifest.shard:
            each = Sharded(copy.folder, copy.manifest, shard)
            different.setdefault((shard, copy.content), each)
    if not different or any(copy.rank for copy in same):
        return same
    for copy in same:
        if copy.is_there:
            raise InputError(f"{copy.folder}: not whole; move it away or merge into another folder")
        if not copy.manifest.shard:
            notes.append(f"left out: {copy.folder}; the run's shards are here")
    folder = join(list(different.values()), joined)
    name = folder.relative_to(joined).as_posix()
    notes.append(f"joined: {name} of {len(different)} shards")
    return [_read(folder, golds, is_there=False)]


def _choose(
    same: Sequence[_Copy], chosen: list[_Copy], notes: list[str], problems: list[str]
) -> None:
    """Of copies of one run the one that has come furthest; those as far must be equal."""
    best = max(same, key=lambda copy: (copy.rank, copy.is_there, *copy.extras))
    chosen.append(best)
    for other in same:
        if other is best or other.folder.samefile(best.folder):
            continue
        if other.rank == best.rank and other.content != best.content:
            problems.append(
                f"{best.folder} and {other.folder}: the same run with different predictions or "
                "rules; remove the one that is wrong"
            )
        elif other.is_there and not best.is_there:
            problems.append(
                f"{other.folder}: not finished, but {best.folder} is; remove it or merge into "
                "another folder"
            )
        elif not other.is_there and not best.is_there:
            how = "is the same" if other.extras == best.extras else "has more beside its answers"
            how = how if other.rank == best.rank else "has come further"
            notes.append(f"left out: {other.folder}; {best.folder} {how}")


def _other_versions(copies: Iterable[_Copy]) -> Iterator[str]:
    versions: dict[int, Path] = {}
    for copy in copies:
        if copy.run is not None:
            versions.setdefault(copy.run.metrics_version, copy.folder)
    if len(versions) > 1:
        told = ", ".join(f"{version} ({folder})" for version, folder in sorted(versions.items()))
        yield f"scored by different metrics versions: {told}; run `memory-harness score` over each"


def _other_data(copies: Iterable[_Copy]) -> Iterator[str]:
    """Corpora of one fingerprint and other sizes; questions that would get one file."""
    known: dict[tuple[str, str, str], tuple[object, Path]] = {}
    for copy in copies:
        task = copy.manifest.config.task
        corpus, asked = task.corpus_fingerprint, task.questions_fingerprint[:12]
        for what, print_, content in (
            ("corpus", corpus, task.passages),
            ("questions", asked, (task.questions_fingerprint, task.questions)),
        ):
            first, folder = known.setdefault((task.name, what, print_), (content, copy.folder))
            if first != content:
                yield (
                    f"{folder} and {copy.folder}: different {what} under the fingerprint "
                    f"{print_[:12]}; one of the manifests was changed"
                )


def _in_the_way(copies: Iterable[_Copy], out: Path) -> Iterator[str]:
    """Why copies could not take their places, told before anything is copied."""
    free = "move it away or merge into another folder"
    for copy in copies:
        place, task = copy.manifest.config.folder(out), copy.manifest.config.task
        folders = [place.parent, *place.parent.parents]
        if stranger := next((f for f in folders if f.exists() and not f.is_dir()), None):
            yield f"{stranger}: no folder, but a run is to lie below it; {free}"
        elif place.exists():
            yield f"{place}: holds other files than a run; {free}"
        source, gold = gold_of(copy.folder, task), gold_path(out, task)
        found = gold if gold.exists() else source
        try:
            if found.exists():
                check_gold(found, task)
        except InputError as error:
            yield str(error)
        except OSError as error:
            yield f"{found}: cannot be read ({error.strerror}); {free}"


def _copy_all(copies: Sequence[_Copy], out: Path) -> None:
    """Everything is copied aside first; a few renames then put it in its place.

    Into a new or an empty folder that is one rename, so that no kill leaves a part. Whatever stops
    the renames into a folder that holds runs is undone.
    """
    is_new = not out.exists() or not any(out.iterdir())
    stage = out.parent / f".{out.name}{_HALF}" if is_new else out / _HALF
    held = stage if is_new else out
    with writing(out):
        held.mkdir(parents=True, exist_ok=True)
    with locked(held, "merged folder"), writing(out):
        try:
            _clear(stage)
            for copy in copies:
                _stage(copy, out, stage)
            if is_new:
                stage.rename(out)
            else:
                _move(list(_moves(stage, out)))
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def _clear(stage: Path) -> None:
    """Leave nothing of a merge that was killed, but for the lock of this one."""
    stage.mkdir(exist_ok=True)
    for path in stage.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != ".lock":
            path.unlink()


def _stage(copy: _Copy, out: Path, stage: Path) -> None:
    """Copy a run and, where its place has none, the gold of its questions."""
    task, place = copy.manifest.config.task, copy.manifest.config.folder(stage)
    place.mkdir(parents=True)
    for path in sorted(copy.folder.iterdir()):
        if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
            shutil.copyfile(path, place / path.name)
    source, gold = gold_of(copy.folder, task), gold_path(stage, task)
    if source.exists() and not gold.exists() and not gold_path(out, task).exists():
        shutil.copyfile(source, gold)


def _moves(stage: Path, out: Path) -> Iterator[tuple[Path, Path]]:
    """What is to be renamed into what, as little as there can be; gold before runs."""
    for path in sorted(stage.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        place = out / path.name
        if path.is_dir() and place.is_dir():
            yield from _moves(path, place)
        elif path.name != ".lock":
            yield path, place


def _move(moves: Sequence[tuple[Path, Path]]) -> None:
    done: list[tuple[Path, Path]] = []
    try:
        for path, place in moves:
            done.append((path, place))
            path.rename(place)
    except BaseException:
        for path, place in reversed(done):
            if not path.exists() and place.exists():
                place.rename(path)
        raise


def _unfinished(copies: Iterable[_Copy]) -> Iterator[str]:
    for copy in copies:
        if not copy.manifest.is_finished:
            why = (
                f"left {len(copy.run.unanswered)} questions unanswered" if copy.run else "not ended"
            )
            yield f"incomplete: {copy.folder} has {why}; running the same board again completes it"


def _releases(copies: Iterable[_Copy]) -> Iterator[str]:
    releases = sorted({copy.manifest.harness.text for copy in copies})
    if len(releases) > 1:
        yield f"made by different releases: {', '.join(releases)}"
