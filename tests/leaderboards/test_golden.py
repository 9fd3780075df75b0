"""The example board in each format, byte for byte. UPDATE_GOLDEN=1 rewrites the files."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

from harness.errors import ConfigError
from leaderboards.table import render

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    ("format", "name"), [("markdown", "board.md"), ("csv", "board.csv"), ("json", "board.json")]
)
def test_golden(example: Path, format, name: str) -> None:
    text = render(example, format)
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(text, encoding="utf-8")
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


def test_output_depends_on_nothing_but_the_files(example: Path, tmp_path: Path) -> None:
    text = render(example, "markdown")
    elsewhere = tmp_path / "copy"
    shutil.copytree(example, elsewhere)
    for path in sorted(elsewhere.rglob("*"), reverse=True):
        os.utime(path, (0, 0))
    assert render(elsewhere, "markdown") == text
    assert render(elsewhere, "json") == render(example, "json")


def test_formats_agree(example: Path) -> None:
    tables = json.loads(render(example, "json"))["tables"]
    rows = [row for table in tables for row in table["rows"]]
    lines = list(csv.DictReader(render(example, "csv").splitlines()))
    assert [line["row"] for line in lines] == [row["label"] for row in rows]
    for line, row in zip(lines, rows, strict=True):
        assert float(line["f1"]) == row["f1"]["mean"]
        assert [float(line["em_low"]), float(line["em_high"])] == row["em"]["interval"]
        assert line["f1_p_value"] == ("" if row["p_value"] is None else str(row["p_value"]))


def test_unknown_format(example: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'markdown'"):
        render(example, "markdwn")
