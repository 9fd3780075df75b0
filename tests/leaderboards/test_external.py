"""External rows: beside the runs on their questions, named and marked, without costs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from harness import leaderboard
from leaderboards.analysis.report import analyse
from leaderboards.board import build
from leaderboards.compare import compare
from leaderboards.table import render
from tests.leaderboards.conftest import WriteGold, WriteRun, performance, prediction

LABEL = "fr-ircot [llama3|8B]"


def external(write_run: WriteRun, method: str = "fr-ircot", **options: Any) -> Path:
    """As ``import_results`` writes it: another model, no costs."""
    told = {
        "source": "FlashRAG", "model": "llama3|8B", "corpus": options.pop("corpus", "same"),
        "told": {"retrieval_topk": "5"}, "files": {"intermediate_data.json": "ab"},
    }  # fmt: skip
    model = {"name": "llama3|8B", "external": "FlashRAG", "dtype": None}
    return write_run(
        method, model_config=model, manifest={"external": told, "method_card": {}},
        hardware={"fingerprint": "external", "summary": "not known"}, **options,
    )  # fmt: skip


def test_an_external_row_stands_in_every_table_of_its_questions(
    runs: Path, write_run: WriteRun
) -> None:
    write_run("bm25", costs=performance(0.1, 40))
    write_run("bm25", costs=performance(0.1, 40), model_config={"name": "another"})
    write_run("bm25", task="hotpotqa")
    external(write_run, skill=0.3)
    tables = [t for t in build(runs).tables if t.kind == "task"]
    named = {(t.model, *t.tasks): [row.label for row in t.rows] for t in tables}
    assert named == {
        ("another", "nq"): [LABEL, "bm25"],
        ("smollm2-135m", "nq"): [LABEL, "bm25"],
        ("smollm2-135m", "hotpotqa"): ["bm25"],
    }
    row = tables[0].rows[0]
    assert row.external == "FlashRAG"
    assert row.p_value is not None, "the questions are the same, so it is compared"
    assert (row.cost.latency_p50, row.cost.llm_calls, row.cost.memory_bytes) == (None, None, None)
    text = render(runs, columns=["all"])
    line = next(line for line in text.splitlines() if "fr-ircot" in line and line[0] == "|")
    assert "fr-ircot &#91;llama3&#124;8B&#93;" in line
    assert "\u2020external" in line
    assert line.count("\u2014") >= 6
    assert "answers of FlashRAG with model llama3|8B (retrieval_topk=5), imported" in text.replace(
        "&#124;", "|"
    )
    lines = list(csv.DictReader(render(runs, "csv").splitlines()))
    assert {line["row"]: line["external"] for line in lines}["bm25"] == ""
    frame = leaderboard(runs)
    assert dict(zip(frame["row"], frame["external"], strict=True)) == {
        LABEL: "FlashRAG",
        "bm25": "",
    }
    assert json.loads(render(runs, "json"))["tables"]
    assert LABEL.replace("|", "&#124;").replace("[", "&#91;").replace("]", "&#93;") in compare(
        runs, "bm25", LABEL
    )


def test_without_a_known_corpus_it_takes_no_part_in_the_comparison(
    runs: Path, write_run: WriteRun
) -> None:
    write_run("bm25")
    external(write_run, skill=0.3, corpus="unknown", gold=0)
    (table,) = build(runs).tables
    row, bm25 = table.rows
    assert (row.p_value, row.top, bm25.top) == (None, False, True)
    assert "no Recall and take no part in the comparison" in " ".join(table.caption)
    told = "fr-ircot &#91;llama3&#124;8B&#93; is not known to be of this corpus"
    assert told in compare(runs, "bm25", LABEL)


def test_missing_answers_shrink_the_table_and_are_not_blamed_on_a_server(
    runs: Path, write_run: WriteRun
) -> None:
    write_run("bm25")
    write_run("bm25", model_config={"name": "another"})
    external(write_run, unanswered=["q0003"])
    for table in build(runs).tables:
        assert table.questions == 39
        (told,) = [line for line in table.caption if line.startswith("Incomplete")]
        assert told == (
            "Incomplete: 1 of 40 questions are left out of every row, because there is no answer "
            f"in some ({LABEL} 1)."
        )


def test_external_results_alone_make_one_table(runs: Path, write_run: WriteRun) -> None:
    external(write_run)
    external(write_run, "fr-other")
    (table,) = build(runs).tables
    assert (table.model, len(table.rows)) == ("external", 2)


def test_an_analysis_leaves_them_out_and_says_so(
    runs: Path, write_run: WriteRun, write_gold: WriteGold, tmp_path: Path
) -> None:
    write_gold({f"q{i:04d}": ["d"] for i in range(40)})
    rows = [prediction(f"q{i:04d}", ["d"]) for i in range(40)]
    external(write_run, predictions=rows)
    assert "External results are left out" in analyse(runs, tmp_path / "alone", "em")
    write_run("bm25", predictions=rows)
    text = analyse(runs, tmp_path / "out", "em")
    assert "External results are left out" in text
    assert "fr-ircot" not in text
