"""A board that trains or evaluates first, run as a user runs it."""

from __future__ import annotations

import json

import pytest
import yaml

from harness.cli import main as cli


@pytest.mark.slow
def test_a_board_that_only_prepares_writes_its_evaluation_once(
    tmp_path, tiny_model_dir, monkeypatch, capsys
):
    options = {"task": "nq", "model": f"path:{tiny_model_dir}", "passages": 2, "max_tokens": 8}
    options |= {"slots": 2, "settings": {"steps": 1}}
    entry = {"name": "look", "evaluate-write": options}
    content = {"name": "b", "tasks": ["nq"], "methods": [], "prepare": [entry]}
    path, made = tmp_path / "b.yaml", tmp_path / "runs" / "prepared" / "look"
    path.write_text(yaml.safe_dump(content))
    monkeypatch.setattr(
        "sys.argv", ["memory-harness", "run", str(path), "--out", f"{tmp_path}/runs"]
    )
    printed = []
    for _ in range(2):
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code == 0
        printed.append(capsys.readouterr())
    first, second = printed
    assert first.out.strip() == (made / "evaluation.md").read_text().strip()
    assert json.loads((made / "summary.json").read_text())["facts"]["passages"] == 2
    assert "preparing look" in first.err
    assert second.out == "" and "preparing" not in second.err
    # There is no run, so no leaderboard to send the user to.
    assert "next:" not in first.err
