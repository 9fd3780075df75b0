"""TeX: text that any engine prints as it is."""

from __future__ import annotations

import unicodedata

from harness.escape import one_line

_TEX = {
    "\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"{\char34}",
    **{sign: f"\\{sign}" for sign in "{}$&#_%"},
    "\u2014": "---", "\u2013": "--", "\u2026": r"\ldots{}", "\u00a0": "~",
    "\u2018": "`", "\u2019": "'", "\u201c": "``", "\u201d": "''",
    "\u00b1": r"$\pm$", "\u00d7": r"$\times$", "\u2020": r"$\dagger$", "\u2021": r"$\ddagger$",
    "ß": r"\ss{}", "ø": r"\o{}", "Ø": r"\O{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}",
    "Œ": r"\OE{}", "ł": r"\l{}", "Ł": r"\L{}", "\u0131": r"\i{}",
}  # fmt: skip
_TEX_ACCENTS = dict(
    zip("\u0300\u0301\u0302\u0303\u0308\u0327\u030c\u0304", "`'^~\"cv=", strict=True)
)


def tex_text(text: str) -> str:
    """Return ``text`` on one line such that any TeX engine prints it as it is.

    Letters that not every engine has are spelled out as their number, such as ``U+4E2D``.
    """
    line = one_line(text)
    # A line break before them would read these as its argument.
    return ("{}" if line.startswith(("[", "*")) else "") + "".join(map(_tex, line))


def _tex(char: str) -> str:
    if char in _TEX:
        return _TEX[char]
    if char.isascii():
        return char
    parts = unicodedata.normalize("NFD", char)
    if len(parts) == 2 and parts[0].isascii() and parts[1] in _TEX_ACCENTS:
        return f"\\{_TEX_ACCENTS[parts[1]]}{{{parts[0]}}}"
    if unicodedata.category(char) == "No" and (digit := unicodedata.digit(char, None)) is not None:
        return rf"\textsuperscript{{{digit}}}"
    return f"U+{ord(char):04X}"
