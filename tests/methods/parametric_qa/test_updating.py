"""What is answered after facts have changed, and what changing one document takes."""

from __future__ import annotations

import csv
import json
from collections import Counter

import pytest
import torch

from harness import registry
from harness.boards.changing.facts import changed_facts
from harness.boards.changing.subject import subjects_of
from harness.boards.changing.update_records import SCENARIOS, fact_records, second_version
from harness.boards.changing.updating import UpdateOptions, changes_of, evaluate_changes
from harness.cli import main as cli
from harness.data.card import Task
from harness.data.task import load_task
from harness.errors import RunFailedError
from harness.llm.requests import Reply
from harness.metrics.statistics import proportion_ci
from harness.records import Passage, Prediction
from methods.parametric_qa.memory.quantise import quantised
from methods.parametric_qa.method import ParametricQA
from methods.parametric_qa.shared.bundle import Bundle
from methods.parametric_qa.shared.initial import document_tokens, span_codes
from methods.parametric_qa.write import writing
from tests.methods.parametric_qa.lab import load_tiny, quiet
from tests.methods.parametric_qa.small_tasks import write_shared, write_task


@pytest.fixture
def llm(tiny_model_dir):
    return load_tiny(tiny_model_dir)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    place = write_task(tmp_path / "tasks")
    registry.register("tasks", "small", place)
    return place


@pytest.fixture
def data(folder):
    return load_task(Task.from_folder(folder))


@pytest.fixture
def facts(data):
    return changed_facts(data.questions, data.corpus, 6, 0, "small")


@pytest.fixture
def shared(llm, data, tmp_path):
    return write_shared(llm, tmp_path / "shared", data.corpus)


@pytest.fixture
def evaluate(data, llm, shared):
    """What becomes of given facts in parametric-qa, with parameters, and other methods."""

    def run(facts, *others, **params):
        own = {"shared": str(shared), "max_tokens": 4, **params}
        methods = (
            {"name": "parametric-qa", "params": own},
            *({"name": name, "params": {"max_tokens": 4}} for name in others),
        )
        options = UpdateOptions(task="small", methods=methods, facts=len(facts))
        return evaluate_changes(data, facts, llm, subjects_of(options.methods), options, quiet())

    return run


@pytest.fixture
def reads_aloud(llm, data, facts, shared, monkeypatch):
    """Answers with the text of the memory before the prompt, or of the passage next to it."""
    parts = Bundle.load(shared).parts
    passages = [*data.corpus, *(fact.changed for fact in facts)]
    with torch.no_grad():
        codes = span_codes(llm, parts, [document_tokens(llm, p) for p in passages])
        known = parts.memory(quantised(codes, "int8")).flatten(1)

    def text_of(request) -> str:
        if request.soft_prompts:
            distances = (known - torch.cat(request.soft_prompts).flatten()).abs().sum(dim=1)
            assert distances.min() < 1e-3
            return passages[int(distances.argmin())].text
        return [x for x in str(request.prompt).splitlines() if x.startswith("Passage: ")][-1]

    def generate(requests):
        yield from ((n, Reply(text_of(request), 1, 1)) for n, request in enumerate(requests))

    monkeypatch.setattr(llm, "generate", generate)
    return llm


def by_scenario(records, method, name):
    found = {}
    for record in records:
        if record.method == method:
            found.setdefault(record.scenario, []).append(getattr(record, name))
    return found


def test_what_is_read_is_what_the_bank_holds_now(facts, reads_aloud, evaluate):
    """The reader repeats what it reads, so every answer tells which version that was."""
    result = evaluate(facts, "bm25")
    for method in ("parametric-qa", "bm25"):
        rows = [record for record in result.records if record.method == method]
        assert Counter(row.scenario for row in rows) == dict.fromkeys(SCENARIOS, 6)
    for record in result.records:
        if record.method == "parametric-qa":
            assert record.answered_old == bool(record.read_old)
            assert record.answered_new == bool(record.read_new)
    for method in ("parametric-qa", "bm25"):
        old, new = (by_scenario(result.records, method, f"answered_{x}") for x in ("old", "new"))
        assert old["original"] == [True] * 6 and not any(new["original"]), method
        assert new["overwritten"] == [True] * 6 and not any(old["overwritten"]), method
        assert not any(old["deleted"]), method
        assert all(a != b for a, b in zip(old["conflicting"], new["conflicting"], strict=True))
        assert all(record.known for record in result.records)
    reads = {name: by_scenario(result.records, "bm25", f"read_{name}") for name in ("old", "new")}
    assert reads["old"]["conflicting"] == reads["new"]["conflicting"] == [True] * 6
    assert reads["old"]["deleted"] == reads["new"]["deleted"] == [None] * 6
    assert reads["old"]["overwritten"] == reads["new"]["original"] == [None] * 6


