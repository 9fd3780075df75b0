"""The command ``doctor``: devices, packages, caches, the hub, as they are on this machine."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import typer

from harness.errors import HarnessError
from harness.files import cache_dir, folder_bytes
from harness.registry import broken

HUB = "huggingface.co"


def doctor() -> None:
    """Say what works on this machine."""
    for label, finding in findings():
        typer.echo(f"{label:18} {finding}")


def findings() -> Iterator[tuple[str, str]]:
    """Label and finding, one line each; nothing is downloaded or changed."""
    from harness.runs.provenance import PACKAGES, package_versions

    yield "harness", _tried(_harness)
    yield "hardware", _tried(_hardware)
    yield "threads", _tried(_threads)
    versions = package_versions()
    for name in PACKAGES:
        yield name, versions.get(name, f"missing; pip install {name}")
    yield "flashrag", _tried(_flashrag)
    yield "cache", _tried(_cache)
    yield "default model", _tried(_default_model)
    yield "hub", _tried(_hub)
    yield from _plugins()


def _plugins() -> Iterator[tuple[str, str]]:
    try:
        found = broken(tried=True)
    except HarnessError as error:  # something in the way of our own packages
        found = {"names": str(error)}
    for plugin, reason in found.items():
        yield f"plug-in {plugin}", f"PROBLEM: {reason}"


def _tried(look: Callable[[], str]) -> str:
    """What breaks (torch that does not import, a cache of another user) is a finding too."""
    try:
        return look()
    except Exception as error:
        return f"PROBLEM: {' '.join(str(error).split()) or type(error).__name__}"


def _harness() -> str:
    from harness.runs.provenance import harness_version

    return " ".join(str(value) for value in harness_version().values() if value)


def _hardware() -> str:
    from harness.meters.hardware import describe_hardware

    return describe_hardware().summary


def _threads() -> str:
    from harness.cores import cpu_quota

    return f"{cpu_quota()} (OMP_NUM_THREADS overrides)"


def _cache() -> str:
    return f"{cache_dir()} ({folder_bytes(cache_dir()) / 1e6:.0f} MB)"


def _default_model() -> str:
    from harness.llm.catalogue import DEFAULT_MODEL, catalogue
    from harness.llm.gguf import wheel_file

    return f"{DEFAULT_MODEL}: weights at {wheel_file(catalogue()[DEFAULT_MODEL])}"


def _flashrag() -> str:
    from harness.runs.flashrag_package import EXTRA, flashrag_version

    version = flashrag_version()
    return f"flashrag-dev {version}" if version else f"not installed (optional; {EXTRA})"


def _hub() -> str:
    try:
        with socket.create_connection((HUB, 443), timeout=3):
            return f"{HUB} reachable"
    except OSError as error:
        return f"{HUB} not reachable ({error}); use local files and the default model"
