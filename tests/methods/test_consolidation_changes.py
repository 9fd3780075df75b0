"""Consolidation in a corpus that changes, what it makes the model forget, and codes of tokens."""

from __future__ import annotations

import csv
import json
from collections import defaultdict

import pytest
import torch

from harness import registry
from harness.boards.changing.facts import changed_facts
from harness.boards.changing.subject import subjects_of
from harness.boards.changing.updating import UpdateOptions, evaluate_changes
from harness.cli import main as cli
from harness.data.card import Task
from harness.data.corpus_changes import CorpusChanges
from harness.data.task import load_task
from harness.llm.requests import Reply
from harness.records import Passage
from harness.testing.models import small_task
from methods.consolidation.method import ADAPTER, DOCUMENTS
from methods.parametric_qa.memory.quantise import quantised
from methods.parametric_qa.shared.bundle import Bundle, SelectorConfig
from methods.parametric_qa.shared.initial import document_tokens, salience_of, span_codes
from methods.parametric_qa.shared.parts import SharedParts
from tests.methods.parametric_qa.lab import contents, load_tiny, quiet
from tests.methods.parametric_qa.small_tasks import write_shared, write_task
from tests.methods.test_consolidation import (
    ASKED,
    QUICK,
    answers,
    documents,
    log_of,
    made,
    opened,
    way,
    write,
)
from tests.tiny import save_tiny_adapter

DATA = small_task()
NAME = "parametric-qa-consolidated"


@pytest.fixture(scope="module")
def tiny(completion_model_dir):
    return load_tiny(completion_model_dir)


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_plugins", {})
    folder = write_task(tmp_path / "tasks")
    registry.register("tasks", "small", folder)
    return folder


def test_a_changed_document_is_read_and_the_others_stay_in_the_weights(tiny, tmp_path):
    memory = write(made(log=log_of(tmp_path, ASKED), share=1.0), tiny)
    before, adapter = documents(memory), contents(memory / ADAPTER)
    best = [p.ranked_ids[0] for p in answers(made(), tiny, memory, ASKED)]
    changed, gone, *_ = dict.fromkeys(best)
    passage = DATA.corpus.get(changed)
    new = Passage(changed, passage.title, f"{passage.text} It was sold in 1990.")
    changes = CorpusChanges.of(DATA.corpus, updated=[new], deleted=[gone])
    method = made()
    opened(method, tiny)
    method.load(memory)
    known = method.digests()
    method.revise(changes, (), memory)
    assert documents(memory) == [id_ for id_ in before if id_ not in (changed, gone)] != []
    assert contents(memory / ADAPTER) == adapter
    found = answers(made(), tiny, memory, ASKED, changes.corpus)
    assert any(p.ranked_ids[0] == changed for p in found)
    for prediction in found:
        first = prediction.ranked_ids[0]
        assert first != gone
        assert way(prediction) == ("weights" if first in documents(memory) else "memory")
        assert prediction.read_ids == ([] if way(prediction) == "weights" else [first])
    revised = made()
    opened(revised, tiny, changes.corpus)
    revised.load(memory)
    same = {id_ for id_, digest in revised.digests().items() if digest == known[id_]}
    assert same == set(DATA.corpus.ids) - {changed, gone}
    assert "stays consolidated until it changes" in revised.revision_differs


@pytest.fixture
def stale(tiny, monkeypatch):
    """A model whose LoRA tells what was studied, and that else repeats the memory it reads.

    Which questions the LoRA was asked, by what each scenario answered, is in ``asked``.
    """
    known: dict = {"facts": [], "parts": None, "asked": []}

    def text_of(request) -> str:
        if request.adapters:
            asked = (f for f in known["facts"] if f.question.text in str(request.prompt))
            if (fact := next(asked, None)) is None:
                return "nothing"
            known["asked"].append(fact.question.id)
            return fact.passage.text
        distances = (known["codes"] - torch.cat(request.soft_prompts).flatten()).abs().sum(dim=1)
        assert distances.min() < 1e-3
        return known["passages"][int(distances.argmin())].text

    def generate(requests):
        yield from ((n, Reply(text_of(request), 1, 1)) for n, request in enumerate(requests))

    monkeypatch.setattr(tiny, "generate", generate)
    return known


