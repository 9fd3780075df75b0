"""What methods find without answering: as in a run, compared by question, refused where it tells
nothing."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from harness.boards import finding
from harness.boards.finding import Found
from harness.metrics.statistics import compare_pair, proportion_ci
from harness.runs.directory import find_runs
from tests.harness.conftest import CommandLine
from tests.harness.lab import CountingModel, write_lines

METHODS = ("bm25", "graph-ppr", "graph-ppr-shuffled")


@pytest.fixture
def task(tmp_path: Path) -> list[str]:
    """Twelve people of whom the questions name a friend: found by the names that passages share."""
    people = [f"Ann{n} Berg{n}" for n in range(12)]
    texts = [f"{people[n]}\nA friend of {people[n - 5]}, at home in Town{n}." for n in range(12)]
    rows = [
        {
            "id": f"q{n}",
            "question": f"Where is the friend of {people[n - 5]} at home?",
            "golden_answers": [f"Town{n}"],
            "metadata": {"gold_doc_ids": [f"d{n}", f"d{(n - 5) % 12}"]},
        }
        for n in range(12)
    ]
    corpus = [{"id": f"d{n}", "contents": text} for n, text in enumerate(texts)]
    train = [{"id": "t", "question": "Who is at home in Town3?", "golden_answers": [people[3]]}]
    files = {"questions": rows, "train": train, "corpus": corpus}
    paths = {name: write_lines(tmp_path / f"{name}.jsonl", each) for name, each in files.items()}
    return ["--task", "friends", *(f"--{name}={path}" for name, path in paths.items())]


def test_it_is_what_a_run_finds_and_no_model_is_asked(
    cli: CommandLine, task: list[str], tmp_path: Path
) -> None:
    chosen = [part for name in METHODS for part in ("--method", name)]
    done = cli("evaluate-retrieval", *chosen, *task, "--k", 2, "--out", tmp_path / "found")
    assert done.code == 0, done.err
    assert isinstance(cli.model, CountingModel) and cli.model.calls == 0
    with (tmp_path / "found" / "questions.csv").open() as file:
        rows = list(csv.DictReader(file))
    scores = {}
    for name in METHODS:
        out = tmp_path / "runs" / name
        options = ["--latency-queries", 0, "-p", "k=2", "-p", "shots=0", "--out", out]
        assert cli("run", "--method", name, *task, *options).code == 0
        (folder,) = find_runs(out)
        lines = (folder / "predictions.jsonl").read_text().splitlines()
        ranked = {row["question_id"]: row["retrieved_ids"] for row in map(json.loads, lines)}
        own = [row for row in rows if row["method"] == name]
        assert {row["question_id"]: row["found_ids"].split() for row in own} == ranked
        scores[name] = [
            len(set(ids) & set(row["gold_ids"].split())) / 2
            for row in own
            for ids in [ranked[row["question_id"]]]
        ]
        assert [float(row["recall"]) for row in own] == scores[name]
        assert [float(row["all_gold"]) for row in own] == [float(s == 1) for s in scores[name]]
    base, walk, control = json.loads((tmp_path / "found" / "summary.json").read_text())["summary"]
    pair = compare_pair(scores["bm25"], scores["graph-ppr"])
    assert walk["recall_gained"] == pair.difference
    assert [walk["recall_gained_low"], walk["recall_gained_high"]] == list(pair.interval)
    assert walk["recall_p"] == pair.p_value
    assert "recall_gained" not in base
    assert control["recall"] < walk["recall"]
    low, high = proportion_ci(sum(s == 1 for s in scores["graph-ppr"]), 12)
    shown = f"{100 * walk['all_gold']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    assert shown in done.out and "| Method " in done.out and "All-gold@2" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "ircot"], "method 'ircot' has no find(): its model has a part in what is"),
        (["--method", "bm25", "--method", "bm25"], "method 'bm25' is named twice"),
        (["--k", 0], "--k 0: "),
        (["--task", "nq", "--corpus", "/none"], "file not found"),
    ],
)
def test_what_cannot_be_is_one_line(cli: CommandLine, arguments: list[str], words: str) -> None:
    assert words in cli.refuses("evaluate-retrieval", *arguments)


def test_a_method_that_asks_needs_a_model(
    cli: CommandLine, task: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("methods.hipporag.method.HippoRAG.check_write", lambda *_: None)
    done = cli("evaluate-retrieval", "--method", "hipporag", *task)
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("error: the method asks a model before it has")
    assert done.err.endswith("name one: --model NAME\n")


def test_questions_without_gold_measure_nothing(
    cli: CommandLine, task: list[str], tmp_path: Path
) -> None:
    rows = [{"id": "q", "question": "Who?", "golden_answers": ["x"]}]
    none = write_lines(tmp_path / "none.jsonl", rows)
    line = cli.refuses("evaluate-retrieval", *task, "--questions", none)
    assert "task 'friends' names no gold passages" in line


def test_the_table() -> None:
    def of(method: str, question: int, recall: float) -> Found:
        return Found(method, f"q{question}", ("a",), ("a",), recall, float(recall == 1), "")

    found = [of(m, n, r) for m, rs in {"x": (0, 0.5), "y*": (1, 1)}.items()
             for n, r in enumerate(rs)]  # fmt: skip
    facts = {
        "model": "none", "methods": {"x": {"k": 3}, "y*": {"k": 3}}, "task": "toy", "questions": 2,
        "corpus_fingerprint": "0" * 64, "corpus_passages": 9, "seed": 4, "k": 3,
        "hardware": "a machine", "threads": 1, "date": "2026-01-01",
    }  # fmt: skip
    lines = finding.summary(found)
    text = finding.table(facts, lines)
    assert (Path(__file__).parent / "golden_finding.md").read_text() == text + "\n"
