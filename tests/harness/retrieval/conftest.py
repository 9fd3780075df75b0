from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.data.corpus import Corpus
from harness.records import Question
from tests.harness.retrieval.helpers import SAMPLES, read_questions


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test gets an empty cache of its own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(folder))
    return folder


@pytest.fixture
def indexes(
    cache: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BM25 indexes of shipped corpora are built by the first test and opened by the others."""
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path_factory.getbasetemp() / "indexes"))


@pytest.fixture(scope="session")
def sample() -> Callable[[str], tuple[Corpus, list[Question]]]:
    """The shipped corpus and dev questions of a task."""
    return lambda task: (
        Corpus.open(SAMPLES / task / "sample" / "corpus.jsonl"),
        read_questions(task),
    )
