"""The command ``index``: what a run then finds in the cache, once for each corpus and setting."""

from __future__ import annotations

import json
import re
from pathlib import Path
from zipfile import ZipFile

import pytest

from harness.data.corpus import Corpus
from harness.retrieval import bm25_building
from harness.retrieval.bm25 import BM25Retriever
from harness.retrieval.terms import BM25Settings
from tests.harness.conftest import CommandLine
from tests.harness.lab import write_task


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path / "cache"))
    return write_task(tmp_path) / "corpus.jsonl"


def test_an_index_is_built_once_and_a_run_finds_it(
    cli: CommandLine, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = cli("index", str(corpus))
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    opened = Corpus.open(corpus)
    assert lines[0].startswith(f"corpus     {corpus}: 30 passages, 0.0 MB of text")
    size = BM25Retriever(opened).storage()["sparse index"]
    assert lines[1] == f"index      bm25: sparse index {size:,} bytes"
    assert re.fullmatch(r"built      in \d+\.\d s", lines[2])
    assert re.fullmatch(r"memory     [\d,]+ MB at most, with all processes", lines[3])
    assert lines[4].startswith("self-test  passed")
    monkeypatch.setattr(bm25_building, "invert", None)
    again = cli("index", str(corpus))
    assert "built      it is there already; building took" in again.out
    # As the method bm25 asks for it.
    built = BM25Retriever.open(opened, {"k1": 1.2, "b": 0.75}).built
    assert built is not None and built.cached


def test_settings_make_an_index_of_their_own(cli: CommandLine, corpus: Path) -> None:
    assert cli("index", str(corpus), "-p", "k1=0.9").code == 0
    opened = Corpus.open(corpus)
    built = BM25Retriever(opened, BM25Settings(k1=0.9)).built
    assert built is not None and built.cached
    wrong = cli("index", str(corpus), "-p", "k2=1")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "settings of bm25: k2" in wrong.err


def test_a_packed_corpus_is_unpacked_and_indexed(cli: CommandLine, corpus: Path) -> None:
    archive = corpus.with_name("wiki.zip")
    with ZipFile(archive, "w") as file:
        file.write(corpus, "wiki18_100w.jsonl")
    done = cli("index", str(archive))
    assert done.code == 0, done.err
    assert f"{archive}: unpacking, MB" in done.err
    built = BM25Retriever(Corpus.open(corpus)).built
    assert built is not None and built.cached


def test_a_task_is_indexed_by_its_name(cli: CommandLine, corpus: Path) -> None:
    done = cli("index", "nq")
    assert done.code == 0, done.err
    assert done.out.startswith("corpus     nq: ")
    assert cli("index", "no-such-task").err.startswith("error: ")
    both = cli("index", str(corpus), "--split", "dev")
    assert both.err.startswith(f"error: {corpus}: is a corpus file; leave out --split")


def test_a_mistake_in_the_corpus_is_one_line(cli: CommandLine, corpus: Path) -> None:
    corpus.write_text(corpus.read_text() + json.dumps({"id": "d0", "contents": "x"}) + "\n")
    done = cli("index", str(corpus))
    assert done.code == 2
    last = done.err.splitlines()[-1]
    assert last.startswith(f"error: {corpus}:31: 'id' 'd0' was already used on line 1")
