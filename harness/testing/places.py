"""Places in an author's code: which file and line an error, a call or a wait belongs to."""

from __future__ import annotations

import inspect
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

Line = tuple[str, int]
"""A file and the number of a line in it."""

_HARNESS = str(Path(__file__).parents[1])
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib")})
_MADE_UP = ("<frozen", "<string")


class Code:
    """An author's code: the file that is checked, what lies beside it, and no library."""

    def __init__(self, file: str | None) -> None:
        self.file = file
        # A package that is installed lies among the libraries.
        self._folder = str(Path(file).parent) if file and file.startswith(_LIBRARIES) else None

    @classmethod
    def of(cls, checked: type) -> Code:
        """The code that defines a class."""
        try:
            return cls(inspect.getfile(checked))
        except (TypeError, OSError):  # typed into a console
            return cls(None)

    def owns(self, file: str) -> bool:
        """Whether a file is the author's."""
        if file == self.file or (self._folder is not None and file.startswith(self._folder)):
            return True
        return not file.startswith((_HARNESS, *_LIBRARIES, *_MADE_UP))

    def last(self, lines: Iterable[Line]) -> str:
        """``FILE:LINE`` of the author's innermost line, the outermost line being first."""
        found = list(lines)
        own = [line for line in found if line[0] == self.file] or [
            line for line in found if self.owns(line[0])
        ]
        return "{}:{}".format(*(own or found)[-1]) if found else "an unknown place"

    def told(self, error: BaseException) -> str:
        """An error in one line: its type, its message, and the author's line where it arose."""
        message = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
        if isinstance(error, SyntaxError) and error.filename:
            return f"{message[:600]} ({error.filename}:{error.lineno})"
        lines = [(each.filename, each.lineno or 0) for each in _traceback(error)]
        return f"{message[:600]} ({self.last(lines)})"

    def where(self, code: CodeType) -> str:
        """``FILE:LINE`` where a function begins."""
        return f"{code.co_filename}:{code.co_firstlineno}"


def frames(frame: FrameType | None) -> list[Line]:
    """The lines of a stack, the outermost first."""
    found = []
    while frame is not None:
        found.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return found[::-1]


def awaited(coroutine: Any) -> Iterator[Line]:
    """The lines at which a suspended coroutine waits, the outermost first."""
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        yield frame.f_code.co_filename, frame.f_lineno
        coroutine = coroutine.cr_await


def _traceback(error: BaseException) -> traceback.StackSummary:
    return traceback.extract_tb(error.__traceback__)
