"""A run whose files were changed or mixed is refused by name, and takes no other down."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import leaderboard
from harness.errors import ConfigError, InputError
from harness.runs.performance import update_performance
from harness.runs.scoring import score_run
from leaderboards import commands
from leaderboards.board import build, read_groups
from leaderboards.collect import collect
from leaderboards.compare import compare
from tests.leaderboards.conftest import prediction, stamp_scores

IDS = [f"q{number}" for number in range(6)]


@pytest.fixture
def pair(runs: Path, write_run, write_gold) -> tuple[Path, Path]:
    """Two runs below ``runs``, scored; the first is right on every other question."""
    write_gold({id_: ["d1"] for id_ in IDS})

    def run(method: str, right: str) -> Path:
        said = [{**prediction(id_, ["d1"]), "answer": right} for id_ in IDS[::2]]
        said += [
            {**prediction(id_, ["d2"], error="KeyError: 'x'"), "steps": []} for id_ in IDS[1::2]
        ]
        rows = sorted(said, key=lambda row: row["question_id"])
        folder = write_run(method, questions=len(IDS), predictions=rows)
        assert score_run(folder)
        return folder

    return run("bm25", "x"), run("ircot", "y")


def replace(path: Path, old: str, new: str, count: int = 1) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def edited_scores(folder: Path, _: Path) -> None:
    replace(folder / "scores.jsonl", '"em":0.0', '"em":1.0')


def edited_scores_and_their_hash(folder: Path, other: Path) -> None:
    edited_scores(folder, other)
    stamp_scores(folder)


def edited_answers(folder: Path, _: Path) -> None:
    replace(folder / "predictions.jsonl", '"x"', '"z"')


def edited_config(folder: Path, _: Path) -> None:
    replace(folder / "manifest.json", '"k": 5', '"k": 50')


def edited_rules(folder: Path, _: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "scoring": {"gold": "any"}}))


def edited_manifest(**parts: object) -> Callable[[Path, Path], None]:
    """An edit of what a table, a caption or a page shows of a run."""

    def edit(folder: Path, _: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps({**manifest, **parts}))

    return edit


def mixed(folder: Path, other: Path) -> None:
    for name in ("predictions.jsonl", "scores.jsonl", "scores.json"):
        shutil.copy(other / name, folder / name)


def edited_cost(folder: Path, _: Path) -> None:
    update_performance(folder, usage={"llm_calls": 2.0})
    replace(folder / "performance.json", '"llm_calls": 2.0', '"llm_calls": 1.0')


def cost_of_another(folder: Path, other: Path) -> None:
    update_performance(other, usage={"llm_calls": 2.0})
    shutil.copy(other / "performance.json", folder)


def edited_failures(folder: Path, _: Path) -> None:
    replace(folder / "scores.json", '"KeyError": 3', '"KeyError": 2')


def lost(folder: Path, _: Path) -> None:
    (folder / "scores.json").unlink()


@pytest.mark.parametrize(
    ("damage", "file", "problem"),
    [
        (edited_scores, "scores.jsonl", "changed since it was written by scoring; run `memory-"),
        (edited_scores_and_their_hash, "scores.jsonl", "'em' of question 'q1' is 1.0, but its"),
        (edited_answers, "predictions.jsonl", "changed since they were scored"),
        (edited_config, "manifest.json", "changed after the run; restore it or run again"),
        (edited_rules, "scores.json", "asks for other metrics or rules; run `memory-harness score"),
        (edited_cost, "performance.json", "changed since it was measured, or of another run"),
        (cost_of_another, "performance.json", "changed since it was measured, or of another run"),
        (edited_failures, "scores.jsonl", "3 answers with an error"),
        (mixed, "scores.json", "files of two runs are mixed"),
        *(
            (edited_manifest(**{name: value}), "manifest.json", "changed since the run was scored")
            for name, value in {
                "non_default_params": {"k": 50},
                "method_card": {"title": "BM25", "oracle": True},
                "hardware": {"fingerprint": "abc123", "summary": "8 x H100", "device": "cuda:0"},
                "created": "2020-01-01",
                "harness": {"version": "9.9"},
                "model_provenance": {"revision": "0000000"},
                "task_provenance": {"source": "elsewhere"},
                "trained_on": {"an encoder": 5},
                "timing": {"queries": 1},
            }.items()
        ),
        (lost, "", "finished but not scored; run `memory-harness score"),
    ],
)
def test_a_damaged_run_is_left_out_with_its_file_problem_and_fix(
    pair, runs: Path, damage: Callable[[Path, Path], None], file: str, problem: str
) -> None:
    folder, other = pair
    assert build(runs).notes == ()
    damage(folder, other)
    board = build(runs)
    assert [row.method for row in board.tables[0].rows] == ["ircot"]
    (note,) = board.notes
    assert note.startswith(f"Damaged, so left out: {folder / file}") and problem in note
    assert read_groups(runs)[1] == [note], "an analysis says so, too"
    with pytest.raises(ConfigError, match=r"no row is called 'bm25'.*Damaged, so left out"):
        compare(runs, "bm25", "ircot")
    with pytest.raises(InputError, match=r"\S"):
        build(runs, strict=True)
    shutil.rmtree(other)
    with pytest.raises(InputError) as raised:
        build(runs)
    assert str(raised.value) in note, "no run is left"


def test_tables_without_room_for_notes_tell_them_beside(
    pair, runs: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    edited_answers(*pair)
    commands.leaderboard(runs, format="csv")
    told = capsys.readouterr()
    assert "Damaged" not in told.out and f"Damaged, so left out: {pair[0]}" in told.err
    assert len(leaderboard(runs)) == 1 and f"Damaged, so left out: {pair[0]}" in caplog.text


def test_edited_gold_is_refused_wherever_it_is_read(pair, runs: Path) -> None:
    (gold,) = (runs / "nq").glob("questions-*.jsonl")
    replace(gold, '["x"]', '["y"]', -1)
    for use in (build, collect, lambda _: score_run(pair[0])):
        with pytest.raises(InputError, match=rf"{gold}: damaged or edited: its fingerprint is"):
            use(runs)


def test_other_questions_than_the_gold_are_noticed(pair, runs: Path) -> None:
    folder, _ = pair
    for name in ("scores.jsonl", "predictions.jsonl"):
        replace(folder / name, '"q1"', '"q9"')
    replace(folder / "predictions.jsonl", "q9", "q1")
    stamp_scores(folder)
    (note,) = collect(runs).notes
    assert "6 of 6 questions scored, 2 of them not the gold's" in note


def ems(runs: Path) -> list[list[float]]:
    return sorted(run.scores["em"].tolist() for run in collect(runs).runs)


def test_scores_without_a_hash_are_made_anew_and_not_believed(pair, runs: Path) -> None:
    """As runs of earlier releases are."""
    assert ems(runs) == (sound := [[0] * 6, [1, 0, 1, 0, 1, 0]])
    for folder in pair:
        stamp = json.loads((folder / "scores.json").read_text())
        early = {name: stamp[name] for name in ("metrics_version", "predictions_sha256")}
        (folder / "scores.json").write_text(json.dumps(early))
        edited_scores(folder, folder)
    again, _, notes = collect(runs)
    assert ems(runs) == sound and notes == []
    assert [run.failures for run in again] == [{"KeyError": 3}] * 2
    (gold,) = (runs / "nq").glob("questions-*.jsonl")
    gold.unlink()
    assert ems(runs) != sound
    (note,) = collect(runs).notes
    assert note.startswith("Not checked, 2 runs: scores without a hash of their own, their gold is")


def test_failed_questions_are_counted_by_kind(pair, runs: Path) -> None:
    rows = build(runs).tables[0].rows
    assert [row.failures for row in rows] == [{"KeyError": 3}] * 2
    assert [row.errors for row in rows] == [3, 3]


def test_a_manifest_that_nobody_sealed_is_read_as_before(pair, runs: Path) -> None:
    """Runs of earlier releases."""
    for folder in pair:
        stamp = json.loads((folder / "scores.json").read_text())
        assert len(stamp.pop("manifests")) == 1
        (folder / "scores.json").write_text(json.dumps(stamp))
    edited_manifest(created="2020-01-01")(*pair)
    board = build(runs)
    assert board.notes == () and len(board.tables[0].rows) == 2
    assert score_run(pair[0])
    assert build(runs).notes == ()
    edited_manifest(created="2021-01-01")(*pair)
    assert "manifest.json: changed since the run was scored" in build(runs).notes[0]


def test_a_manifest_written_another_way_is_the_same(pair, runs: Path) -> None:
    path = pair[0] / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=8, sort_keys=True))
    assert build(runs).notes == ()
