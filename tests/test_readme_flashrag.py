"""What README says of FlashRAG's indexes and results, followed as written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import readme

pytestmark = pytest.mark.model


def test_its_indexes_and_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, ours = readme.section("Use from FlashRAG").partition("### Its indexes")
    assert ours
    monkeypatch.setattr(readme, "section", lambda heading: ours)
    readme.follow("Use from FlashRAG", tmp_path, monkeypatch)
    table = capsys.readouterr().out
    assert "standard-rag (k=2, retriever=faiss:nq" in table
    assert "standard-rag (k=2, retriever=bm25s:nq" in table
    assert "fr-naive &#91;llama3-8B-instruct&#93; \u2020external" in table
