"""README's boards are what the commands print, and narrow."""

from __future__ import annotations

from harness.boards.file import read_board
from tests.readme import README
from tests.readme_board import DEMO, STANDING, block, replaced, standing

TEXT = README.read_text(encoding="utf-8")


def test_the_standing_board_is_what_the_command_prints() -> None:
    assert block(STANDING, TEXT) == standing(), "run: python -m tests.readme_board"


def test_the_demo_has_every_method_and_is_narrow() -> None:
    lines = [line for line in block(DEMO, TEXT).splitlines() if line.startswith("|")]
    for method in read_board("quickstart").methods:
        assert any(method.name in line for line in lines), method.name
    assert max(map(len, lines)) <= 120


def test_only_the_blocks_are_replaced() -> None:
    new = replaced(TEXT, {STANDING: "\nx\n", DEMO: "\ny\n"})
    assert (block(STANDING, new), block(DEMO, new)) == ("\nx\n", "\ny\n")
    old = {STANDING: block(STANDING, TEXT), DEMO: block(DEMO, TEXT)}
    assert replaced(new, old) == TEXT
