"""Letters of a text in one form: composed, and without their accents where that is asked for."""

from __future__ import annotations

import re
import unicodedata

# Combining diacritical marks of Latin, Greek and Cyrillic letters. Those of other scripts (vowel
# signs, voicing marks) are letters of their own and stay.
_ACCENTS = re.compile("[\u0300-\u036f]")
# Letters that Unicode does not decompose into a base letter and an accent.
_UNDECOMPOSED = str.maketrans(
    {
        "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D",
        "ħ": "h", "Ħ": "H", "ŧ": "t", "Ŧ": "T", "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE",
        "œ": "oe", "Œ": "OE", "þ": "th", "Þ": "Th", "\N{LATIN SMALL LETTER DOTLESS I}": "i",
    }
)  # fmt: skip


def composed(text: str) -> str:
    """Unicode's NFKC: one form of a letter, whether its accent is part of it or follows it.

    Full-width letters and digits, ligatures and the like become the plain ones.
    """
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def folded(text: str) -> str:
    """``composed`` without accents: "Beyoncé" is "Beyonce", "Łódź" is "Lodz", case is kept."""
    if text.isascii():
        return text
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFKC", bare).translate(_UNDECOMPOSED)
