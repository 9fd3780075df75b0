"""``export`` writes every answer once, with what was asked and scored, in cells without a trap."""

from __future__ import annotations

import csv
import json
import tracemalloc
from pathlib import Path

import pytest

from harness.errors import ConfigError, InputError
from harness.runs.manifest import RunConfig
from harness.runs.scoring import score_run
from leaderboards.board import build
from leaderboards.collect import collect
from leaderboards.export import export
from tests.leaderboards.conftest import prediction

ANSWERS = ["x", '=HYPERLINK("http://a")', "two\nlines", "100 kB " + "y" * 100_000, "\u202eRTL"]
IDS = [f"q{number}" for number in range(len(ANSWERS))]


@pytest.fixture
def exported(runs: Path, write_run, write_gold) -> Path:
    """Runs of two methods, one of which retrieves ids with a bar and fails once."""
    write_gold({id_: ["d|1", "\\d2"] for id_ in IDS})
    for method, ids in (("bm25", ["d|1", "d0"]), ("no-retrieval", [])):
        rows = [
            {**prediction(id_, ids), "answer": answer, "usage": {"llm_calls": 1}}
            for id_, answer in zip(IDS, ANSWERS, strict=True)
        ]
        rows[4]["error"] = "ValueError: broken" if ids else None
        folder = write_run(method, questions=len(IDS), predictions=rows, params={"k": 10})
        score_run(folder)
    write_run("ircot", questions=len(IDS), status="running", answered=2)
    return runs


def test_parquet_has_every_answer_with_its_scores(exported: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    count, notes = export(exported, tmp_path / "out" / "all.parquet")
    rows = pq.read_table(tmp_path / "out" / "all.parquet").to_pylist()
    assert count == len(rows) == 2 * len(IDS)
    of_bm25 = [row for row in rows if row["method"] == "bm25"]
    assert [row["answer"] for row in of_bm25] == ANSWERS
    (run,) = (run for run in collect(exported).runs if run.manifest.config.method.name == "bm25")
    assert [row["recall@5"] for row in of_bm25] == run.scores["recall@5"].tolist()
    first = of_bm25[0]
    assert (first["em"], first["golden_answers"], first["gold_doc_ids"]) == (
        1,
        ["x"],
        ["d|1", "\\d2"],
    )
    assert (first["retrieved_ids"], first["read_ids"]) == (["d|1", "d0"], ["d|1", "d0"])
    assert (first["label"], first["seed"], first["llm_calls"]) == ("bm25 (k=10)", 0, 1)
    assert first["run_id"] == run.manifest.run_id
    assert of_bm25[4]["error"] == "ValueError: broken" and first["error"] is None
    assert {row["recall@5"] for row in rows if row["method"] == "no-retrieval"} == {None}
    assert len(notes) == 1 and "2/5 answered" in notes[0], "what is not finished is told"


def test_csv_cells_are_flat_and_no_formulas(exported: Path, tmp_path: Path) -> None:
    export(exported, tmp_path / "all.csv")
    text = (tmp_path / "all.csv").read_text(encoding="utf-8")
    assert text.count("\n") == 1 + 2 * len(IDS), "a line a row"
    rows = list(csv.DictReader(text.splitlines()))
    said = [row["answer"] for row in rows if row["method"] == "bm25"]
    assert said[1:3] == ["'" + ANSWERS[1], "two lines"] and "\u202e" not in said[4]
    assert len(said[3]) > 100_000
    assert rows[0]["gold_doc_ids"] == "d\\|1 | \\\\d2"


def test_memory_holds_no_texts(runs: Path, write_run, write_gold, tmp_path: Path) -> None:
    ids = [f"q{number:03d}" for number in range(200)]
    write_gold({id_: ["d1"] for id_ in ids})
    long = [{"kind": "generate", "reply": "x" * 20_000, "passages_dropped": 0}]
    rows = [{**prediction(id_, ["d1"]), "answer": "x", "steps": long} for id_ in ids]
    score_run(write_run("bm25", questions=len(ids), predictions=rows))
    export(runs, tmp_path / "first.csv")  # what is imported stays
    tracemalloc.start()
    export(runs, tmp_path / "all.csv")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_500_000, "of 4 MB"


def test_a_damaged_run_is_left_out_and_told(exported: Path, tmp_path: Path) -> None:
    first, *_ = exported.glob("*/*/*/scores.jsonl")
    first.write_text("")
    count, notes = export(exported, tmp_path / "all.csv")
    assert count == len(IDS) and f"Damaged, so left out: {first}" in notes[0]


def test_rows_are_called_as_in_the_leaderboard(exported: Path, write_run, tmp_path: Path) -> None:
    rows = [{**prediction(id_, ["d0"]), "answer": "x"} for id_ in IDS]
    folder = write_run(questions=len(IDS), predictions=rows, params={"k": 10}, seed=1)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["config"]["method"]["version"] = 7
    manifest["run_id"] = RunConfig.model_validate(manifest["config"]).run_id
    (folder / "manifest.json").write_text(json.dumps(manifest))
    score_run(folder)
    export(exported, tmp_path / "all.csv")
    with (tmp_path / "all.csv").open(newline="", encoding="utf-8") as file:
        labels = {row["label"] for row in csv.DictReader(file)}
    assert labels == {row.label for table in build(exported).tables for row in table.rows}
    assert len(labels) == 3


def test_what_cannot_be_written_is_said_first(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"name a file that ends in \.csv or \.parquet"):
        export(tmp_path / "nowhere", tmp_path / "all.xlsx")
    for gold in exported.glob("*/questions-*.jsonl"):
        gold.unlink()
    with pytest.raises(InputError, match="the gold of its questions is missing"):
        export(exported, tmp_path / "all.csv")
    assert not (tmp_path / "all.csv").exists()