def test_what_changed_is_never_answered_from_the_weights(tiny, task, stale, tmp_path):
    """In the flow of evaluate-update, with a LoRA that would tell the old fact if it was asked."""
    data = load_task(Task.from_folder(task))
    facts = changed_facts(data.questions, data.corpus, 6, 0, "small")
    shared = write_shared(tiny, tmp_path / "shared", data.corpus)
    parts = Bundle.load(shared).parts
    passages = [*data.corpus, *(fact.changed for fact in facts)]
    with torch.no_grad():
        codes = span_codes(tiny, parts, [document_tokens(tiny, p) for p in passages])
        stale["codes"] = parts.memory(quantised(codes, "int8")).flatten(1)
    stale |= {"passages": passages, "facts": facts}
    log = log_of(tmp_path, [f"{fact.question.text} Please." for fact in facts])
    own = {"shared": str(shared), "max_tokens": 4, "log": log, "share": 1.0, **QUICK}
    methods = ({"name": NAME, "params": own},)
    options = UpdateOptions(task="small", methods=methods, facts=len(facts))
    result = evaluate_changes(data, facts, tiny, subjects_of(options.methods), options, quiet())
    # All facts in the original, and those whose unchanged version is found beside the changed one.
    first = [fact.question.id for fact in facts]
    assert sorted(stale["asked"][:6]) == sorted(first)
    old, new = defaultdict(list), defaultdict(list)
    for record in result.records:
        old[record.scenario].append(record.answered_old)
        new[record.scenario].append(record.answered_new)
    assert old["original"] == [True] * 6 and not any(new["original"])
    assert new["overwritten"] == [True] * 6 and not any(old["overwritten"])
    assert not any(old["deleted"])
    assert len(stale["asked"]) == 6 + sum(old["conflicting"])
    everything = len(data.corpus)
    assert result.identical[NAME]["overwritten"] == everything - 6
    assert {change.how for change in result.changes} == {"written anew", "revised"}


def test_forgetting_is_that_of_the_reader_and_of_the_lora_where_it_is_in_force(
    task, tiny, completion_model_dir, tmp_path, monkeypatch, capsys
):
    shared = write_shared(tiny, tmp_path / "shared")
    save_tiny_adapter(completion_model_dir, shared / "adapter")

    def nats(name, **params):
        out = tmp_path / name.replace(":", "-")
        given = {"shared": shared, **params}
        pairs = [part for key, value in given.items() for part in ("-p", f"{key}={value}")]
        words = [
            "evaluate-forgetting", "--task", "small", "--model", f"path:{completion_model_dir}",
            "--method", name, "--limit", 2, "--passages", 5, "--out", out, *pairs,
        ]  # fmt: skip
        monkeypatch.setattr("sys.argv", ["memory-harness", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code == 0, capsys.readouterr().err
        summary = json.loads((out / "summary.json").read_text())
        assert summary["facts"]["undone_exactly"] == [name]
        with (out / "passages.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 5
        return [float(row["nats_after"]) for row in rows]

    studied = {"share": 0.3, **QUICK, "epochs": 8, "study_rate": 1e-2}
    reader = nats("parametric-qa")
    assert nats(NAME, **studied) == pytest.approx(reader, rel=1e-5)
    always = nats(f"{NAME}:always", **studied)
    assert sum(abs(a - b) > 1e-3 * b for a, b in zip(always, reader, strict=True)) >= 3


def test_codes_may_be_tokens_of_the_text(tiny, tmp_path):
    table = tiny.model.get_input_embeddings().weight.detach().float()
    parts = SharedParts.from_model(tiny, 12, table.shape[1], picks=True)
    parts.salience.copy_(salience_of((document_tokens(tiny, p) for p in DATA.corpus), len(table)))
    parts.telling.copy_(parts.salience)
    Bundle.untrained(parts, SelectorConfig(), table).save(
        tmp_path / "shared", {"prompt_style": tiny.prompt_style}
    )
    params = {"shared": str(tmp_path / "shared"), "slots": None, "z_dim": None,
              "selection": "words+attention", "share": 0.2}  # fmt: skip
    memory = write(made(**params), tiny)
    assert json.loads((memory / DOCUMENTS).read_text())
    found = answers(made(**params), tiny, memory, [*ASKED, *(q.text for q in DATA.train)])
    assert {way(p) for p in found} == {"weights", "memory"}
    assert all((way(p) == "weights") == (p.ranked_ids[0] in documents(memory)) for p in found)
