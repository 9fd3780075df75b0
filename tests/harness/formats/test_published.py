"""Published datasets from their files to a scored run; packed or not, the same task folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness import formats
from harness.data.card import Task
from harness.data.task import load_task
from harness.formats import FORMATS
from harness.formats.importing import import_source
from harness.formats.open import format_class, open_format
from tests.harness.conftest import CommandLine
from tests.harness.formats.published import SOURCES, gz, lines, musique_row, plain, zst
from tests.harness.formats.reading import Read, read

GOLD = {"dpr": "any"}
HOPS = {"beir": None, "hipporag": None, "dpr": "single", "squad": "single"}


def imported(name: str, source: Path, out: Path) -> Path:
    return import_source(name, open_format(name, {}), source, out).folder


def questions_of(found: Read, part: str) -> list[tuple[object, ...]]:
    known = {p.id for p in found.passages}
    return [
        (q.id, q.text, q.golden_answers, tuple(g for g in q.gold_doc_ids if g in known))
        for q in found.asked("train" if part == "train" else "questions")
    ]


@pytest.mark.parametrize("name", SOURCES)
def test_every_format_becomes_a_task_that_is_run(
    tmp_path: Path, cli: CommandLine, name: str
) -> None:
    source = SOURCES[name](tmp_path / "source", plain)
    out, runs = tmp_path / f"my-{name}", tmp_path / "runs"
    done = cli("import", name, source, "--out", out)
    assert done.code == 0, done.err
    found = read(name, source)
    for why, count in found.dropped.items():
        told = [line for line in done.out.splitlines() if why in line]
        assert len(told) == 1 and f" {count:,}" in told[0]
    data = load_task(Task.from_folder(out))
    loaded = {"questions": data.questions, "train": data.train}
    for part, questions in loaded.items():
        assert [(q.id, q.text, q.golden_answers, q.gold_doc_ids) for q in questions] == (
            questions_of(found, part)
        )
    assert {p.id: p.contents for p in data.corpus} == {p.id: p.contents for p in found.passages}
    assert (data.card.gold, data.card.hops) == (GOLD.get(name, "all"), HOPS.get(name, "multi"))
    run = cli("run", "--task", out, "--method", "bm25", "-p", "shots=0", "--out", runs,
              "--latency-queries", 0)  # fmt: skip
    assert run.code == 0, run.err
    rows = [json.loads(line) for file in runs.rglob("scores.jsonl") for line in file.open()]
    # A question names the town whose passage is gold, at least one of two.
    found_at_5 = {row["question_id"]: row["recall@5"] for row in rows}
    assert list(found_at_5) == [q.id for q in data.questions]
    for question in data.questions:
        at_5 = found_at_5[question.id]
        assert at_5 > 0 if question.gold_doc_ids else at_5 is None


@pytest.mark.parametrize("put", [gz, zst])
@pytest.mark.parametrize("name", SOURCES)
def test_packed_files_give_the_same_task_folder(tmp_path: Path, name: str, put) -> None:
    one = imported(name, SOURCES[name](tmp_path / "plain", plain), tmp_path / "one" / "task")
    other = imported(name, SOURCES[name](tmp_path / "packed", put), tmp_path / "other" / "task")
    files = sorted(path.relative_to(one) for path in one.rglob("sample/*"))
    assert [path.name for path in files][:2] == ["corpus.jsonl", "questions.jsonl"]
    for file in files:
        assert (one / file).read_bytes() == (other / file).read_bytes()


@pytest.mark.parametrize("name", ["hotpotqa", "musique"])
def test_the_card_scores_as_that_of_the_shipped_task(tmp_path: Path, name: str) -> None:
    mine = Task.from_folder(imported(name, SOURCES[name](tmp_path / "in", plain), tmp_path / "out"))
    shipped = Task.from_folder(Path(__file__).parents[3] / "tasks" / name)
    assert (mine.card.rules, mine.card.hops) == (shipped.card.rules, shipped.card.hops)
    support = [metric for metric in shipped.card.metrics if metric.startswith(("support", "joint"))]
    assert list(mine.card.metrics) == support


def test_the_readme_names_every_format_and_options_that_it_has() -> None:
    readme = Path(str(formats.__file__)).with_name("README.md").read_text("utf-8")
    rows = [line.split("|") for line in readme.splitlines() if line.startswith("| `")]
    assert {row[1].strip(" `") for row in rows} == set(FORMATS)
    for row in rows:
        options = re.findall(r"`(\w+)`", row[4])
        assert set(options) <= set(format_class(row[1].strip(" `")).Options.model_fields)


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_that_is_not_there_is_named(tmp_path: Path, cli: CommandLine, name: str) -> None:
    error = cli.refuses("import", name, tmp_path / "missing", "--out", tmp_path / "out")
    assert str(tmp_path / "missing") in error
    source = SOURCES[name](tmp_path / "in", plain)
    for option in ("train", "answers", "aliases", "corpus"):
        if option in format_class(name).Options.model_fields:
            given = f"{option}={tmp_path / 'nowhere'}"
            error = cli.refuses("import", name, source, "--out", tmp_path / "out", "-o", given)
            assert f"{tmp_path / 'nowhere'}: file not found" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["musique", "table"])
def test_characters_that_utf8_has_not_are_taken_out_and_counted(tmp_path: Path, name: str) -> None:
    table = {"question": "a?", "answer": "x", "context": "on the Osk", "id": "q"}
    row = musique_row(0) if name == "musique" else table
    source = plain(tmp_path / "rows.jsonl", lines([row]).replace(b"Osk", b"Osk\\ud800"))
    done = import_source(name, open_format(name, {}), source, tmp_path / "out")
    assert list(done.tally.changed) == ["texts that lost NUL characters or unpaired surrogates"]
    data = load_task(Task.from_folder(done.folder))
    assert any("Osk" in passage.text for passage in data.corpus)
    assert data.questions[0].gold_doc_ids


@pytest.mark.parametrize("name", ["beir", "hipporag"])
def test_relevant_documents_may_be_alternatives(tmp_path: Path, name: str) -> None:
    source = SOURCES[name](tmp_path / "source", plain)
    any_ = open_format(name, {"gold": "any"})
    folder = import_source(name, any_, source, tmp_path / "any").folder
    assert Task.from_folder(folder).card.gold == "any"
