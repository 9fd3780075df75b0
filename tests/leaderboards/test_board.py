"""Which rows share a table, and what a table and its notes say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.report import NOT_COMPARABLE
from harness.runs.manifest import RunConfig
from leaderboards.board import Table
from leaderboards.table import build, render


def labels(table: Table) -> list[str]:
    return [row.label for row in table.rows]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"task_config": {"questions_fingerprint": "f" * 64}}, "questions_fingerprint"),
        ({"task_config": {"corpus_fingerprint": "f" * 64}}, "corpus_fingerprint"),
        ({"task_config": {"split": "dev"}}, "split"),
        ({"task_config": {"limit": 40}}, "limit"),
        ({"task_config": {"prompt": "chat"}}, "prompt"),
        ({"model_config": {"dtype": "nf4"}}, "model.dtype"),
        ({"model_config": {"name": "llama"}}, "model.name"),
        ({"manifest": {"schema_version": 2}}, "schema_version"),
        ({"metrics_version": 2}, "metrics_version"),
    ],
)
def test_rows_that_differ_never_share_a_table(
    runs: Path, write_run, other: dict[str, Any], said: str
) -> None:
    write_run("a")
    write_run("b")
    write_run("c", **other)
    tables = build(runs).tables
    assert sorted(sorted(labels(table)) for table in tables) == [["a", "b"], ["c"]]
    for table in tables:
        assert f"Not comparable with the other nq tables: they differ in {said}." in table.caption


def test_rows_that_agree_share_a_table_and_nothing_is_said(runs: Path, write_run) -> None:
    write_run("a")
    write_run("b", hardware={"fingerprint": "x"}, manifest={"created": "2027-01-01"})
    [table] = build(runs).tables
    assert not [line for line in table.caption if "Not comparable with" in line]
    assert "Runs of 2026-11-22 to 2027-01-01" in " ".join(table.caption)


def test_caption(runs: Path, write_run) -> None:
    write_run(seed=3, questions=20, task_config={"limit": 20, "questions": 2000})
    caption = "\n".join(build(runs).tables[0].caption)
    for part in (
        "Model: smollm2-135m (dtype=fp32), revision 12fd25f7.",
        "Corpus: nq, 5,000 passages, fingerprint nqcnqcnqcnqc.",
        "Questions: 20 of split sample, drawn at random by hash (limit 20), fingerprint nqqnqqn",
        "nqqnqqnqqnqq. Seed: 3.",
        "Hardware: 2 x Intel Xeon, 24 GB, no GPU, cpu, 2 threads.",
        "Runs of 2026-11-22, memory-harness 0.1.0 (0123456)",
        NOT_COMPARABLE,
    ):
        assert part in caption


def test_seeds_are_joined(runs: Path, write_run) -> None:
    for seed in (2, 0, 1):
        write_run(seed=seed)
    write_run("one")
    rows = {row.label: row for row in build(runs).tables[0].rows}
    assert rows["bm25"].seeds == (0, 1, 2)
    assert rows["bm25"].f1.std is not None and rows["one"].f1.std is None
    assert rows["bm25"].f1.std < rows["bm25"].f1.interval.high - rows["bm25"].f1.interval.low
    text = render(runs)
    assert "\u00b1: standard deviation over 3 seeds;" in text
    assert f"] \u00b1 {100 * rows['bm25'].f1.std:.1f}" in text


def test_labels_are_distinct(runs: Path, write_run) -> None:
    write_run("m", params={"k": 10})
    write_run("m")
    write_run("m", params={"hidden": 1}, manifest={"non_default_params": {}})
    names = labels(build(runs).tables[0])
    assert len(set(names)) == 3 and "m (k=10)" in names
    assert sum(name.startswith("m variant ") for name in names) == 2


def test_long_parameters_are_cut(runs: Path, write_run) -> None:
    write_run("long", params={"prompt": "x" * 500})
    [label] = labels(build(runs).tables[0])
    assert label.startswith("long (prompt=xxx") and label.endswith("...)") and len(label) < 80


def test_top_tier_is_bold_and_oracles_take_no_part(runs: Path, write_run) -> None:
    write_run("gold", skill=0.4, oracle=True)
    write_run("good", skill=0.1)
    write_run("bad", skill=-0.4)
    [table] = build(runs).tables
    assert labels(table) == ["gold", "good", "bad"]
    assert [row.top for row in table.rows] == [False, True, False]
    assert table.rows[0].p_value is None and table.rows[2].p_value is not None
    text = render(runs)
    assert "| gold \u2020oracle |" in text and "| **good**" in text and "| bad " in text


def test_a_board_of_oracles_only(runs: Path, write_run) -> None:
    write_run("gold", oracle=True)
    assert not build(runs).tables[0].rows[0].top


@pytest.mark.parametrize(("gold", "shown"), [(0, False), (1, False), (2, True)])
def test_all_gold_only_where_it_differs(runs: Path, write_run, gold: int, shown: bool) -> None:
    write_run(gold=gold)
    assert ("All-gold@5 [" in render(runs, columns=["all"])) == shown
    recall = build(runs).tables[0].rows[0].means.get("recall@5")
    assert (recall is None) == (gold == 0)


def test_timings_of_other_hardware_are_blanked(runs: Path, write_run) -> None:
    costs = {
        "throughput": {"questions": 40, "seconds": 10},
        "latency": {"seconds": [1.0, 2.0, 3.0]},
        "memory": {"kind": "vram", "peak_bytes": 5_000_000},
        "usage": {"llm_calls": 2.5},
    }
    write_run("a", costs=costs)
    write_run("b", costs=costs)
    write_run("c", costs=costs, hardware={"threads": 1})
    write_run("d", hardware={"fingerprint": "x", "summary": "never timed"})
    rows = {row.label: row for row in build(runs).tables[0].rows}
    assert rows["a"].cost.latency_p50 == 2 and rows["a"].cost.throughput == 4
    assert rows["c"].cost.latency_p50 is rows["c"].cost.memory_bytes is None
    assert rows["c"].cost.llm_calls == 2.5
    assert rows["d"].cost.elsewhere is None
    [note] = build(runs).tables[0].notes
    assert note.startswith("\u2021 c: measured on other hardware (") and "cpu, 1 thread)" in note
    text = render(runs, columns=["all"])
    assert text.count("\u2014\u2021 |") == 3
    assert text.count(" 5 MB VRAM |") == 2


def test_seeds_on_other_hardware_are_left_out_of_timings(runs: Path, write_run) -> None:
    for seed, second in ((0, 1.0), (1, 1.0), (2, 9.0)):
        costs = {"latency": {"seconds": [second] * 3}}
        hardware = {"fingerprint": "abc" if seed < 2 else "other"}
        write_run(seed=seed, costs=costs, hardware=hardware)
    cost = build(runs).tables[0].rows[0].cost
    assert (cost.latency_p90, cost.latency_queries, cost.elsewhere) == (1.0, 6, None)


def test_unfinished_runs_are_named(runs: Path, write_run) -> None:
    write_run("a")
    write_run("b", status="running", answered=7)
    write_run("b", "hotpotqa", status="failed", answered=0)
    board = build(runs)
    note = "Not finished, so left out: b, seed 0, running: 7/40 answered."
    assert board.tables[0].notes == (note,)
    assert board.notes == (
        "Not finished, so left out: b on hotpotqa with smollm2-135m, seed 0, "
        "failed: 0/40 answered.",
    )
    assert "## Notes" in render(runs)


def test_mean_over_tasks(runs: Path, write_run) -> None:
    for task, n in (("nq", 30), ("hotpotqa", 10)):
        write_run("a", task, questions=n, skill=0.1)
        write_run("b", task, questions=n, skill=-0.1)
    write_run("c", "nq", questions=30)
    mean, *tables = build(runs).tables
    assert mean.kind == "mean" and mean.tasks == ("hotpotqa", "nq") and mean.questions == 40
    assert labels(mean) == ["a", "b"]
    assert mean.notes == ("Not on all tasks, so left out: c (no hotpotqa)",)
    parts = [row.f1.mean for table in tables for row in table.rows if row.label == "a"]
    assert mean.rows[0].f1.mean == pytest.approx(sum(parts) / 2)
    widths = [row.f1.interval.high - row.f1.interval.low for t in tables for row in t.rows]
    assert mean.rows[0].f1.interval.high - mean.rows[0].f1.interval.low < max(widths)


def test_no_mean_over_tasks_without_a_common_method(runs: Path, write_run) -> None:
    write_run("a", "nq")
    write_run("b", "hotpotqa")
    board = build(runs)
    assert [table.kind for table in board.tables] == ["task", "task"]
    assert "no method has run on all: a (no hotpotqa); b (no nq)" in board.notes[0]


def test_means_keep_models_limits_and_splits_apart(runs: Path, write_run) -> None:
    for task in ("nq", "hotpotqa"):
        write_run("a", task)
        write_run("a", task, task_config={"limit": 40})
        write_run("a", task, task_config={"split": "dev"})
        write_run("a", task, model_config={"name": "llama"})
    means = [table for table in build(runs).tables if table.kind == "mean"]
    assert len(means) == 4 and all(len(table.rows) == 1 for table in means)


def test_splits_of_different_tasks_may_be_averaged(runs: Path, write_run) -> None:
    write_run("a", "nq", task_config={"split": "test"})
    write_run("a", "hotpotqa", task_config={"split": "dev"})
    assert [table.kind for table in build(runs).tables] == ["mean", "task", "task"]


def test_no_mean_when_a_task_has_two_corpora(runs: Path, write_run) -> None:
    write_run("a", "nq")
    write_run("a", "nq", task_config={"corpus_fingerprint": "f" * 64})
    write_run("a", "hotpotqa")
    board = build(runs)
    assert len(board.tables) == 3
    assert "no mean over tasks, since a task has tables that are not comparable" in board.notes[0]


@pytest.mark.parametrize(
    "own",
    [
        {"manifest": {"task_provenance": {"source": "files"}}, "task_config": {"split": "custom"}},
        {"manifest": {"task_provenance": {"source": "hub"}}, "task_config": {"split": "dev"}},
    ],
)
def test_only_shipped_slices_are_called_slices(runs: Path, write_run, own: dict[str, Any]) -> None:
    for task in ("nq", "hotpotqa"):
        write_run("a", task, **own)
    assert all(NOT_COMPARABLE not in table.caption for table in build(runs).tables)
    write_run("b", "nq")
    assert [NOT_COMPARABLE in table.caption for table in build(runs).tables].count(True) == 1


def test_a_servers_client_lends_the_model_no_memory(runs: Path, write_run) -> None:
    costs = {
        "latency": {"seconds": [1.0, 2.0, 3.0]},
        "memory": {"kind": "rss", "peak_bytes": 5_000_000},
    }
    write_run("a", costs=costs, hardware={"device": "remote"})
    [table] = build(runs).tables
    assert table.rows[0].cost.memory_bytes is None
    assert table.rows[0].cost.latency_p50 == 2
    assert any(line.startswith("Memory: the model answered from a") for line in table.caption)
    assert not table.notes
    text = render(runs)
    assert " MB RSS" not in text and "\u2021" not in text


def test_the_caption_tells_what_was_left_out_and_what_nobody_noted(runs: Path, write_run) -> None:
    note = "1 of 24 questions, which shared parts 'mine' learnt from"
    source = {"source": "files", "left_out": note}
    trained = {"shared parts 'mine'": 12, "router 'old'": None}
    write_run("a", manifest={"task_provenance": source, "trained_on": trained})
    write_run("b", manifest={"task_provenance": source})
    caption = build(runs).tables[0].caption
    assert caption.count(f"Left out of nq: {note}.") == 1
    assert [line for line in caption if "router 'old'" in line] == [
        "Nobody noted what router 'old' learnt from: asked questions, perhaps."
    ]


def test_revisions_of_a_retriever_that_letters_decide_are_one_row(runs: Path, write_run) -> None:
    """An ASCII corpus and another one have other revisions of bm25, and still one mean."""
    bm25 = {"retriever": {"kind": "bm25"}}
    newer = {"retriever": {"kind": "bm25", "revision": 2}}
    for number, (task, retriever) in enumerate([("nq", newer), ("ascii", bm25), ("nq", bm25)]):
        folder = write_run(task=task, seed=number)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["config"] |= retriever
        manifest["run_id"] = RunConfig.model_validate(manifest["config"]).run_id
        (folder / "manifest.json").write_text(json.dumps(manifest))
        if number == 1:
            tables = build(runs).tables
            assert [table.kind for table in tables] == ["mean", "task", "task"]
            assert [labels(table) for table in tables] == [["bm25"]] * 3
    of_nq = next(table for table in build(runs).tables if table.tasks == ("nq",))
    assert len(set(labels(of_nq))) == 2, "an earlier and a later release on one corpus"
    assert all(name.startswith("bm25 variant ") for name in labels(of_nq))
