"""What a run tells a method of its task, and what it records of files named by parameters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.records import Prediction, Query
from harness.runs.execute import execute
from harness.runs.manifest import read_manifest
from tests.harness.lab import Ask, CountingModel, make_plan, quiet, without_torch


class Told(Ask):
    """Answers with what it knows of its task."""

    async def answer(self, query: Query) -> Prediction:
        task = self.lent.task
        return Prediction(f"{task.name} {task.hops}" if task else "nothing")


class Reading(Told):
    reads_task = True

    @property
    def provenance(self) -> dict[str, str]:
        return {"words": "somewhere"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)


def run(files: Path, out: Path, method: Ask) -> Path:
    plan = make_plan(files, method, queries=1)
    card = plan.data.card.model_copy(update={"hops": "multi"})
    told = replace(plan, data=replace(plan.data, card=card))
    return execute(told, out, CountingModel(), None, quiet())


@pytest.mark.parametrize(("cls", "answer"), [(Told, "nothing"), (Reading, "toy multi")])
def test_only_a_method_that_asks_for_it_is_told_its_task(files, tmp_path, cls, answer):
    folder = run(files, tmp_path / "runs", cls())
    assert f'"answer":"{answer}"' in (folder / "predictions.jsonl").read_text()


def test_where_a_methods_files_lay_is_on_record_and_nothing_of_others(files, tmp_path):
    kept = read_manifest(run(files, tmp_path / "a", Reading())).written()
    assert kept["method_provenance"] == {"words": "somewhere"}
    assert "method_provenance" not in read_manifest(run(files, tmp_path / "b", Told())).written()
