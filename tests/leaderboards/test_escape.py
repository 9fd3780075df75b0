"""Names from outside cannot break a table or run in a spreadsheet."""

from __future__ import annotations

import csv
import html
import json
import shutil
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from harness.escape import csv_text, markdown_text, one_line
from leaderboards.table import render

NASTY = st.text(
    alphabet=st.sampled_from("|\\`<>[]()*_~$#&;!=+-@:.1aé\n\r\t \x00\x1b\u2028\u202e\uff1d"),
    max_size=25,
)
TEXTS = st.one_of(NASTY, st.text(max_size=25))
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def plain(tokens: list[Any]) -> str:
    """Text that a reader sees; any markup but bold would be a breach."""
    assert {token.type for token in tokens} <= {
        "text",
        "text_special",
        "strong_open",
        "strong_close",
    }
    return "".join(token.content for token in tokens)


@given(TEXTS)
@settings(deadline=None)
def test_markdown_shows_the_text_itself(text: str) -> None:
    escaped = markdown_text(text)
    assert html.unescape(escaped) == one_line(text)
    assert not set(escaped) & set("|\\`<>[]\n\r")
    shown = one_line(text).split()
    for line, words in (
        (f"- {escaped}", shown),
        (f"## x {escaped}", ["x", *shown]),
        (f"- **{escaped}**" if escaped else "", shown),
    ):
        inline = [token for token in PARSER.parse(line) if token.type == "inline"]
        assert "".join(plain(token.children or []) for token in inline).split() == words


@given(st.lists(TEXTS, min_size=2, max_size=2))
@settings(deadline=None)
def test_a_table_keeps_its_cells(texts: list[str]) -> None:
    cells = " | ".join(map(markdown_text, texts))
    tokens = PARSER.parse(f"| a | b |\n|---|---|\n| {cells} |\n\nafter")
    found = [token for token in tokens if token.type == "inline"]
    assert [plain(token.children or []) for token in found] == [
        "a", "b", *(one_line(text) for text in texts), "after"
    ]  # fmt: skip


@given(TEXTS)
def test_csv_cells_are_no_formulas(text: str) -> None:
    cell = csv_text(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))
    assert cell.removeprefix("'") == one_line(text).removeprefix("'")


def test_ordinary_names_stay_readable() -> None:
    assert markdown_text("bm25 (top_k=10, b=0.75)") == "bm25 (top_k=10, b=0.75)"
    assert markdown_text("a|b") == "a&#124;b"
    assert markdown_text("_x_ #1") == "&#95;x&#95; &#35;1"
    assert one_line("a\n b\x00\u202ec\t") == "a b c"
    assert csv_text("=SUM(A1)") == "'=SUM(A1)"


@given(name=TEXTS, value=TEXTS)
@settings(
    deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_whole_board_survives_any_name(runs, write_run, name: str, value: str) -> None:
    shutil.rmtree(runs)
    strange: dict[str, Any] = {
        "task_config": {"name": name, "split": value},
        "model_config": {"name": value, "extra": name},
        "hardware": {"summary": value, "device": name},
        "questions": 3,
    }
    write_run(name, params={value: name}, **strange)
    write_run("other", **strange)
    write_run(value, status="running", **strange)
    tokens = PARSER.parse(render(runs))
    assert sum(token.type == "table_open" for token in tokens) == 2
    assert sum(token.type == "tr_open" for token in tokens) == 2 * 3
    assert sum(token.type == "heading_open" for token in tokens) == 3
    for token in tokens:
        plain(token.children or [])
    lines = list(csv.reader(render(runs, "csv").splitlines()))
    assert len(lines) == 3 and len({len(line) for line in lines}) == 1
    assert not [cell for line in lines for cell in line if cell.startswith(("=", "@", "+"))]
    assert json.loads(render(runs, "json"))["tables"][0]["model"] == value


@pytest.mark.parametrize("text", ["www.example.com", "https://example.com"])
def test_addresses_are_left_as_text(text: str) -> None:
    assert markdown_text(text) == text
