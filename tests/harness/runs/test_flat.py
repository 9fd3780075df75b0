"""The end of a run takes as much memory for many answers as for few."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

from harness.data.questions import questions_fingerprint
from harness.files import write_json
from harness.records import Prediction, Question, Step, Usage
from harness.runs.directory import RunDirectory
from harness.runs.gold import gold_path, write_gold
from harness.runs.manifest import MANIFEST
from harness.runs.predictions import has_errors, prediction_line
from harness.runs.scoring import check_scores, score_run
from harness.runs.timing import _same_as_batched
from harness.runs.usage import cautions, mean_usage
from tests.harness.runs.records import config, manifest

LINE = 20_000
FEW, MANY = 20, 200
# Ids and places of the questions more, a small part of the 3.6 MB that was answered more.
GROWTH = 300_000


def question(number: int) -> Question:
    return Question(f"q{number:04d}", f"what is {number}?", ("x",), ("d1",))


def answered(root: Path, count: int) -> RunDirectory:
    """A run whose answers came in the wrong order."""
    questions = [question(number) for number in range(count)]
    task = {"questions": count, "questions_fingerprint": questions_fingerprint(questions)}
    of_run = config(task=task)
    folder = of_run.folder(root)
    write_gold(gold_path(root, of_run.task), questions)
    with RunDirectory(folder, tuple(each.id for each in questions)) as run:
        for each in reversed(questions):
            steps = (Step("generate", {"reply": "x", "prompt": "p" * LINE}),)
            prediction = Prediction("x", steps=steps, usage=Usage(llm_calls=1))
            run.append(each.id, prediction_line(each.id, prediction))
    record = manifest(config=of_run, run_id=of_run.run_id, status="finished")
    write_json(folder / MANIFEST, record.written())
    return run


def finish(run: RunDirectory) -> None:
    with RunDirectory(run.folder, run.question_ids) as again:
        again.finish()


def end(run: RunDirectory) -> None:
    mean_usage(run.predictions_path)
    score_run(run.folder)


def look(run: RunDirectory) -> None:
    list(cautions(run.folder))
    has_errors(run.predictions_path)
    _same_as_batched(run, {"q0007": Prediction("x")})
    check_scores(run.folder)


def test_memory_does_not_grow_with_the_answers(tmp_path: Path) -> None:
    few, many = answered(tmp_path / "few", FEW), answered(tmp_path / "many", MANY)
    for work in (finish, end, look):
        small, large = peak(work, few), peak(work, many)
        assert large - small < GROWTH, work.__name__
    lines = many.predictions_path.read_bytes().splitlines()
    found = [line.partition(b'"question_id":"')[2][:5].decode() for line in lines]
    assert found == list(many.question_ids)


def peak(work: Callable[[RunDirectory], None], run: RunDirectory) -> int:
    tracemalloc.start()
    try:
        work(run)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
