"""Tables that the commands print and write."""

from __future__ import annotations

from harness.report import csv_records, pipe_table


def test_records_of_different_keys_share_one_table() -> None:
    text = csv_records([{"a": 0.1 + 0.2, "b": None}, {"a": "=1+1", "c": "x,\ny"}])
    assert text == 'a,b,c\n0.30000000000000004,,\n\'=1+1,,"x, y"\n'


def test_numbers_stand_at_the_right_as_they_were_written() -> None:
    lines = pipe_table(["name", "n", "method"], [["nq", "1,000", "bm25"]], left=(0, 2)).splitlines()
    assert lines[1] == "|:-------|------:|:---------|"
    assert lines[2] == "| nq     | 1,000 | bm25     |"
