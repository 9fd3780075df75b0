"""Readers of run folders: the board made of them, their scores, one question's story, archives."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import zstandard

from harness.fingerprint import canonical_json, file_sha256
from harness.runs.manifest import RunConfig
from harness.runs.packing import CONTENTS
from tests.fuzz.mutations import Files
from tests.fuzz.rule import Reader, contents, each, write


@cache
def _runs() -> list[Files]:
    """A finished and judged run, an incomplete one, and imported results of the same questions."""
    from harness.runs.execute import execute
    from harness.runs.judge_prompt import JudgePrompt
    from harness.runs.judge_record import Judge
    from harness.runs.judging import judge_run
    from tests.harness.lab import CountingModel, FailingServer, make_plan, quiet, write_task
    from tests.harness.lab import without_torch as plain

    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        plain(patch)
        files, out = write_task(Path(place) / "data", 3), Path(place) / "runs"
        folder = execute(make_plan(files, queries=2), out, CountingModel(), None, quiet())
        prompt = JudgePrompt.read(None)
        judge = Judge(model="rules", settings={}, prompt_sha256=prompt.sha256)
        judge_run(folder, CountingModel(), judge, prompt, quiet())
        left = make_plan(files, seed=1)
        execute(left, out, FailingServer("number 1 "), None, quiet())
        return [{k: v for k, v in contents(out).items() if ".lock" not in k}]


def _seal_most(folder: Path) -> None:
    """Seal runs again as somebody would who made them up; every fourth case is left as it is."""
    files = contents(folder)
    if zlib.crc32(b"".join(files[name] for name in sorted(files))) % 4:
        for manifest in sorted(folder.rglob("manifest.json")):
            try:
                _seal(manifest.parent)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue


def _seal(run: Path) -> None:
    """Fit to each other what a run's files say of each other."""
    manifest = json.loads((run / "manifest.json").read_bytes())
    gold = next((run.parents[1]).glob("questions-*.jsonl"))
    digest = file_sha256(gold)
    manifest["config"]["task"]["questions_fingerprint"] = digest
    gold.rename(gold.with_name(f"questions-{digest[:12]}.jsonl"))
    manifest["run_id"] = RunConfig.model_validate(manifest["config"]).run_id
    (run / "manifest.json").write_text(json.dumps(manifest))
    stamp = json.loads((run / "scores.json").read_bytes())
    stamp |= {
        "run_id": manifest["run_id"],
        "predictions_sha256": file_sha256(run / "predictions.jsonl"),
        "scores_sha256": file_sha256(run / "scores.jsonl"),
        "manifests": [],
    }
    (run / "scores.json").write_text(json.dumps(stamp))
    figures = json.loads((run / "performance.json").read_bytes())
    figures.pop("seal", None)
    (run / "performance.json").write_text(json.dumps(figures))


def _over_a_copy(read: Callable[[Path], object]) -> Callable[[Path], object]:
    """Called with runs that are sealed, which are a copy of the case's."""

    def of_copy(folder: Path) -> None:
        copy = folder.parent / "sealed"
        try:
            write(contents(folder), copy)
            _seal_most(copy)
            before = contents(copy)
            read(copy)
            after = contents(copy)
            for name, content in before.items():
                assert after[name] == content or _may_change(name, content, after[name]), name
        finally:
            shutil.rmtree(copy, ignore_errors=True)

    return of_copy


def _may_change(name: str, before: bytes, after: bytes) -> bool:
    """Scores are made anew; half a line at the end of the answers is cut off and asked again."""
    if name.endswith("/predictions.jsonl"):
        return before.startswith(after) and b"\n" not in before[len(after) :]
    return name.endswith(("/scores.jsonl", "/scores.json"))


def _board(folder: Path) -> None:
    from leaderboards.view import view
    from leaderboards.writers import WRITERS
    from leaderboards.writers import write as written

    shown = view(folder, columns=("all",), published=True)
    each(*(partial(written, shown, name) for name in WRITERS))


def _compare(folder: Path) -> None:
    from harness.runs.directory import find_runs
    from leaderboards.compare_runs import compare_runs

    first, *others = find_runs(folder)
    compare_runs(first, others[0] if others else first)


def _show(folder: Path) -> None:
    from harness.cli.show import story

    def shown(full: bool) -> None:
        text = story(folder, "q1", full=full)
        assert all(char.isprintable() or char == "\n" for char in text)

    each(lambda: shown(False), lambda: shown(True))


def _score(folder: Path) -> None:
    from harness.runs.directory import find_runs
    from harness.runs.scoring import check_scores, score_run

    runs = find_runs(folder)
    each(*(partial(check_scores, run) for run in runs), *(partial(score_run, run) for run in runs))


def _continue(folder: Path) -> None:
    """What running the same board again reads of a run."""
    from harness.runs.directory import RunDirectory, find_runs
    from harness.runs.judge_record import read_judge, read_verdicts
    from harness.runs.manifest import read_manifest
    from harness.runs.performance import read_performance

    ids = tuple(f"q{n}" for n in range(3))

    def opened(run: Path) -> None:
        with RunDirectory(run, ids) as directory:
            directory.finish()

    reads = (read_manifest, read_performance, read_judge, read_verdicts, opened)
    each(*(partial(read, run) for run in find_runs(folder) for read in reads))


@cache
def _archives() -> list[Files]:
    files = _runs()[0]
    named: dict[str, Any] = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    }
    table = canonical_json({"format": 1, "files": named}).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in ((CONTENTS, table), *files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    tar_ = out.getvalue()
    return [{"runs.tar": tar_}, {"runs.tar.zst": zstandard.compress(tar_)}]


def _unpack(folder: Path) -> None:
    from harness.runs.packing import is_intact, unpack

    archive, into = folder / "runs.tar.zst", folder.parent / "unpacked"
    plain = folder / "runs.tar"
    try:
        if plain.exists():
            archive.write_bytes(zstandard.compress(plain.read_bytes()))
        unpack(archive, into)
        assert is_intact(into)
    finally:
        outside = {p.name for p in folder.parent.iterdir()} - {"case", "cache", "unpacked"}
        shutil.rmtree(into, ignore_errors=True)
        assert not outside, f"unpacked beside its folder: {sorted(outside)}"


READERS = (
    Reader("run-board", _runs, _over_a_copy(_board), share=0.25),
    Reader("run-compare", _runs, _over_a_copy(_compare), share=0.25),
    Reader("run-show", _runs, _over_a_copy(_show), share=0.5),
    Reader("run-score", _runs, _over_a_copy(_score), share=0.25),
    Reader("run-continue", _runs, _over_a_copy(_continue), share=0.5),
    Reader("archive", _archives, _unpack),
)
