"""What ``check-task`` counts and what it says to look at."""

from __future__ import annotations

import json
from pathlib import Path

from harness.authors.starting import new_task
from tests.harness.conftest import CommandLine


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_everything_is_counted_and_doubts_are_told(cli: CommandLine, tmp_path: Path) -> None:
    folder = new_task("own", tmp_path)
    questions, train = folder / "sample/questions.jsonl", folder / "sample/train.jsonl"
    asked = rows(questions)
    asked[0]["golden_answers"] = ["Uranus"]
    del asked[1]["metadata"]
    shown = [*rows(train), {**asked[2], "id": "t9"}]
    for path, every in ((questions, [*asked, {**asked[3], "id": "q9"}]), (train, shown)):
        path.write_text("".join(json.dumps(row) + "\n" for row in every))
    done = cli("check-task", folder)
    assert done.code == 0
    assert done.out.splitlines() == [
        "task       own: Own",
        "corpus     7 passages",
        "questions  5, 80% with gold passages (1.75 each), 75% of these hold the answer",
        "train      4, 100% with gold passages (1.25 each), 100% of these hold the answer",
        "look at    train questions are left out: 1, which are also asked, the first "
        f"'t9' ({train}:5)",
        f"look at    questions: 1 ask what an earlier one asks, the first 'q9' ({questions}:5)",
        "look at    no gold passage of 'q1' has the words of its answer",
    ]
    train.unlink()
    assert "train      none: no demonstrations are shown" in cli("check-task", folder).out


def test_what_cannot_be_read_is_told_with_its_line(cli: CommandLine, tmp_path: Path) -> None:
    folder = new_task("own", tmp_path)
    corpus = folder / "sample/corpus.jsonl"
    corpus.write_text(corpus.read_text().replace('"id": "titan"', '"id": "titian"'))
    line = cli.refuses("check-task", folder)
    assert "questions.jsonl:3: 'gold_doc_ids' names 'titan', which is not in" in line
    assert "is not a folder" in cli.refuses("check-task", tmp_path / "gone")
