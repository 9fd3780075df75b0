"""Wanted vectors reach every row of their text, whatever order they come in and however often."""

from __future__ import annotations

import tracemalloc
from hashlib import sha256

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.retrieval.wanted import Wanted, digest
from tests.harness.retrieval.helpers import digests_of

TEXTS = st.lists(st.text(max_size=3), min_size=1, max_size=30)


@given(TEXTS, TEXTS, st.integers(1, 4))
def test_rows_get_the_first_vector_of_their_text(asked, found, size):
    wanted, out = Wanted(asked, len(asked)), np.zeros((len(asked), 1))
    numbers = np.arange(1, len(found) + 1)[:, None]
    for start in range(0, len(found), size):
        part = slice(start, start + size)
        wanted.fill(digests_of(found[part]), numbers[part], out)
    known = {text: number for number, text in reversed(list(enumerate(found, 1)))}
    assert out.ravel().tolist() == [known.get(text, 0) for text in asked]
    assert wanted.open == sum(text not in known for text in asked)
    left = [asked[row] for _, rows in wanted.parts(size) for row in rows]
    expected = sorted(set(asked) - set(known), key=lambda text: (-len(text), digest(text)))
    assert left == expected


@given(TEXTS)
def test_parts_and_order_name_the_text_of_their_row(asked):
    wanted = Wanted(asked, len(asked))
    order = wanted.in_order()
    assert [asked[row] for row in order[1]] == list(dict.fromkeys(asked))
    for digests, rows in [order, *wanted.parts(2)]:
        assert digests.tobytes() == b"".join(digest(asked[row]) for row in rows)


def test_a_text_is_known_by_sha256_even_with_half_a_character():
    assert digest("é") == sha256("é".encode()).digest()
    assert digest("\ud800") == sha256(b"\xed\xa0\x80").digest()


def test_a_passage_takes_a_hundred_and_fifty_bytes_at_most():
    tracemalloc.start()
    try:
        Wanted(map(str, range(20_000)), 20_000)
        assert tracemalloc.get_traced_memory()[1] < 150 * 20_000
    finally:
        tracemalloc.stop()
