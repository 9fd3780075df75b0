"""Other machines: what a run keeps that goes on, or is timed, on another one than before."""

from __future__ import annotations

from harness.runs.directory import RunDirectory
from harness.runs.manifest import MANIFEST, Hardware, Manifest, read_manifest
from harness.runs.performance import update_performance


def going_on(run: RunDirectory, manifest: Manifest) -> Manifest:
    """The manifest to write for a run that is begun or goes on.

    On another machine it keeps its answers and none of its timings.
    """
    if not (run.folder / MANIFEST).exists():
        return manifest
    before = read_manifest(run.folder)
    if before.replies:
        manifest = manifest.model_copy(update={"replies": before.replies})
    if before.hardware.fingerprint != manifest.hardware.fingerprint:
        timings = ("throughput", "latency", "prefix", "memory", "index", "cold_start")
        update_performance(run.folder, **dict.fromkeys(timings))
        return manifest
    return manifest.model_copy(update={"timing": before.timing}) if before.timing else manifest


def file_hardware(run: RunDirectory, hardware: Hardware) -> None:
    """A run timed on another machine than it was answered on keeps no throughput."""
    if read_manifest(run.folder).hardware.fingerprint != hardware.fingerprint:
        update_performance(run.folder, throughput=None)
        run.change_manifest(hardware=hardware)
