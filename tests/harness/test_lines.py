"""What a line is: a line feed ends one, alone or after a carriage return, and nothing else does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
import leaderboards
import methods
from harness.llm.text import cut_after_line, first_line, first_line_ended
from harness.sentences import split_lines

BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
SPLITTERS = {"splitlines", "readlines", "readline"}
# A line of bytes ends at a line feed alone.
NO_DATA = re.compile(r"\b(error|cause)\b|^info\.read_text\(\)$|^binary$")
TEXT = st.text(st.sampled_from("ab .\t" + BREAKS))


@given(TEXT)
def test_lines_joined_again_are_the_text(text):
    lines = split_lines(text)
    assert not any("\n" in line for line in lines)
    joined = "\n".join(lines)
    assert joined in (plain := text.replace("\r\n", "\n"))
    assert plain in (joined, f"{joined}\n")


@given(TEXT)
def test_the_first_line_its_end_and_its_cut_agree(text):
    """A reply is cut, found complete and read by one idea of a line."""
    line, cut = first_line(text), cut_after_line(text)
    assert "\n" not in line
    assert first_line(cut) == line == cut.strip()
    assert first_line_ended(text) == (cut != text)
    assert not first_line_ended(cut)
    assert text.startswith(cut)


@pytest.mark.parametrize("mark", BREAKS.replace("\n", ""))
def test_an_answer_keeps_its_end_after_other_breaks(mark):
    assert first_line(f" \r\n12{mark}July\r\nQuestion: next") == f"12{mark}July"
    assert split_lines(f"a{mark}b\r\nc") == [f"a{mark}b", "c"]


def test_nobody_splits_lines_by_pythons_idea_of_them():
    """Only errors of other libraries and files of the system, which are no data, may be so read."""
    found = []
    for package in (harness, methods, leaderboards):
        for path in Path(package.__file__).parent.rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if not any(f".{splitter}" in text for splitter in SPLITTERS):
                continue
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Attribute) and node.attr in SPLITTERS:
                    of = ast.unparse(node.value)
                    found += [] if NO_DATA.search(of) else [f"{path}:{node.lineno}: {of}"]
    assert found == []
