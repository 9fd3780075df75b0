"""What cannot be is one line that says what, where and how to mend it; earlier memories stay."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.boards.method_entry import parse_params
from harness.cli import main as cli
from harness.data.corpus import Corpus
from harness.data.demonstrations import QAPrompts
from harness.errors import HarnessError, InputError
from harness.records import Passage
from methods.parametric_qa.memory.bank import MemoryBank
from methods.parametric_qa.method import ParametricQA
from methods.parametric_qa.shared.encoder import Encoder
from methods.parametric_qa.train import training
from tests.harness.programs import open_with, remember
from tests.methods.parametric_qa.lab import (
    NAMES,
    TEXTS,
    contents,
    little_space,
    load_tiny,
    make_parts,
    one_line,
)
from tests.methods.parametric_qa.test_bank import config
from tests.tiny import build_tiny_model

PASSAGES = tuple(Passage(name, "", text) for name, text in zip(NAMES, TEXTS, strict=True))


class Lab:
    """Runs of parametric-qa on a task of files, by the command line."""

    def __init__(self, folder: Path, capsys, monkeypatch) -> None:
        self.folder, self.capsys, self.monkeypatch = folder, capsys, monkeypatch
        self.passages = [{"id": p.id, "contents": f"\n{p.text}"} for p in PASSAGES]
        self.model = ""

    def run(self, *arguments: object, limit: int = 1) -> tuple[int, str]:
        """Exit status, and the last line that was printed to stderr."""
        ask = {"question": "Who wrote Hamlet?", "golden_answers": ["Shakespeare"]}
        rows = {
            "questions": [{"id": f"q{n}", **ask} for n in range(3)],
            "corpus": self.passages,
            "train": [],
        }
        words = ["run", "--method", "parametric-qa", "--task", "toy", "--out", self.folder / "runs"]
        for kind, values in rows.items():
            path = self.folder / f"{kind}.jsonl"
            path.write_text("".join(json.dumps(value) + "\n" for value in values))
            words += [f"--{kind}", path] if values else []
        words += ["--model", f"path:{self.model}", "--limit", limit, "--latency-queries", 0]
        words += ["-p", "max_tokens=2", *arguments]
        self.monkeypatch.setattr("sys.argv", ["memory-harness", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        lines = self.capsys.readouterr().err.splitlines()
        return int(stopped.value.code or 0), lines[-1] if lines else ""

    def memory(self) -> Path:
        """The folder of the one memory that was written last."""
        folders = (self.folder / "runs").glob("toy/.memory/*/memory")
        return max(folders, key=lambda path: path.stat().st_mtime_ns)


UNTRAINED = ("-p", "shared=null", "-p", "slots=4", "-p", "z_dim=64")


@pytest.fixture
def lab(tmp_path, tiny_model_dir, capsys, monkeypatch) -> Lab:
    made = Lab(tmp_path, capsys, monkeypatch)
    made.model = tiny_model_dir
    return made


def test_a_memory_of_another_model_or_corpus_is_refused(lab, tmp_path):
    assert lab.run(*UNTRAINED)[0] == 0
    first = lab.memory()
    before = contents(first)
    lab.passages[0]["contents"] += " Or so they say."
    assert lab.run(*UNTRAINED)[0] == 0
    second = lab.memory()
    assert second != first and contents(first) == before
    shutil.rmtree(second)
    shutil.copytree(first, second)
    code, line = lab.run(*UNTRAINED, limit=2)
    assert code == 2
    assert line.startswith(f"error: {second / 'bank'}: the bank holds the documents of another")
    assert line.endswith("write it again or choose the corpus it was written from")
    lab.model = build_tiny_model(tmp_path / "other", seed=1)
    assert lab.run(*UNTRAINED)[0] == 0
    third = lab.memory()
    shutil.rmtree(third)
    shutil.copytree(second, third)
    code, line = lab.run(*UNTRAINED, limit=2)
    assert code == 2
    assert "the shared parts are for" in line
    assert line.endswith("train shared parts for this one: memory-harness train")
    assert contents(first) == before


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        (" \n ", [], "'contents' is empty"),
        ("\n" + "Paris " * 3000, ["-p", "steps=1"], "document 'new' has 3"),
        ("\nRome.", ["-p", "steps=2", "-p", "learning_rate=1e30"], "its loss became nan at step"),
        ("\nRome.", ["-p", "init=encoder"], "or take init spans"),
    ],
    ids=["empty", "long", "nan", "no-encoder"],
)
def test_what_cannot_be_written_leaves_earlier_memories(lab, text, arguments, words):
    assert lab.run(*UNTRAINED)[0] == 0
    first = lab.memory()
    before = contents(first)
    lab.passages.append({"id": "new", "contents": text})
    code, line = lab.run(*UNTRAINED, *arguments)
    assert code == 2
    assert line.startswith("error: ") and words in line
    assert contents(first) == before


def test_no_space_for_a_memory_is_one_line_and_it_is_written_once_there_is(lab):
    # Selection reads back what is written, so the bank itself is larger than all else.
    arguments = ("-p", "shared=null", "-p", "slots=64", "-p", "z_dim=64")
    with little_space(12_000):
        code, line = lab.run(*arguments)
    assert code == 2
    assert line.startswith("error: ") and "cannot write there (File too large); free space" in line
    assert lab.run(*arguments)[0] == 0
    assert len(MemoryBank.open(lab.memory() / "bank")) == len(PASSAGES)


@pytest.mark.parametrize("change", ["add", "update", "delete"])
def test_a_full_disk_leaves_every_bit_of_a_bank(tmp_path, change):
    shape = {"slots": 8, "z_dim": 64}
    bank = MemoryBank.create(tmp_path / "bank", config(**shape))
    ids = [f"document {n}" for n in range(40)]
    codes = torch.randn(40, 8, 64, generator=torch.Generator().manual_seed(0))
    bank.add(ids, codes)
    before, raw = contents(bank.folder), [bank.raw(id_) for id_ in ids]
    changes = {
        "add": lambda: bank.add([f"more {n}" for n in range(40)], codes),
        "update": lambda: bank.update(ids[:1], -codes[:1]),
        "delete": lambda: bank.delete(ids[:1]),
    }
    with little_space(20_000), pytest.raises(InputError) as caught:
        changes[change]()
    assert "cannot write there (File too large); free space" in one_line(caught.value)
    assert contents(bank.folder) == before
    for reader in (bank, MemoryBank.open(bank.folder)):
        assert [reader.raw(id_) for id_ in reader.ids] == raw
    changes[change]()
    assert contents(bank.folder) != before


def test_a_full_disk_while_a_memory_is_written(tiny_model_dir, tmp_path):
    method = written(tiny_model_dir)
    full, folder = tmp_path / "full", tmp_path / "memory"
    for each in (full, folder):
        each.mkdir()
    with little_space(1_000), pytest.raises(InputError) as caught:
        method.write(method.retriever.corpus, [], full)
    assert one_line(caught.value).startswith(f"{full / 'bank'}")
    assert "cannot write there" in one_line(caught.value)
    remember(method, method.retriever.corpus, folder=folder)


def written(tiny_model_dir, passages=PASSAGES, folder=None, **changes) -> ParametricQA:
    values = {"shared": None, "slots": 4, "z_dim": 64, "max_tokens": 2, **changes}
    method = ParametricQA(parse_params(ParametricQA, "parametric-qa", values))
    corpus = Corpus.from_passages(list(passages))
    open_with(method, load_tiny(tiny_model_dir), None, corpus, prompts=QAPrompts(), seed=0)
    remember(method, corpus, folder=folder)
    return method


def test_a_moved_bank_is_refused_by_a_method_on_another_corpus(tiny_model_dir, tmp_path):
    method = written(tiny_model_dir, folder=tmp_path)
    other = written(tiny_model_dir, PASSAGES[:3])
    with pytest.raises(HarnessError, match="the documents of another corpus"):
        other.load(tmp_path)
    assert other._bank.ids == NAMES[:3]
    method.load(tmp_path)


@pytest.mark.parametrize(
    ("passage", "changes", "words"),
    [
        (Passage("void", "", " \n"), {}, "passage 'void' is empty"),
        (Passage("long", "", "Paris " * 3000), {"steps": 1}, "'long' has 3"),
        (Passage("long", "", "Paris " * 3000), {"encoder": True}, "'long' and 4 memory tokens"),
    ],
    ids=["empty", "long", "long-encoder"],
)
def test_a_document_that_cannot_be_written_is_named(
    tiny_model_dir, tmp_path, passage, changes, words
):
    if changes.pop("encoder", False):
        llm = load_tiny(tiny_model_dir)
        parts = make_parts(llm)
        bundle = training.Bundle.untrained(parts, training.Recipe.model_fields["selector"].default)
        replace(bundle, encoder=Encoder.from_model(llm, parts)).save(tmp_path)
        changes = {"shared": str(tmp_path), "slots": None, "z_dim": None}
    with pytest.raises(InputError) as caught:
        written(tiny_model_dir, [*PASSAGES, passage], **changes)
    assert words in one_line(caught.value)
