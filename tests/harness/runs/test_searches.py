"""Runs whose searches find nothing: the console says so, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.boards.method_entry import load_method, parse_params
from harness.files import read_json
from harness.retrieval.open import retriever_config
from harness.runs.directory import find_runs
from tests.harness.conftest import CommandLine
from tests.harness.lab import write_lines, write_task
from tests.harness.retrieval.test_terms import SPACELESS

FILES = [f"--{kind}={kind}.jsonl" for kind in ("questions", "corpus", "train")]


@pytest.fixture
def run(cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run bm25 over the files in the working folder, with these parameters."""
    monkeypatch.chdir(tmp_path)

    def call(*params: str, method: str = "bm25"):
        given = [f"-p{param}" for param in ("shots=0", *params)]
        return cli("run", "--method", method, "--task", "own", *FILES, *given, "--out", "runs")

    return call


def write_chinese(folder: Path) -> None:
    first, second, question = SPACELESS["zh"]
    texts = {"a": first, "b": second}
    write_lines(folder / "corpus.jsonl", [{"id": i, "contents": t} for i, t in texts.items()])
    row = {"question": question, "golden_answers": [second[:2]]}
    gold = {"metadata": {"gold_doc_ids": ["b"]}}
    write_lines(folder / "questions.jsonl", [{"id": "q", **row, **gold}])
    write_lines(folder / "train.jsonl", [{"id": "t", **row, "question": first}])


def test_a_language_without_spaces_is_named(run, tmp_path: Path, cli: CommandLine) -> None:
    write_chinese(tmp_path)
    done = run()
    assert done.code == 0, done.err
    said = " ".join(done.err.split())
    assert "warning: own / bm25: searches found nothing for 1 of 1 questions" in said
    assert "give their language: -p language=zh" in said
    found = run("language=zh")
    assert found.code == 0, found.err
    assert "warning" not in found.err
    board = cli("leaderboard", "runs", "--columns", "f1,retrieved").out
    lines = [line for line in board.splitlines() if line.startswith("| ")]
    place = [cell.strip() for cell in lines[0].split("|")].index("Retrieved")
    shown = {
        line.split("|")[1].strip(" *¹²"): line.split("|")[place].strip() for line in lines[-2:]
    }
    assert {label.split(" (")[0] for label in shown} == {"bm25"}
    assert sorted(shown.values()) == ["0.0", "100.0"]


def test_no_shared_word_is_told_without_a_guess(run, tmp_path: Path) -> None:
    write_task(tmp_path, 4)
    rows = [{"id": f"x{i}", "contents": f"Rue {i}\nAucun rapport"} for i in range(3)]
    write_lines(tmp_path / "corpus.jsonl", rows)
    for name in ("questions", "train"):
        path = tmp_path / f"{name}.jsonl"
        path.write_text(path.read_text().replace("gold_doc_ids", "others"))
    said = " ".join(run().err.split())
    assert "nothing for 4 of 4 questions: no passage shares a word with them" in said


def test_searches_that_find_something_say_nothing(run, tmp_path: Path) -> None:
    write_task(tmp_path, 4)
    done = run()
    assert done.code == 0 and "warning" not in done.err


def test_ids_of_runs_over_ascii_text_stay_and_others_change(run, tmp_path: Path) -> None:
    write_task(tmp_path, 4)
    run()
    run("language=en", "short_terms=false")
    (folder,) = find_runs(tmp_path / "runs")
    config = read_json(folder / "manifest.json")["config"]
    assert "revision" not in config["retriever"]
    assert not {"language", "fold_accents", "short_terms"} & config["method"]["params"].keys()
    path = tmp_path / "corpus.jsonl"
    path.write_text(path.read_text().replace("Person 5", "Pers\u00f6n 5"), encoding="utf-8")
    run()
    run("fold_accents=true")
    configs = [read_json(f / "manifest.json")["config"] for f in find_runs(tmp_path / "runs")]
    assert sorted(c["retriever"].get("revision", 1) for c in configs) == [1, 2, 2]
    assert sum(c["method"]["params"].get("fold_accents", False) for c in configs) == 1


@pytest.mark.parametrize("method", ["ircot", "corag-prompted", "self-rag-prompted"])
def test_terms_are_parameters_of_every_method_that_may_search_by_words(
    method: str, run, tmp_path: Path
) -> None:
    write_task(tmp_path, 2)
    refused = run("language=de", "retriever=all-minilm-l6-v2", method=method)
    assert refused.code != 0
    assert "language: for the retriever 'bm25' only" in " ".join(refused.err.split())


@pytest.mark.parametrize(
    "method",
    ["bm25", "ircot", "corag-prompted", "self-rag-prompted", "adaptive-rag-oracle", "self-rag"],
)
def test_terms_reach_the_index_of_every_method(method: str) -> None:
    cls = load_method(method)
    where = {} if method == "bm25" else {"retriever": "bm25"}
    opened = cls(parse_params(cls, method, {**where, "language": "de", "short_terms": True}))
    settings = opened.retriever_settings
    assert {name: settings[name] for name in ("language", "short_terms")} == {
        "language": "de",
        "short_terms": True,
    }
    plain = cls(parse_params(cls, method, where))
    assert not {"language", "short_terms", "fold_accents"} & plain.retriever_settings.keys()
    assert retriever_config("bm25", settings)["stemmer"] == "german"
