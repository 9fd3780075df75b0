from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sentences import sentence_ends, split_sentences


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("He lives in Rome. It is old.", "He lives in Rome."),
        ("He lives in the U.S. with his wife. She works.", "He lives in the U.S. with his wife."),
        ("He moved to the U.S. He likes it.", "He moved to the U.S."),
        ("The U.S. Navy built it. It sank.", "The U.S. Navy built it."),
        ("J. K. Rowling wrote it. It sold well.", "J. K. Rowling wrote it."),
        ("George W. A. Smith was born. He died.", "George W. A. Smith was born."),
        ("Dr. Smith met Mr. Jones. They spoke.", "Dr. Smith met Mr. Jones."),
        ("It is No. 5 on the list. It fell.", "It is No. 5 on the list."),
        ("No. It is not.", "No."),
        ("It weighs 3.5 kg. It is red.", "It weighs 3.5 kg."),
        ("St. Louis is a city. It is large.", "St. Louis is a city."),
        ("She lives on Main St. The house is red.", "She lives on Main St."),
        ('He said "Stop." Then he left.', 'He said "Stop."'),
        ("He sang (badly.) Then he left.", "He sang (badly.)"),
        ("Wait... there is more. Good.", "Wait... there is more."),
        ("It ended... Then it began.", "It ended..."),
        ("It rose at 5 p.m. and set. Night fell.", "It rose at 5 p.m. and set."),
        ("Acme Inc. was sold. It closed.", "Acme Inc. was sold."),
        ("1. Paris is in France. 2. Rome is not.", "1. Paris is in France."),
        ("It opened on Jan. 5, 1990. It closed.", "It opened on Jan. 5, 1990."),
        ("Really? Yes.", "Really?"),
        ("World War I. The end.", "World War I."),
        ("no full stop at all", "no full stop at all"),
        ("one line\nanother line", "one line"),
        ("\u6771\u4eac\u3067\u3059\u3002\u306f\u3044\u3002", "\u6771\u4eac\u3067\u3059\u3002"),
        ("", ""),
        (" \n\t ", ""),
        ("...", "..."),
    ],
)
def test_a_sentence_ends_where_a_reader_would_end_it(text, first):
    assert next(iter(split_sentences(text)), "") == first


@given(st.text())
def test_splitting_loses_nothing_but_white_space(text):
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


@given(st.text())
def test_ends_tell_where_the_sentences_are(text):
    ends = sentence_ends(text)
    starts = [0, *ends]
    parts = [text[a:b].strip() for a, b in zip(starts, ends, strict=False)]
    assert parts == split_sentences(text)


def test_a_repeated_sentence_ends_twice():
    assert sentence_ends("Yes. Yes.\nYes") == [4, 9, 13]
