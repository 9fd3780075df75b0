"""What works on this machine: devices, packages, caches, the hub."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from harness.errors import HarnessError
from harness.files import cache_dir, folder_bytes
from harness.llm.catalogue import DEFAULT_MODEL, catalogue
from harness.provenance import PACKAGES, harness_version, package_versions

HUB = "huggingface.co"


def findings() -> Iterator[tuple[str, str]]:
    """Label and finding, one line each; nothing is downloaded or changed."""
    from harness.meters.hardware import cpu_quota, describe_hardware

    yield "harness", " ".join(str(value) for value in harness_version().values() if value)
    yield "hardware", describe_hardware().summary
    yield "threads", f"{cpu_quota()} (OMP_NUM_THREADS overrides)"
    versions = package_versions()
    for name in PACKAGES:
        yield name, versions.get(name, f"missing; pip install {name}")
    yield "flashrag", _flashrag()
    yield "cache", f"{cache_dir()} ({folder_bytes(cache_dir()) / 1e6:.0f} MB)"
    yield "default model", _default_model()
    yield "hub", _hub()


def _default_model() -> str:
    from harness.llm.default_model import wheel_file

    try:
        return f"{DEFAULT_MODEL}: weights at {wheel_file(catalogue()[DEFAULT_MODEL])}"
    except HarnessError as error:
        return str(error)


def _flashrag() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        squat = version("flashrag")
    except PackageNotFoundError:
        try:
            return f"flashrag-dev {version('flashrag-dev')}"
        except PackageNotFoundError:
            return "not installed (optional; pip install 'memory-harness[flashrag]')"
    return f"the package 'flashrag' {squat} is NOT FlashRAG; pip uninstall flashrag"


def _hub() -> str:
    try:
        with socket.create_connection((HUB, 443), timeout=3):
            return f"{HUB} reachable"
    except OSError as error:
        return f"{HUB} not reachable ({error}); use local files and the default model"
