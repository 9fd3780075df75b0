"""evaluate-update and evaluate-forgetting of methods that store nothing, retrieve, or remember."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from harness import registry
from harness.boards.changing import forgetting_table, updating_table
from harness.boards.changing.forgetting import AskedTwice, Forgetting, ReadTwice
from harness.boards.changing.material import Material
from harness.boards.changing.subject import every_method
from harness.boards.changing.update_records import Change, FactRecord, KeptRecord, Updating
from harness.boards.task_entry import TaskSource
from harness.errors import InputError
from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.testing.models import RuleModel
from tests.harness.boards.changing.lab import FullNotes, Notes, last_passage
from tests.harness.conftest import CommandLine
from tests.methods.parametric_qa.small_tasks import FOUNDERS, YEARS, write_task

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_plugins", {})
    registry.register("methods", "notes", Notes)
    registry.register("methods", "full-notes", FullNotes)
    return write_task(tmp_path / "tasks")


@pytest.fixture
def evaluate(cli: CommandLine, task, tmp_path):
    cli.model = RuleModel(last_passage, verbose=True)

    def run(command: str, *arguments: object):
        out = tmp_path / command
        done = cli(f"evaluate-{command}", "--task", task, *arguments, "--out", out)
        assert done.code == 0, done
        return done.out, json.loads((out / "summary.json").read_text()), out

    return run


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_kind_of_method_follows_its_corpus(evaluate):
    names = ("no-retrieval", "bm25", "notes")
    options = [part for name in names for part in ("--method", name)]
    table, summary, out = evaluate("update", *options, "--facts", 5, "--unchanged", 6)
    found = {(line["method"], line["scenario"]): line for line in summary["summary"]}
    for name in ("bm25", "notes"):
        assert found[name, "original"]["old"] == found[name, "overwritten"]["new"] == 5
        assert found[name, "overwritten"]["old"] == found[name, "deleted"]["old"] == 0
    assert all(line["old"] == line["new"] == 0 for key, line in found.items() if "no-" in key[0])
    paired = {(line["method"], line["scenario"]): line for line in summary["paired"]}
    for name in ("bm25", "notes"):
        gained = paired[name, "overwritten"]
        assert gained["new_gained"] == gained["new_gained_high"] == 1
        assert gained["stale"] == 0 and gained["same"] == gained["unchanged"] == 6
        assert gained["f1_gained"] == 0
    how = {(line["method"], line["operation"]): line["how"] for line in summary["costs"]}
    assert how["no-retrieval", "update"] == "nothing stored"
    assert how["bm25", "delete"] == "index built anew"
    assert how["notes", "add"] == "written anew"
    assert all(c["documents"] == 5 for c in summary["costs"] if c["operation"] != "write")
    kept = rows(out / "unchanged.csv")
    assert len(kept) == 3 * 4 * 6
    changed = {row["question_id"] for row in rows(out / "facts.csv")}
    assert changed.isdisjoint(row["question_id"] for row in kept)
    assert "| notes" in table and "written anew" in table


def test_a_smaller_corpus_has_what_is_asked_about_and_the_same_facts(evaluate):
    options = ("--method", "bm25", "--facts", 3, "--unchanged", 2)
    _, whole, out = evaluate("update", *options)
    facts = [row["question_id"] for row in rows(out / "facts.csv")]
    _, small, out = evaluate("update", *options, "--documents", 6)
    assert (whole["facts"]["corpus_passages"], small["facts"]["corpus_passages"]) == (24, 6)
    assert [row["question_id"] for row in rows(out / "facts.csv")] == facts
    found = {line["scenario"]: line for line in small["summary"]}
    assert found["original"]["old"] == found["overwritten"]["new"] == 3
    assert len(rows(out / "unchanged.csv")) == 4 * 2


def test_a_corpus_that_cannot_hold_what_is_asked_about_is_refused(task, cli):
    done = cli(
        "evaluate-update", "--task", task, "--method", "bm25", "--facts", 3, "--documents", 2
    )
    assert done.code == 2
    assert "gold documents; ask for" in done.err


def test_a_memory_without_room_forgets_old_documents(evaluate):
    options = [part for name in ("notes", "full-notes", "bm25") for part in ("--method", name)]
    table, summary, out = evaluate("forgetting", *options, "--limit", 4)
    f1 = {
        line["method"]: line for line in summary["summary"] if line["measure"] == "f1 old documents"
    }
    assert f1["notes"]["before"] == f1["notes"]["after"] > 0 == f1["notes"]["difference"]
    assert f1["full-notes"]["after"] == 0 < f1["full-notes"]["before"]
    assert f1["bm25"]["before"] > 0
    assert summary["facts"]["without_weights"] == ["bm25", "full-notes", "notes"]
    assert len(rows(out / "questions.csv")) == 3 * 4
    assert table.count("0 by construction") == 3 + 1


def test_all_are_the_methods_that_the_model_serves():
    here, left_out = every_method(resolve_model(DEFAULT_MODEL))
    assert {"no-retrieval", "bm25", "rome", "memit", "prag"} <= {*here}
    assert "shown gold" in left_out["adaptive-rag-oracle"]
    assert "needs its own checkpoint" in left_out["self-rag"]
    assert {*here} | {*left_out} == {*registry.names("methods")}
    there, lacking = every_method(resolve_model("openai:m@http://localhost:1/v1"))
    assert "bm25" in there and "'weights'" in lacking["rome"]


def test_what_is_divided_is_whole_and_fixed(task):
    data = TaskSource(name=str(task)).load()
    part = Material.of(data, 4, 5)
    asked = {id_ for question in part.data.questions for id_ in question.gold_doc_ids}
    old, added = set(part.data.corpus.ids), {p.id for p in part.added}
    held_out = {p.id for p in part.held_out}
    assert len(part.data.questions) == 4 and asked <= old
    assert len(held_out) == 5 and not held_out & (old | added) and not old & added
    evaluated = {id_ for question in data.questions for id_ in question.gold_doc_ids}
    assert held_out <= evaluated - asked
    assert old | added == set(data.corpus.ids) - (evaluated - asked)
    again = Material.of(data, 4, 5)
    assert again.data.corpus_fingerprint == part.data.corpus_fingerprint
    with pytest.raises(InputError, match="no passage is held out"):
        Material.of(data, 12, 5).check_held_out()
    assert len(FOUNDERS) + len(YEARS) == 12


def test_documents_are_as_many_as_are_asked_for(task, evaluate):
    data = TaskSource(name=str(task)).load()
    part, half = Material.of(data, 4, 5, 6), Material.of(data, 4, 5)
    asked = {id_ for question in part.data.questions for id_ in question.gold_doc_ids}
    old = set(part.data.corpus.ids)
    assert len(old) == 6 and asked <= old <= set(half.data.corpus.ids)
    assert {p.id for p in part.added} <= {p.id for p in half.added} and len(part.added) <= 6
    assert part.held_out == half.held_out and part.data.questions == half.data.questions
    with pytest.raises(InputError, match=r"give --documents 4 or more, or --limit fewer"):
        Material.of(data, 4, 5, 3)
    options = ("--method", "bm25", "--limit", 4, "--documents", 6)
    _, summary, _ = evaluate("forgetting", *options)
    assert list(summary["facts"]["documents"].values()) == [[6, len(part.added)]]


FACTS = {
    "model": "m|x", "methods": {"a": {"k": 5, "shared": None}, "b": {"fast": True}}, "seed": 0,
    "hardware": "1 x CPU", "threads": 1, "date": "2026-01-01", "undone_exactly": ["a"],
}  # fmt: skip


def fact(method, scenario, number, old, new, **read):
    return FactRecord(
        method, scenario, f"q{number}", "Who?", f"d{number}", "old", "new", "an answer", old, new,
        read.get("read_old"), read.get("read_new"), number < 2, "",
    )  # fmt: skip


def kept(method, scenario, number, same, f1):
    return KeptRecord(method, scenario, f"k{number}", "Who?", "x", same, float(f1 == 1), f1, "")


def updating() -> Updating:
    facts = {"task": "toy", "corpus_fingerprint": "ab" * 32, "corpus_passages": 1234, "facts": 4}
    facts |= {"unchanged": 3, "revised_together": ["c", "d"]}
    found = Updating(FACTS | facts, [], [], [], {}, {})
    for method, followed in (("a", 3), ("b", 0)):
        for number in range(4):
            found.records += [
                fact(method, "original", number, number < 2, False, read_old=True),
                fact(method, "overwritten", number, number >= followed, number < followed,
                     read_new=number < 3),
                fact(method, "deleted", number, number == 3, False),
                fact(method, "conflicting", number, True, number == 0, read_old=True,
                     read_new=False),
            ]  # fmt: skip
        for scenario in ("original", "overwritten", "deleted", "conflicting"):
            lost = method == "b" and scenario != "original"
            found.kept += [kept(method, scenario, n, not lost or n > 0, 0.5 * n) for n in range(3)]
        found.opening[method] = {"original": 0.5, "overwritten": 1.25}
    found.identical["a"] = {"original": 1234, "overwritten": 1230}
    found.changes = [
        Change("a", "write", "written anew", 1234, "", 60.0, 528, 700_000),
        *(Change("a", "update", "revised", 1, f"d{n}", 0.1 * n, 528, 600 + n) for n in range(4)),
        Change("b", "update", "index built anew", 4, "", 2.0, 1024, 5_000_000),
    ]
    return found


def test_the_tables_of_updates():
    found = updating()
    check_golden("update.md", updating_table.tables(found, updating_table.summary(found)))


def test_the_table_of_forgetting():
    found = Forgetting(
        FACTS | {"corpora": {"toy": "ab" * 32}, "documents": {"toy": [100, 50]},
                 "without_weights": ["b"]}
    )  # fmt: skip
    for method, measure in (("a", "closed book"), ("a", "old documents"), ("b", "old documents")):
        found.questions += [
            AskedTwice("toy", method, measure, f"q{n}", "?", "x", "y", float(n < 2), float(n < 1),
                       0.25 * n, 0.2 * n, "E: gone" if n == 3 else "")
            for n in range(4)
        ]  # fmt: skip
    found.passages = [ReadTwice("toy", "a", f"p{n}", 10 + n, 20.0, 22.0 + n) for n in range(5)]
    check_golden("forgetting.md", forgetting_table.table(found, forgetting_table.lines(found)))


def check_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    assert path.exists(), f"write {path}:\n{text}"
    assert re.sub(r"[ \t]+", " ", text).strip() == re.sub(r"[ \t]+", " ", path.read_text()).strip()
