"""FlashRAG as installed: the package that took its name is told from metadata, and never run."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.runs.flashrag_package import flashrag_version, require_flashrag

EXTRA = r"pip install 'lm-memory-harness\[flashrag\]'"


def install(folder: Path, name: str, version: str) -> None:
    """A distribution and its package, which tells when it is run."""
    (folder / "flashrag").mkdir(exist_ok=True)
    (folder / "flashrag" / "__init__.py").write_text("raise AssertionError('run')\n")
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that is found first."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "flashrag", raising=False)
    return tmp_path


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    known = metadata.version

    def version(name: str) -> str:
        if name in names:
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(metadata, "version", version)


def test_the_squatting_package_is_an_error_that_names_the_fix(site: Path) -> None:
    install(site, "flashrag", "0.0.1")
    for ask in (flashrag_version, require_flashrag):
        with pytest.raises(ConfigError, match=rf"'flashrag' 0.0.1 is NOT FlashRAG.*{EXTRA}"):
            ask()
    assert "flashrag" not in sys.modules


def test_a_file_in_the_way_of_flashrag_is_named(site: Path, monkeypatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "0.3" if name != "flashrag" else _gone())
    (site / "flashrag.py").write_text("raise AssertionError('run')\n")
    with pytest.raises(ConfigError, match=r"would bring .*flashrag\.py, which is not FlashRAG"):
        flashrag_version()


def test_a_squat_over_the_files_of_flashrag_is_found_without_its_metadata(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "flashrag")
    install(site, "flashrag-dev", "0.3.0")
    with pytest.raises(ConfigError, match="flashrag-dev 0.3.0 is installed, but"):
        flashrag_version()


def test_without_flashrag_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "flashrag", "flashrag-dev")
    assert flashrag_version() is None
    with pytest.raises(ConfigError, match=rf"^FlashRAG not installed; {EXTRA}$"):
        require_flashrag()
    without(monkeypatch, "greenlet")
    with pytest.raises(ConfigError, match="FlashRAG and greenlet not installed"):
        require_flashrag()


def test_the_real_one_has_a_version() -> None:
    pytest.importorskip("flashrag")
    assert flashrag_version() == require_flashrag() == metadata.version("flashrag-dev")


def _gone() -> str:
    raise metadata.PackageNotFoundError("flashrag")
