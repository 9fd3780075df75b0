"""A corpus is the same whatever its line ends, is exact about ids, and stays out of memory."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import harness.data.strings
from harness.data.corpus import Corpus
from harness.errors import InputError
from harness.records import Passage
from tests.peak import PEAK_BYTES

WORD = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\n"), min_size=1
).filter(str.strip)
# Others are another spelling of a title (test_passages.py).
TITLE = WORD.filter(lambda title: not title.startswith('"') and not title.endswith("\r"))
PASSAGES = st.lists(
    st.builds(Passage, WORD, TITLE, WORD), min_size=1, max_size=8, unique_by=lambda p: p.id
)
THREE = [Passage("a", "Ä", "one"), Passage("b", "", "two"), Passage("c", "C", "three\nlines")]


def write(path, rows, line_end="\n", **options):
    text = "".join(json.dumps(row, **options) + line_end for row in rows)
    path.write_bytes(text.encode())
    return path


def contents_rows(passages):
    return [{"id": p.id, "contents": p.contents} for p in passages]


@given(PASSAGES)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_corpus_file_reads_back_as_written(tmp_path, passages):
    corpus = Corpus.open(write(tmp_path / "c.jsonl", contents_rows(passages)))
    memory = Corpus.from_passages(passages)
    assert list(corpus) == list(memory) == passages
    assert [corpus[i] for i in range(len(corpus))] == passages
    assert list(corpus.ids) == list(memory.ids) == [p.id for p in passages]
    assert corpus.fingerprint == memory.fingerprint
    assert corpus.text_bytes == memory.text_bytes == sum(len(p.contents.encode()) for p in passages)
    for position, passage in enumerate(passages):
        assert passage.id in corpus
        assert corpus.position(passage.id) == position
        assert corpus.get(passage.id) == passage


def test_the_same_content_has_the_same_fingerprint(tmp_path):
    rows = contents_rows(THREE)
    clean = Corpus.open(write(tmp_path / "clean.jsonl", rows))
    crlf = write(tmp_path / "crlf.jsonl", rows, "\r\n\r\n", ensure_ascii=False)
    crlf.write_bytes(b"\xef\xbb\xbf" + crlf.read_bytes())
    swapped = [{"extra": 1, "contents": row["contents"], "id": row["id"]} for row in rows]
    split = [{"id": p.id, "title": p.title, "text": p.text} for p in THREE]
    for other in (
        Corpus.open(crlf),
        Corpus.open(write(tmp_path / "swapped.jsonl", swapped)),
        Corpus.open(write(tmp_path / "split.jsonl", split)),
    ):
        assert other.fingerprint == clean.fingerprint
        assert [other[i] for i in range(3)] == list(clean) == THREE
        assert other.text_bytes == clean.text_bytes


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_whole_numbers_are_ids_and_a_packed_file_is_the_same_corpus(tmp_path, pack):
    plain = Corpus.open(
        write(tmp_path / "c.jsonl", [{"id": str(i), "contents": f"T {i}\nx"} for i in range(9)])
    )
    numbers = write(tmp_path / "n", [{"id": i, "contents": f"T {i}\nx"} for i in range(9)])
    numbers.write_bytes(pack(numbers.read_bytes()))
    corpus = Corpus.open(numbers)
    assert corpus.fingerprint == plain.fingerprint
    assert list(corpus) == list(plain)
    assert corpus.get("7") == plain.get("7") == Passage("7", "T 7", "x")
    assert 7 not in corpus


def test_a_number_and_its_digits_are_the_same_id(tmp_path):
    path = write(tmp_path / "c.jsonl", [{"id": i, "contents": "T\nx"} for i in ("8", 7, 8)])
    with pytest.raises(InputError, match="c.jsonl:3: 'id' '8' was already used on line 1"):
        Corpus.open(path)


def test_content_and_order_change_the_fingerprint():
    fingerprint = Corpus.from_passages(THREE).fingerprint
    assert Corpus.from_passages(THREE[::-1]).fingerprint != fingerprint
    assert Corpus.from_passages([*THREE[:2], Passage("c", "C", "3")]).fingerprint != fingerprint


def test_contents_of_one_line_are_a_text_without_title(tmp_path):
    corpus = Corpus.open(write(tmp_path / "c.jsonl", [{"id": "x", "contents": "only text"}]))
    assert corpus[0] == Passage("x", "", "only text")


def test_positions_and_ids_behave_like_a_sequence():
    corpus = Corpus.from_passages(THREE)
    assert corpus[-1] == corpus[np.int64(2)] == THREE[2]
    assert corpus.ids[1:] == ["b", "c"]
    assert corpus.ids[-1] == "c"
    for position in (3, -4):
        with pytest.raises(IndexError):
            corpus[position]
    for unknown in ("z", "\ud800"):
        assert unknown not in corpus
        with pytest.raises(KeyError):
            corpus.get(unknown)
    assert 1 not in corpus


def test_equal_hashes_of_different_ids_are_no_duplicates(monkeypatch):
    monkeypatch.setattr(harness.data.strings, "_hash", lambda text: len(text))
    corpus = Corpus.from_passages([Passage(i, "t", i) for i in ("b", "a", "cc", "c")])
    assert [corpus.position(i) for i in ("b", "a", "cc", "c")] == [0, 1, 2, 3]
    assert "d" not in corpus
    with pytest.raises(InputError, match="'a' is used twice"):
        Corpus.from_passages([Passage(i, "t", i) for i in ("b", "a", "c", "a", "b")])


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"contents": "T\nx"}, "2: 'id' is missing (this row has: contents); expected a string"),
        ({"id": 7.0, "contents": "T\nx"}, "2: 'id' is a number; put it in quotes: \"7.0\""),
        ({"id": None, "contents": "T\nx"}, "2: 'id' is null; expected a string"),
        ({"id": True, "contents": "T\nx"}, "2: 'id' is true or false; expected a string"),
        ({"id": " ", "contents": "T\nx"}, "2: 'id' is empty; expected at least one visible"),
        ({"id": "b"}, "2: 'contents' is missing (this row has: id); expected \"Title\\nText\" (or"),
        ({"id": "b", "contents": "\n "}, "2: 'contents' is empty; expected at least one"),
        ({"id": "b", "contents": ["T"]}, "2: 'contents' is a list; expected a string"),
        ({"id": "b", "title": "", "text": ""}, "2: 'title' and 'text' are empty; expected at"),
        ({"id": "b", "title": 3, "text": "x"}, "2: 'title' is a number; put it in quotes"),
        ({"id": "b", "title": "T\nU", "text": "x"}, "2: 'title' has a line break; write it on"),
        ({"id": "a", "contents": "T\nx"}, "2: 'id' 'a' was already used on line 1; give each"),
    ],
)
def test_bad_passages(tmp_path, second, message):
    path = write(tmp_path / "corpus.jsonl", [{"id": "a", "contents": "T\nx"}, second])
    with pytest.raises(InputError) as caught:
        Corpus.open(path)
    assert str(caught.value).startswith(f"{path}:{message}")


def test_empty_corpora(tmp_path):
    (tmp_path / "empty.jsonl").write_bytes(b"\n\n")
    with pytest.raises(InputError, match=r"empty\.jsonl: holds no passages"):
        Corpus.open(tmp_path / "empty.jsonl")
    with pytest.raises(InputError, match="holds no passages"):
        Corpus.from_passages([])
    with pytest.raises(InputError, match="'title' has a line break"):
        Corpus.from_passages([Passage("a", "two\nlines", "x")])


def test_a_file_rewritten_while_in_use_is_reported(tmp_path):
    path = write(tmp_path / "c.jsonl", contents_rows(THREE))
    corpus = Corpus.open(path)
    with path.open("r+b") as file:
        file.write(b"#" * 40)
    with pytest.raises(InputError, match="changed while in use"):
        corpus[0]


def test_a_large_corpus_stays_on_disk(tmp_path):
    path = tmp_path / "large.jsonl"
    text = "word " * 60
    with path.open("w") as file:
        file.writelines(f'{{"id": "{i}", "contents": "T {i}\\n{text}"}}\n' for i in range(50_000))
    # A process of its own: peak memory never goes down, so other tests would hide the growth.
    script = f"""{PEAK_BYTES}
import sys
from harness.data.corpus import Corpus
before = peak_bytes()
corpus = Corpus.open(sys.argv[1])
assert corpus.get("49999").title == "T 49999"
print(len(corpus), corpus.text_bytes, peak_bytes() - before)
"""
    output = subprocess.run(
        [sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True
    ).stdout
    passages, text_bytes, growth = map(int, output.split())
    assert passages == 50_000
    assert text_bytes > 15e6
    assert growth < 8e6
