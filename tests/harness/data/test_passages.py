"""Rows that mean the same are the same passage, whatever their spelling."""

from __future__ import annotations

import json

import pytest

from harness.data.corpus import Corpus
from harness.errors import InputError
from harness.records import Passage

SAME = {
    "title and text": (
        Passage("d", "Aaron", "A prophet."),
        [
            {"contents": "Aaron\nA prophet."},
            {"contents": "Aaron\r\nA prophet."},
            {"contents": '"Aaron"\nA prophet.'},
            {"title": "Aaron", "text": "A prophet."},
            {"title": '"Aaron"', "text": "A prophet."},
            {"title": "Aaron", "text": "A prophet.", "contents": None},
            {"contents": "Aaron\nA prophet.", "title": None, "text": None},
        ],
    ),
    "text alone": (
        Passage("d", "", "A prophet."),
        [
            {"contents": "A prophet."},
            {"contents": "\nA prophet."},
            {"contents": "  \nA prophet."},
            {"contents": '""\nA prophet.'},
            {"title": "", "text": "A prophet."},
            {"title": None, "text": "A prophet."},
            {"title": " ", "text": "A prophet."},
            {"text": "A prophet."},
        ],
    ),
    "title alone": (
        Passage("d", "", "Aaron"),
        [
            {"contents": "Aaron"},
            {"contents": "Aaron\n"},
            {"contents": "Aaron\r\n "},
            {"contents": '"Aaron"\n'},
            {"title": "Aaron", "text": ""},
            {"title": "Aaron", "text": None},
            {"title": "Aaron", "text": "  "},
        ],
    ),
    "quotes alone": (
        Passage("d", "", '" "'),
        [{"contents": '" "'}, {"title": '" "', "text": ""}, {"text": '" "'}],
    ),
    "quotes inside a title that a CSV file doubled": (
        Passage("d", '"Heroes" (album)', "By Bowie."),
        [
            {"contents": '"""Heroes"" (album)"\nBy Bowie.'},
            {"contents": '"Heroes" (album)\nBy Bowie.'},
            {"title": '"Heroes" (album)', "text": "By Bowie."},
        ],
    ),
    "a title of two quotations": (
        Passage("d", '"A" and "B"', "Songs."),
        [{"contents": '"A" and "B"\nSongs.'}, {"title": '"A" and "B"', "text": "Songs."}],
    ),
    "a title with another line break inside": (
        Passage("d", "A\u2028B", "C\x85D"),
        [{"contents": "A\u2028B\nC\x85D"}, {"title": "A\u2028B", "text": "C\x85D"}],
    ),
}


def write(path, row):
    path.write_text(json.dumps({"id": "d", **row}) + "\n")
    return path


@pytest.mark.parametrize("name", SAME)
def test_spellings_of_one_passage(tmp_path, name):
    passage, rows = SAME[name]
    memory = Corpus.from_passages([passage])
    assert list(memory) == [passage], "the normal form is its own"
    for row in rows:
        corpus = Corpus.open(write(tmp_path / "c.jsonl", row))
        assert list(corpus) == [corpus[0]] == [passage], row
        assert corpus.fingerprint == memory.fingerprint, row
        assert corpus.text_bytes == memory.text_bytes, row


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"title": "", "text": ""}, "'title' and 'text' are empty; expected at least one visible"),
        ({"title": None, "text": " "}, "'title' and 'text' are empty; expected at least one"),
        ({"contents": ""}, "'contents' is empty; expected at least one visible character"),
        ({"contents": " \n "}, "'contents' is empty; expected at least one visible character"),
        ({"title": "Aaron"}, "'contents' is missing (this row has: id, title); expected"),
        ({"title": "Aaron", "text": 3}, "'text' is a number; put it in quotes"),
    ],
)
def test_a_passage_of_nothing_is_refused_with_its_place(tmp_path, row, problem):
    path = write(tmp_path / "c.jsonl", row)
    with pytest.raises(InputError) as caught:
        Corpus.open(path)
    assert str(caught.value).startswith(f"{path}:1: {problem}")


def test_a_passage_of_nothing_in_memory():
    with pytest.raises(InputError, match="passage 'd' is empty; give it a title or a text"):
        Corpus.from_passages([Passage("d", " ", "")])
    assert Corpus.from_passages([Passage("d", "T", "")])[0] == Passage("d", "", "T")
