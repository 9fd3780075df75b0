"""Scores: made from predictions and gold, made again at any time, never older than both."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.files import write_json
from harness.fingerprint import canonical_json, file_sha256, fingerprint_lines
from harness.runs import stamp
from harness.runs.execute import execute
from harness.runs.plan import RunPlan
from harness.runs.predictions import failure_kind
from harness.runs.scoring import check_scores, score_run
from harness.runs.stamp import is_scored
from leaderboards.table import render
from tests.harness.lab import CountingModel, make_plan, quiet, without_torch

SCORES = ("scores.jsonl", "scores.json")


@pytest.fixture
def folder(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run whose model always says ``name3``."""
    without_torch(monkeypatch)
    model = CountingModel()
    model.reply = lambda _: "name3"
    model._rule = model.reply  # type: ignore[method-assign]
    return execute(make_plan(files), tmp_path / "runs", model, None, quiet())


def scores(folder: Path) -> dict[str, dict]:
    lines = map(json.loads, (folder / "scores.jsonl").open())
    return {line["question_id"]: line for line in lines}


def contents(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in SCORES]


def test_only_the_right_answer_scores(folder: Path) -> None:
    found = scores(folder)
    assert [key for key, line in found.items() if line["em"] == 1] == ["q3"]
    assert len(found) == 24
    assert found["q3"] | {"em": 1, "f1": 1, "contains": 1, "error": False} == found["q3"]


def test_deleted_scores_come_back_identical(folder: Path) -> None:
    before = contents(folder)
    for name in SCORES:
        (folder / name).unlink()
        assert not is_scored(folder)
        assert score_run(folder)
        assert contents(folder) == before


def test_stale_scores_are_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_scored(folder)
    monkeypatch.setattr(stamp, "METRICS_VERSION", 99)
    assert not is_scored(folder)
    monkeypatch.undo()
    path = folder / "predictions.jsonl"
    path.write_text(path.read_text().replace("name3", "name4"))
    assert not is_scored(folder)
    score_run(folder)
    assert is_scored(folder)
    assert scores(folder)["q4"]["em"] == 1
    path.unlink()
    assert not is_scored(folder)


def test_a_check_makes_all_scores_anew_and_writes_nothing(folder: Path) -> None:
    assert check_scores(folder)
    path = folder / "scores.jsonl"
    path.write_text(path.read_text().replace('"f1":1.0', '"f1":0.5'))
    stamp = json.loads((folder / "scores.json").read_text())
    write_json(folder / "scores.json", {**stamp, "scores_sha256": file_sha256(path)})
    before = contents(folder)
    with pytest.raises(InputError, match=r"scores\.jsonl: not what scoring makes of the run's"):
        check_scores(folder)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("ValueError: broken: twice", "ValueError"),
        ("PromptTooLongError: 5,000 tokens", "PromptTooLongError"),
        ("TimeoutError", "TimeoutError"),
        ("socket.timeout: x", "socket.timeout"),
        ("<b>it</b> broke: x", "other"),
        ("", "other"),
    ],
)
def test_the_kind_of_an_error_is_its_class(error: str, kind: str) -> None:
    assert failure_kind(error) == kind


def test_a_run_is_scored_from_within_its_folder(folder: Path, monkeypatch) -> None:
    before = contents(folder)
    (folder / "scores.json").unlink()
    monkeypatch.chdir(folder)
    assert score_run(Path())
    assert contents(folder) == before


def test_an_unfinished_run_is_left_alone(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    write_json(folder / "manifest.json", {**manifest, "status": "running"})
    (folder / "scores.json").unlink()
    assert not score_run(folder)
    assert not (folder / "scores.json").exists()


@pytest.mark.parametrize("change", ["one less", "one twice", "another", "none"])
def test_predictions_that_are_not_the_questions(folder: Path, change: str) -> None:
    path = folder / "predictions.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    changed = {
        "one less": lines[1:],
        "one twice": [lines[1], *lines[1:]],
        "another": [lines[0].replace('"q0"', '"other"'), *lines[1:]],
        "none": [],
    }[change]
    path.write_text("".join(changed))
    before = contents(folder)
    with pytest.raises(InputError, match="24 questions in order; run the same board again"):
        score_run(folder)
    assert contents(folder) == before


def test_missing_predictions(folder: Path) -> None:
    (folder / "predictions.jsonl").unlink()
    with pytest.raises(InputError, match=r"predictions\.jsonl: missing; run the same board"):
        score_run(folder)


