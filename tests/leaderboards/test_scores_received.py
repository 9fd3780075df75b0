"""Scores of a run that somebody sent: what would bring pyarrow's reader down is refused before."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import InputError
from leaderboards.collect import collect
from tests.leaderboards.conftest import WriteRun, stamp_scores

GOOD = '{"question_id": "q0", "em": 1.0, "f1": 1.0, "contains": 1.0, "error": false}'
LINES = {
    "null": "null",
    "deep lists": f'{GOOD[:-1]}, "x": {"[" * 100_000}1{"]" * 100_000}}}',
    "an object": GOOD.replace("false", '{"a": 1}'),
    "a list": f"[{GOOD}]",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_line_of_scores_that_is_no_flat_object_is_refused(
    write_run: WriteRun, runs: Path, line: str
) -> None:
    folder = write_run("bm25", questions=2)
    path = folder / "scores.jsonl"
    path.write_text("\n".join([line, *path.read_text().splitlines()[1:], ""]))
    stamp_scores(folder)
    with pytest.raises(InputError, match=r"scores\.jsonl:1: need question_id and scores"):
        collect(runs)


def test_braces_and_brackets_in_an_id_are_no_lists(write_run: WriteRun, runs: Path) -> None:
    id_ = 'q[{"0"}]'
    lines = [{"question_id": id_, "em": 1.0, "f1": 1.0, "contains": 1.0, "error": False}]
    write_run("bm25", questions=1, lines=lines)
    assert collect(runs).runs[0].question_ids == (id_,)