def test_all_other_codes_are_compared_and_every_change_is_timed(data, facts, evaluate):
    result = evaluate(facts)
    everything = len(data.corpus)
    assert result.identical["parametric-qa"] == {
        "original": everything,
        "overwritten": everything - 6,
        "deleted": everything - 6,
        "conflicting": everything,
    }
    written, *changes = result.changes
    assert (written.operation, written.how, written.documents) == ("write", "written anew", 24)
    assert Counter(change.operation for change in changes) == {"update": 6, "delete": 6, "add": 6}
    assert {(change.how, change.documents) for change in changes} == {("revised", 1)}
    assert {c.document for c in changes if c.operation == "add"} == {
        second_version(fact).id for fact in facts
    }
    code = 8 * (64 + 2)
    for change in changes:
        # The bank's files: a code, its id, and a share of what describes the bank.
        assert change.seconds > 0 and code < change.memory_bytes < code + 150
        # The whole segment of all documents, but for an addition: that is one document's.
        documents = 1 if change.operation == "add" else everything - 6
        assert change.written_bytes > documents * code
    assert max(c.written_bytes for c in changes if c.operation == "add") < 3 * code + 1000
    assert {record.method for record in result.records} == {"parametric-qa"}


def test_a_change_that_touches_another_document_is_a_hard_error(data, facts, evaluate, monkeypatch):
    real = ParametricQA.revise
    victim = next(id_ for id_ in data.corpus.ids if id_ not in {f.passage.id for f in facts})

    def careless(self, changes, train, folder):
        real(self, changes, train, folder)
        self._bank.update([victim], self._codes([Passage(victim, "", "something else")]))

    monkeypatch.setattr(ParametricQA, "revise", careless)
    with pytest.raises(RunFailedError, match=f"memory of document '{victim}' changed"):
        evaluate(facts)


def test_steps_optimise_every_code_that_is_written(data, facts, evaluate, monkeypatch):
    written = Counter()
    real = writing.optimise

    def counting(*args, names, **more):
        written.update(names)
        assert args[4].steps == 1
        return real(*args, names=names, **more)

    monkeypatch.setattr(writing, "optimise", counting)
    evaluate(facts[:2], steps=1)
    again = {fact.passage.id: 2 for fact in facts[:2]}
    added = {second_version(fact).id: 1 for fact in facts[:2]}
    assert written == {**dict.fromkeys(data.corpus.ids, 1), **again, **added}


def test_the_corpus_of_text_changes_likewise(data, facts):
    changed = {fact.passage.id: fact.changed.text for fact in facts}
    texts = {
        scenario: {p.id: p.text for p in changes_of(data.corpus, facts, scenario).corpus}
        for scenario in SCENARIOS
    }
    original = {p.id: p.text for p in data.corpus}
    assert texts["original"] == original
    assert texts["overwritten"] == {**original, **changed}
    assert texts["deleted"] == {k: v for k, v in original.items() if k not in changed}
    assert texts["conflicting"] == {
        **original, **{second_version(fact).id: fact.changed.text for fact in facts}
    }  # fmt: skip


def test_answers_are_judged_normalised_and_known_are_those_right_before(facts):
    fact = facts[0]
    read = [fact.passage.id]
    answers = {
        "original": {fact.question.id: Prediction(f"  The {fact.old.upper()}!", read=read)},
        "overwritten": {fact.question.id: Prediction(f"{fact.new} not {fact.old}", read=read)},
        "deleted": {fact.question.id: Prediction("", error="E: gone")},
        "conflicting": {
            fact.question.id: Prediction("x", [Passage(second_version(fact).id, "", "")])
        },
    }
    records = fact_records("m", [fact], answers)
    found = [(r.answered_old, r.answered_new, r.read_old, r.read_new, r.error) for r in records]
    assert found == [
        (True, False, True, None, ""),
        (True, True, None, True, ""),
        (False, False, None, None, "E: gone"),
        (False, False, False, True, ""),
    ]
    assert all(record.known for record in records)
    wrong = {**answers, "original": answers["conflicting"]}
    assert not any(record.known for record in fact_records("m", [fact], wrong))