@pytest.mark.parametrize("text", ["{", "[]\n", '{"idd": 1}\n'])
def test_damaged_gold_is_named(folder: Path, text: str) -> None:
    (gold,) = folder.parents[1].glob("questions-*.jsonl")
    gold.write_text(text)
    with pytest.raises(InputError, match=r"questions-.*jsonl: damaged"):
        score_run(folder)
    gold.unlink()
    with pytest.raises(InputError, match="gold of these runs is missing; run the same board"):
        score_run(folder)


def test_edited_gold_is_noticed_before_anything_is_asked(folder: Path, files) -> None:
    (gold,) = folder.parents[1].glob("questions-*.jsonl")
    gold.write_text(gold.read_text().replace("name3", "name4"))
    model = CountingModel()
    with pytest.raises(InputError, match=r"questions-.*jsonl: damaged or edited"):
        execute(make_plan(files), folder.parents[2], model, None, quiet())
    assert model.calls == 0


def with_metrics(plan: RunPlan, *names: str) -> RunPlan:
    card = plan.data.card.model_copy(update={"metrics": names})
    return replace(plan, data=replace(plan.data, card=card))


def test_a_metric_that_a_task_names_is_scored_without_asking_again(folder: Path, files) -> None:
    before, said = scores(folder), (folder / "predictions.jsonl").read_bytes()
    root, model = folder.parents[2], CountingModel()
    plan = with_metrics(make_plan(files), "em", "rouge_l", "recall@5", "bleu")
    assert not plan.is_complete(root)
    execute(plan, root, model, None, quiet())
    assert plan.is_complete(root)
    assert (model.calls, (folder / "predictions.jsonl").read_bytes()) == (0, said)
    found = scores(folder)
    assert found["q3"]["rouge_l"] == 1 > found["q4"]["rouge_l"]
    assert found["q3"].keys() - before["q3"].keys() == {"rouge_l", "bleu"}
    (folder / "scores.jsonl").unlink()
    score_run(folder)
    assert scores(folder) == found
    assert "rouge_l" in render(root, "csv").splitlines()[0]


