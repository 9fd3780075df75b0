"""The pages on FlashRAG, followed with the real default model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.readme import README, follow

PAGE = README.parent / "methods" / "flashrag" / "README.md"


@pytest.mark.model
def test_the_sections_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("flashrag.pipeline")
    follow("Use from FlashRAG", tmp_path, monkeypatch, limit=1)
    follow("Its indexes", tmp_path, monkeypatch, PAGE, limit=1)
    follow("Its results", tmp_path, monkeypatch, PAGE)
    told = capsys.readouterr().out
    assert "pipeline=IRCOTPipeline" in told
    # What the last block prints: an answer that names who built it, and FlashRAG's scores of it.
    assert "Mara Quint" in told and "'acc': 1" in told
    assert len(list(tmp_path.glob("runs/nq/flashrag/*/scores.json"))) == 1
    assert "standard-rag (k=2, retriever=faiss:nq" in told
    assert "standard-rag (k=2, retriever=bm25s:nq" in told
    assert "\u2020external: fr-naive &#91;llama3-8B-instruct&#93;" in told
