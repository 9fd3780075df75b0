"""Standard streams of the command line: any text can be printed on any terminal."""

from __future__ import annotations

import codecs
import io
import os
import sys
import unicodedata

_PLAIN = {
    "\u2014": "-", "\u2013": "-", "\u2026": "...", "\u00b1": "+/-", "\u00d7": "x", "\u2020": "+",
    "\u2021": "++", "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"',
}  # fmt: skip
_NAME = "memory_harness_plain"
"""Of the error handler, and of the encoding that stands for ASCII."""


def prepare_streams() -> None:
    """Have standard output and error write the likest signs for those that their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # typer takes ASCII for a mistake and writes UTF-8 all the same.
            is_ascii = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding=_NAME if is_ascii else None, errors=_NAME)


def end_streams() -> None:
    """Write what waits in standard output and error. Raises OSError, once for each."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()


def silence_streams() -> None:
    """Send what is still to be written nowhere: it would fail again as the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def plain(text: str) -> str:
    """What stands for a text where only ASCII can be shown: ``e`` for \u00e9, else ``?``."""
    return "".join(map(_plain, text))


def _plain(char: str) -> str:
    if char.isascii():
        return char
    if char in _PLAIN:
        return _PLAIN[char]
    parts = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
    return parts if parts and parts.isprintable() else "?"


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]), error.end


class _Encoder(codecs.IncrementalEncoder):
    def encode(self, input: str, final: bool = False) -> bytes:
        return plain(input).encode("ascii")


def _encode(text: str, _errors: str = "strict") -> tuple[bytes, int]:
    return plain(text).encode("ascii"), len(text)


def _find(name: str) -> codecs.CodecInfo | None:
    if name != _NAME:
        return None
    return codecs.CodecInfo(
        name=_NAME,
        encode=_encode,
        decode=codecs.ascii_decode,
        incrementalencoder=_Encoder,
        incrementaldecoder=codecs.getincrementaldecoder("ascii"),
    )


codecs.register_error(_NAME, _replace)
codecs.register(_find)
