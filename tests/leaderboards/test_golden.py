"""The example board in each format, byte for byte. UPDATE_GOLDEN=1 rewrites the files."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from harness.errors import ConfigError
from leaderboards.flat import settings
from leaderboards.table import render
from leaderboards.view import ALL, View, view
from leaderboards.writers import write
from leaderboards.writers.json import to_bytes

GOLDEN = Path(__file__).parent / "golden"


def parquet_schema(view: View) -> bytes:
    """Names and types, a line each; the bytes of the file are of pyarrow's version."""
    schema = pq.read_schema(io.BytesIO(write(view, "parquet")))
    return "".join(f"{field.name}: {field.type}\n" for field in schema).encode()


def test_golden(example: Path) -> None:
    shown = view(example)
    found = {
        "board.md": write(shown, "markdown"),
        "board-all.md": write(replace(shown, columns=ALL), "markdown"),
        "board.csv": write(shown, "csv"),
        "board.settings.json": to_bytes(settings(shown)),
        "board.json": write(shown, "json"),
        "board.tex": write(shown, "latex"),
        "board.parquet.txt": parquet_schema(shown),
    }
    for name, data in found.items():
        if os.environ.get("UPDATE_GOLDEN"):
            (GOLDEN / name).write_bytes(data)
        assert data == (GOLDEN / name).read_bytes(), name


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
