"""What a format reads of a source, sorted by kind, for tests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InputError
from harness.formats import FORMATS
from harness.formats.base import Asked, Dropped, Format, Item, Part
from harness.records import Passage, Question
from harness.registry import resolve


@dataclass(frozen=True)
class Read:
    """All items of a source."""

    items: list[Item]

    @property
    def passages(self) -> list[Passage]:
        return [item for item in self.items if isinstance(item, Passage)]

    @property
    def dropped(self) -> dict[str, int]:
        return dict(Counter(item.why for item in self.items if isinstance(item, Dropped)))

    def asked(self, part: Part) -> list[Question]:
        return [i.question for i in self.items if isinstance(i, Asked) and i.part == part]


def open_(name: str, /, **options: Any) -> Format:
    cls: type[Format] = resolve(FORMATS[name], f"format '{name}'")
    return cls(cls.Options(**options))


def read(name: str, source: Path, /, **options: Any) -> Read:
    return Read(list(open_(name, **options).read(source)))


def refused(name: str, source: Path, /, **options: Any) -> str:
    """The one line with which a source is refused."""
    with pytest.raises(InputError) as caught:
        list(open_(name, **options).read(source))
    assert "\n" not in str(caught.value)
    return str(caught.value)