@pytest.fixture
def call(tiny_model_dir, llm, data, tmp_path, monkeypatch, capsys):
    """Runs the command on the small task; gives exit status, output, errors."""
    # In the style that a model named by its path is asked in.
    shared = write_shared(llm, tmp_path / "shared", data.corpus, style="chat")

    def run(*arguments: object):
        words = ["evaluate-update", "--task", "small", "--model", f"path:{tiny_model_dir}",
                 "--shared", shared, "--facts", 5, *arguments]  # fmt: skip
        monkeypatch.setattr("sys.argv", ["memory-harness", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code, printed.out, printed.err

    return run


def test_the_tables_agree_with_the_records(call, data, tmp_path):
    code, table, errors = call("--unchanged", 2, "--out", tmp_path / "out")
    assert code == 0, errors
    with (tmp_path / "out" / "facts.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 4 * 5
    lines = [[c.strip() for c in x.split("|")[1:-1]] for x in table.splitlines() if x[:1] == "|"]
    cells = {(line[0], line[1]): line for line in lines if len(line) == 10}
    for (method, scenario), line in cells.items():
        mine = [r for r in rows if (r["method"], r["scenario"]) == (method, scenario)]
        if not mine:
            continue
        for column, name in ((3, "answered_old"), (4, "answered_new")):
            count = sum(row[name] == "True" for row in mine)
            low, high = proportion_ci(count, 5)
            assert line[column] == f"{20 * count:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        assert (line[6] == "—") == (scenario in ("overwritten", "deleted"))
        assert (line[7] == "—") == (scenario in ("original", "deleted"))
    assert len(cells) == 2 + 8  # with the heading and the line below it
    costs = [line[:5] for line in lines if len(line) == 8 and line[1] in ("update", "add")]
    assert costs == [
        ["parametric-qa", "update", "revised", "5", "1"],
        ["parametric-qa", "add", "revised", "5", "1"],
        ["bm25", "update", "index built anew", "1", "5"],
        ["bm25", "add", "index built anew", "1", "5"],
    ]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["identical"]["parametric-qa"]["overwritten"] == len(data.corpus) - 5
    assert data.corpus.fingerprint[:12] in table and "not comparable with published" in table
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["answers", "changes.csv", "facts.csv", "summary.json", "unchanged.csv"]


def test_the_same_seed_gives_the_same_records(call, tmp_path):
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        few = ("--facts", 3, "--unchanged", 1)
        code, _, errors = call("--no-text", "--seed", seed, *few, "--out", tmp_path / name)
        assert code == 0, errors
    one, two, three = ((tmp_path / n / "facts.csv").read_text() for n in ("one", "two", "three"))
    assert one == two != three


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "smal"], "unknown task 'smal'; did you mean 'small'?"),
        (["--facts", 13], "make 12 facts that can be changed, not 13; ask for 12 or fewer"),
        (["--facts", 0], "--facts 0: "),
        (["--steps", 1001], "method 'parametric-qa': parameter 'steps' = 1001: "),
        (["--shared", "smollm2-135m-instruct"], "take that model, or train shared parts for this"),
        (["--shared", "nowhere"], "no shared parts 'nowhere'"),
        (["--model", "openai:x@http://localhost:1/v1"], "and the capability 'soft-prompts'"),
        (["--out", "/proc/none"], "cannot write there"),
        (["-p", "k=2"], "-p k: of which method?"),
        (["--method", "bm25"], "--shared: an option of parametric-qa; give -p NAME=VALUE for bm25"),
        (["--method", "parametric-qa-gold", "--method", "parametric-qa"], "is shown gold"),
    ],
)
def test_what_cannot_be_is_one_line(call, arguments, words):
    code, _, errors = call(*arguments)
    assert code == 2
    assert words in errors.splitlines()[-1] and errors.splitlines()[-1].startswith("error: ")
