"""Letters in one form, with and without accents."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.letters import composed, folded


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Beyonc\u00e9", "Beyonce"),
        ("Beyonce\u0301", "Beyonce"),
        ("\u0141\u00f3d\u017a", "Lodz"),
        ("S\u00f8ren Stra\u00dfe", "Soren Strasse"),
        ("\uff30\uff41\uff52\uff49\uff53", "Paris"),
        ("\u304c\u304e", "\u304c\u304e"),  # voicing marks are no accents
        ("\ud55c\uad6d\uc5b4", "\ud55c\uad6d\uc5b4"),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0928\u094d\u0926\u0940"),
    ],
)
def test_accents_of_latin_letters_go_and_other_marks_stay(text: str, wanted: str) -> None:
    assert folded(text) == wanted


@given(st.text(max_size=30))
def test_an_accent_counts_the_same_however_it_is_encoded(text: str) -> None:
    apart = unicodedata.normalize("NFD", text)
    assert composed(apart) == composed(text)
    assert folded(apart) == folded(text)
    assert folded(folded(text)) == folded(text)


@given(st.text(st.characters(codec="ascii")))
def test_ascii_stays_as_it_is(text: str) -> None:
    assert composed(text) == folded(text) == text
