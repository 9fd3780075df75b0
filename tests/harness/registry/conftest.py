from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import registry
from harness.registry import installed as of_packages


@dataclass
class Site:
    """A folder on the import path into which packages are installed, without pip."""

    folder: Path

    def install(self, name: str, points: str, version: str = "1.0", **modules: str) -> Path:
        """A distribution with the text of its entry_points.txt and of its modules, by name."""
        info = self.folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(points)
        for module, text in modules.items():
            (self.folder / f"{module}.py").write_text(text)
        forget()
        return info

    @property
    def imported(self) -> set[str]:
        """Modules of this folder that were imported."""
        places = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
        return {name for name, file in places.items() if Path(file or "/").parent == self.folder}


def forget() -> None:
    """Look at the installed packages again."""
    of_packages._entry_points.cache_clear()
    registry._installed.cache_clear()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    place = Site(tmp_path / "site")
    place.folder.mkdir()
    monkeypatch.syspath_prepend(place.folder)
    yield place
    for name in place.imported:
        del sys.modules[name]
    monkeypatch.undo()
    forget()
