"""Escaping of foreign text, so that it is harmless in markdown tables, spreadsheets and UTF-8."""

from __future__ import annotations

import re

# Entities, not backslashes: table parsers disagree about backslashes before a pipe.
# Underscores inside words and most punctuation mean nothing to markdown and stay readable.
_MARKUP = re.compile(r"[&|\\`<>\[\]*~$#]|(?<![^\W_])_|_(?![^\W_])|^[-+=:]|^\d(?=\d*[.)](?: |$))")
_CREDENTIALS = re.compile(r"(//)[^/\s]*(?=@)|([?&;,][\w.-]*=|#)[^&;,\s'\"]+")
_FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def visible(text: str) -> str:
    """Replace line breaks, control and invisible characters, which steer a terminal, by spaces."""
    if text.isprintable():  # most text, at once
        return text
    return "".join(char if char.isprintable() else " " for char in text)


def one_line(text: str) -> str:
    """Replace line breaks, control and invisible characters by single spaces."""
    return " ".join(visible(text).split())


def utf8(text: str) -> str:
    """Spell out what UTF-8 cannot hold: bytes in the names of files that are of no encoding."""
    return text.encode("utf-8", "backslashreplace").decode()


def markdown_text(text: str) -> str:
    """Return ``text`` on one line such that markdown shows it as it is, also in a table cell."""
    return _MARKUP.sub(lambda match: f"&#{ord(match.group())};", one_line(text))


def csv_text(text: str) -> str:
    """Return ``text`` on one line such that no spreadsheet takes it for a formula."""
    line = one_line(text)
    return f"'{line}" if line.startswith(_FORMULA_STARTS) else line


def masked(text: str) -> str:
    """``text`` without users, passwords and queries of URLs in it, which may hold a key."""
    return _CREDENTIALS.sub(lambda match: f"{match[1] or match[2]}***", text)


def shortened(text: str, most: int) -> str:
    """``text``, cut where it has more than ``most`` characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
