"""Footnotes of rows: numbered in the order in which each table is read."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

import pytest

from leaderboards.view import view
from leaderboards.writers import write
from tests.leaderboards.conftest import performance


@pytest.mark.parametrize("format", ["markdown", "latex"])
def test_footnotes_run_1_2_3_in_the_order_of_each_table(runs: Path, write_run, format: str) -> None:
    """Labels are in another order than scores, and tables in another order than each other."""
    methods = {name: {"max_passages": 10, "max_steps": 4} for name in ("ircot", "corag", "rag")}
    for task, order in (("nq", ("rag", "corag", "ircot")), ("hotpotqa", ("corag", "ircot", "rag"))):
        for place, method in enumerate(order):
            cost = performance(0.1 * (1 + place), 40)
            write_run(method, task, params=methods[method], skill=0.3 - place / 10, costs=cost)
        write_run("bm25", task, skill=0.5, costs=performance(0.01, 40))
    for how in ({}, {"sort": "latency"}, {"group": "task"}, {"columns": ["em"], "sort": "method"}):
        text = write(view(runs, **how), format).decode()
        text = re.sub(
            r"\\textsuperscript{(\d)}", lambda found: "\u00b9\u00b2\u00b3"[int(found[1]) - 1], text
        )
        rows = [
            line
            for line in text.splitlines()
            if line.startswith(("| ", r"\textbf")) or " & " in line
        ]
        marks = [
            found.groups()
            for row in rows
            if (found := re.search(r"([a-z]+)\W* ([\u00b9\u00b2\u00b3])", row))
        ]
        notes = re.findall(r"([\u00b9\u00b2\u00b3]) ([a-z]+) \(max", text)
        assert [mark for _, mark in marks] == ["\u00b9", "\u00b2", "\u00b3"] * (len(marks) // 3), (
            how
        )
        assert [mark for mark, _ in notes] == ["\u00b9", "\u00b2", "\u00b3"] * 3, how
        in_tables = [[name for name, _ in marks[n : n + 3]] for n in range(0, len(marks), 3)]
        told = [[name for _, name in notes[n : n + 3]] for n in range(0, 9, 3)]
        # A table of one task has a second grid, of further scores.
        assert [order for order, _ in groupby(in_tables)] == [
            order for order, _ in groupby(told)
        ], how
