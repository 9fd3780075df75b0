"""The card of a task: what it may say, and errors that name the key and the fix."""

from __future__ import annotations

import pytest

from harness.data.card import Task
from harness.errors import InputError

CARD = """
name: toy
title: Toy
hub:
  repo: someone/datasets
  folder: toyqa
  splits: {train: train.jsonl, dev: dev.jsonl}
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CARD + "licens: MIT", "unknown key 'licens'; did you mean 'licence'?"),
        (CARD + "  brnch: main", "unknown key 'hub.brnch'"),
        (
            CARD + "citations: [{key: a, txt: b}]",
            "unknown key 'citations.0.txt'; did you mean 'text'",
        ),
        (CARD + "citations: [{key: a}]", "'citations.0.text': Field required; correct the card"),
        (CARD + "citations: [{key: a, text: b, txt: c}]", "unknown key 'citations.0.txt'; did you"),
        (CARD + "version: 0", "'version': Input should be greater than or equal to 1"),
        (
            CARD + "metrics: [em, rouge]",
            "'metrics': unknown metric 'rouge'; did you mean 'rouge_l'",
        ),
        (
            CARD + "metrics: [recall@7]",
            "'metrics': unknown metric 'recall@7'; did you mean 'recall",
        ),
        ("title: x", "'name': Field required; correct the card"),
        ("name: a/b\ntitle: x", "task name 'a/b' cannot become a folder"),
        ("- x", "is not a mapping; expected keys such as 'name' and 'title'"),
        ("a: [", "not valid YAML"),
    ],
)
def test_bad_cards(tmp_path, text, message):
    (tmp_path / "task.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        Task.from_folder(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_card(tmp_path):
    with pytest.raises(InputError, match=r"task\.yaml: cannot be read"):
        Task.from_folder(tmp_path)
