"""Whatever names, settings and errors of a run hold, it is harmless in every format."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from markdown_it import MarkdownIt

from leaderboards.flat import settings
from leaderboards.view import View, view
from leaderboards.writers import WRITERS, write
from leaderboards.writers.json import to_bytes
from tests.leaderboards.conftest import performance

HOSTILE = {
    "table": "| a|b || \\| `|` \n|---|\n| x |\n# h\n## h2\n- item\n1. one\n```\n",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>&lt;b&gt;<!-- "
    "[x](javascript:alert(1)) ![y](http://z/) <http://z/>",
    "controls": "one\ntwo\r\nthree\u2028four\u2029five\x0bsix\x85seven \x1b[31mred\x1b[0m\x1b]0;t"
    "\x07\x9b2J\x7f\x08 a\x00b \u202eabc\u202d \u2066x\u2069 \u200f\u05d0\u05d1",
    "formula": '=HYPERLINK("http://z/","x")',
    "other formula": "@SUM(1)",
    "fullwidth formula": "\uff1dSUM(1)",
    "formula after a tab": "\t+1+1",
    "minus": "-2+3+cmd|' /C calc'!A0",
    "half characters": "a\ud800b\udfff",
    "tex": r"\input{/etc/passwd} $x$ ^^M % # _ & ~ {} [x] *",
    "brackets first": "[x] \u4e2d\u6587\U0001f600\u00e9e\u0301 \u2014\u00b1\u2020",
    "long": "x=" * 50_000,
}


def hostile_view(runs: Path, write_run: Any, text: str) -> View:
    """A board of runs that have the text wherever their files can have it, and of what it says."""
    # A record with half a character is refused, and the name of a task is one of a folder, too.
    told = text.encode(errors="replace").decode()
    task = told[:40].replace("\0", "0")
    strange: dict[str, Any] = {
        "task_config": {"name": f"{task} task", "split": told, "corpus": told},
        "model_config": {"name": told, "extra": told},
        "hardware": {"summary": told, "device": told},
        "questions": 3,
    }
    costs = performance(0.1, 3)
    costs["memory"]["kind"] = told
    costs["storage"]["parts"] = {told: 5, "text": 7}
    write_run(told, params={told: told, "other": {told: [told]}}, costs=costs, **strange)
    write_run(told, params={told: "y"}, **strange)
    write_run("plain", **strange)
    write_run(told, status="running", **strange)
    shown = view(runs)
    (table,) = shown.board.tables
    rows = tuple(replace(row, failures={text: 2}, external=text) for row in table.rows)
    said = replace(table, rows=rows, title=text, caption=(*table.caption, text), notes=(text,))
    return replace(shown, board=replace(shown.board, tables=(said,), notes=(text,)))


def printable(data: bytes) -> str:
    text = data.decode()
    assert text.replace("\n", "").isprintable()
    return text


def check_markdown(data: bytes, shown: View) -> None:
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(printable(data))
    assert sum(token.type == "tr_open" for token in tokens) % 4 == 0
    assert sum(token.type == "heading_open" for token in tokens) == 4
    inline = {child.type for token in tokens for child in token.children or ()}
    assert inline <= {"text", "text_special", "strong_open", "strong_close"}


def check_csv(data: bytes, shown: View) -> None:
    printable(data)
    lines = list(csv.reader(io.StringIO(data.decode(), newline="")))
    assert len(lines) == 4 and len({len(line) for line in lines}) == 1
    for cell in (cell for line in lines for cell in line):
        assert not re.match(r"[=+@\t\r\uff1d]|-(?![\d.]+$)", cell), cell


def check_latex(data: bytes, shown: View) -> None:
    text = printable(data)
    assert text.isascii()
    body = re.sub(r"(?m)^%.*\n", "", text)
    assert_tex_is_balanced(body)


def check_json(data: bytes, shown: View) -> None:
    content = json.loads(printable(data))
    assert [row["label"] for row in content["tables"][0]["rows"]] == [
        row.label for row in shown.board.tables[0].rows
    ]


def check_parquet(data: bytes, shown: View) -> None:
    table = pq.read_table(io.BytesIO(data))
    assert table.num_rows == 3
    for value in (value for column in table.to_pydict().values() for value in column):
        assert not isinstance(value, str) or value.isprintable()


CHECKS: Mapping[str, Any] = {
    "markdown": check_markdown, "csv": check_csv, "latex": check_latex, "json": check_json,
    "parquet": check_parquet,
}  # fmt: skip
COMMANDS = {
    "begin", "end", "centering", "setlength", "tabcolsep", "caption", "toprule", "midrule",
    "bottomrule", "par", "medskip", "raggedright", "footnotesize", "scriptsize", "textbf",
    "noindent", "dagger",
    "ddagger", "pm", "times", "textbackslash", "textasciicircum", "textasciitilde", "textless",
    "textgreater", "textbar", "char", "ldots", "textsuperscript", "ss", "o", "O", "ae", "AE", "oe",
    "OE", "l", "L", "i",
}  # fmt: skip


def assert_tex_is_balanced(text: str) -> None:
    """Every command is one that a writer uses; braces and environments close; no bare special."""
    assert set(re.findall(r"\\([A-Za-z]+)", text)) <= COMMANDS
    bare = re.sub(r"\\[^A-Za-z]|\\[A-Za-z]+", "", text)
    assert not set(bare) & set('\\#^_%~"<>|')
    depth = 0
    for char in bare:
        depth += (char == "{") - (char == "}")
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}")
    for tabular in re.findall(r"\\begin\{tabular\}\{(l?r*)\}(.*?)\\end\{tabular\}", text, re.S):
        places, lines = tabular
        for line in (line for line in lines.splitlines() if line.endswith(r" \\")):
            assert len(re.findall(r"(?<!\\)&", line)) == len(places) - 1
            assert not line.startswith(("[", "*"))


def test_every_format_is_checked() -> None:
    assert set(CHECKS) == set(WRITERS) - {"html"}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_harmless(runs: Path, write_run, name: str) -> None:
    shown = hostile_view(runs, write_run, HOSTILE[name])
    for columns in ((), ("all",)):
        for format, check in CHECKS.items():
            data = write(replace(shown, columns=columns), format)
            check(data, shown)
            assert format == "json" or len(data) < 100_000
    json.loads(printable(to_bytes(settings(shown))))
