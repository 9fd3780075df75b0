"""README's "Your own documents", done as it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.readme import follow


@pytest.mark.model
def test_your_own_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    follow("Your own documents", tmp_path, monkeypatch)
    said = capfd.readouterr().out
    assert "my-task: task 'my-task' with 2 passages, 3 questions" in said
    rows = [line for line in said.splitlines() if line.startswith("| ")]
    assert sum("bm25" in row and "100.0" in row for row in rows) == 1  # its Recall
    assert sum("no-retrieval" in row for row in rows) == 1