def test_a_metric_that_is_not_known_is_named_with_the_nearest(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    write_json(folder / "manifest.json", {**manifest, "metrics": ["rouge"]})
    with pytest.raises(InputError, match=r"manifest\.json: unknown metric 'rouge'.*'rouge_l'"):
        score_run(folder)


ROW = {
    "answer": "name0",
    "retrieved_ids": ["d0", "d1", "d2"],
    "read_ids": ["d1"],
    "steps": [
        {"kind": "search", "retrieved_ids": ["d0", "d3"]},
        {"kind": "generate", "reply": "x"},
        {"kind": "search", "retrieved_ids": ["d1", "d2"]},
    ],
    "usage": {},
    "error": None,
}


def scored(folder: Path, gold: list[str], rules: dict | None = None, **row) -> dict:
    """Scores of a first question with these gold documents, whose prediction is ROW but for."""
    with_gold(folder, gold, first_only=True)
    path = folder / "predictions.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lines[0] = json.dumps({"question_id": lines_id(lines[0]), **ROW, **row}) + "\n"
    path.write_text("".join(lines))
    if rules is not None:
        manifest = json.loads((folder / "manifest.json").read_text())
        write_json(folder / "manifest.json", {**manifest, **rules})
    score_run(folder)
    return next(iter(scores(folder).values()))


def with_gold(folder: Path, gold: list[str], *, first_only: bool = False) -> None:
    """Make the run one of questions with these gold documents."""
    (path,) = folder.parents[1].glob("questions-*.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows[:1] if first_only else rows:
        row["gold_doc_ids"] = gold
    fingerprint = fingerprint_lines(rows)
    path.unlink()
    path = path.with_name(f"questions-{fingerprint[:12]}.jsonl")
    path.write_text("".join(canonical_json(row) + "\n" for row in rows))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["config"]["task"]["questions_fingerprint"] = fingerprint
    write_json(folder / "manifest.json", manifest)


def lines_id(line: str) -> str:
    return json.loads(line)["question_id"]


def test_read_ranked_and_retrieved_are_told_apart(folder: Path) -> None:
    found = scored(folder, ["d1", "d3", "d9", "d0"])
    assert found["recall@5"] == 0.5
    assert found["recall_read"] == 0.25
    assert found["recall_retrieved"] == 0.75
    assert found["retrieved"] == 1
    config = json.loads((folder / "manifest.json").read_text())["config"]
    searching = {"config": {**config, "retriever": {"kind": "bm25"}}}
    nothing = {"steps": [], "retrieved_ids": [], "read_ids": []}
    assert scored(folder, ["d1", "d3", "d9", "d0"], searching, **nothing)["retrieved"] == 0


def test_memories_that_were_ranked_but_not_read_do_not_count_as_read(folder: Path) -> None:
    row = {key: value for key, value in ROW.items() if key != "read_ids"}
    row["steps"] = [{"kind": "select", "memories_read": ["d2"]}]
    path = folder / "predictions.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lines[0] = json.dumps({"question_id": lines_id(lines[0]), **row}) + "\n"
    path.write_text("".join(lines))
    score_run(folder)
    found = next(iter(scores(folder).values()))
    assert (found["recall@5"], found["recall_read"], found["recall_retrieved"]) == (1, 0, 1)


def test_rules_of_the_manifest_are_kept_and_a_change_makes_scores_stale(folder: Path) -> None:
    assert scored(folder, ["d1", "d9"])["recall@5"] == 0.5
    rules = {"scoring": {"gold": "any"}, "metrics": ["support_f1"]}
    assert scored(folder, ["d1", "d9"], {"scoring": {"gold": "any"}})["recall@5"] == 1
    assert json.loads((folder / "scores.json").read_text())["scoring"]["gold"] == "any"
    assert is_scored(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    write_json(folder / "manifest.json", {**manifest, "scoring": {"gold": "all"}})
    assert not is_scored(folder)
    del rules["scoring"]
    assert scored(folder, ["d1", "d9"], rules)["support_f1"] is None
    named = scored(folder, ["d1", "d9"], support_ids=["d1"])
    assert named["support_f1"] == pytest.approx(2 / 3)


def test_a_card_that_changes_how_it_is_scored_asks_nothing_again(folder: Path, files) -> None:
    root, model, plan = folder.parents[2], CountingModel(), make_plan(files)
    card = plan.data.card.model_copy(update={"gold": "any", "closed_answers": True})
    plan = replace(plan, data=replace(plan.data, card=card))
    assert not plan.is_complete(root)
    execute(plan, root, model, None, quiet())
    assert plan.is_complete(root) and model.calls == 0
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["scoring"] == {"gold": "any", "closed_answers": True}


def test_a_method_that_names_support_names_none_where_it_failed(folder: Path) -> None:
    """Else errors would leave the mean of its support scores, which would be the higher for it."""
    rules = {"metrics": ["support_f1", "joint_f1"]}
    assert scored(folder, ["d1"], rules, support_ids=["d1"])["support_f1"] == 1
    path = folder / "predictions.jsonl"
    first, second, *others = map(json.loads, path.read_text().splitlines())
    lines = [first, {**second, "error": "ValueError: broken"}, *others]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with_gold(folder, ["d1"])
    manifest = json.loads((folder / "manifest.json").read_text())
    config = {**manifest["config"], "retriever": {"kind": "bm25"}}
    write_json(folder / "manifest.json", {**manifest, "config": config})
    score_run(folder)
    found = scores(folder).values()
    assert [line["support_f1"] for line in found] == [1, *[0] * 23]
    assert [line["joint_f1"] for line in found][1:] == [0] * 23


def test_earlier_runs_in_which_passages_did_not_fit_have_no_recall_read(folder: Path) -> None:
    """They stored what was ranked as read; a run of today stores what was left of it."""
    dropped = {"kind": "generate", "reply": "x", "passages_dropped": 2}
    shown = {**dropped, "passages_dropped": 0}
    now = scored(folder, ["d1"], steps=[dropped])
    assert now["recall_read"] == 1
    row = {key: value for key, value in ROW.items() if key != "read_ids"}
    path = folder / "predictions.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    for steps, known in ([[dropped, shown], 1], [[shown, dropped], None]):
        lines[0] = json.dumps({"question_id": lines_id(lines[0]), **row, "steps": steps}) + "\n"
        path.write_text("".join(lines))
        score_run(folder)
        found = next(iter(scores(folder).values()))
        assert (found["recall@5"], found["recall_read"]) == (1, known)
    failed = {**row, "steps": [dropped], "retrieved_ids": [], "error": "ValueError: broken"}
    lines[0] = json.dumps({"question_id": lines_id(lines[0]), **failed}) + "\n"
    path.write_text("".join(lines))
    config = json.loads((folder / "manifest.json").read_text())
    config["config"]["retriever"] = {"kind": "bm25"}
    write_json(folder / "manifest.json", config)
    score_run(folder)
    assert next(iter(scores(folder).values()))["recall_read"] == 0, "an error read nothing"
