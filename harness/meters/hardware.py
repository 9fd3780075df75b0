"""Hardware: what machine this is, and how many threads to use on it."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.cores import cgroup_text, cpu_quota, wanted_threads
from harness.fingerprint import fingerprint


@dataclass(frozen=True, slots=True)
class Hardware:
    """Enough of a machine to say whether two timings may be compared."""

    cpu: str
    cores: int
    memory_gb: int
    gpus: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One line, such as ``2 x Intel Xeon, 24 GB, no GPU``."""
        gpus = ", ".join(self.gpus) or "no GPU"
        return f"{self.cores} x {self.cpu}, {self.memory_gb} GB, {gpus}"

    def record(self, device: str) -> dict[str, Any]:
        """The manifest's entry; the fingerprint covers threads and device too."""
        facts = {**asdict(self), "device": device, "threads": torch_threads()}
        return {"fingerprint": fingerprint(facts)[:12], "summary": self.summary, **facts}


def describe_hardware() -> Hardware:
    """Look at the machine."""
    import psutil

    memory = min(psutil.virtual_memory().total, _cgroup_number("memory.max") or float("inf"))
    return Hardware(_cpu_name(), cpu_quota(), round(memory / 2**30), _gpu_names())


def default_device() -> str:
    """``cuda`` if torch can use a GPU, else ``cpu``; torch is only asked if there may be one."""
    drivers = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))
    if platform.system() == "Linux" and not any(driver.exists() for driver in drivers):
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def set_torch_threads() -> None:
    """Use the cores that are ours: more threads than that is far slower than fewer.

    A run with a model behind a server may never load torch; where it is not loaded yet, it will
    find in the environment what is wanted.
    """
    wanted, torch = wanted_threads(), sys.modules.get("torch")
    if torch is None:
        os.environ["OMP_NUM_THREADS"] = str(wanted)
    elif torch.get_num_threads() != wanted:
        torch.set_num_threads(wanted)


def torch_threads() -> int:
    """Threads torch computes with, or would if it were loaded."""
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch else wanted_threads()


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu_names() -> tuple[str, ...]:
    if default_device() == "cpu":
        return ()
    import torch

    return tuple(map(torch.cuda.get_device_name, range(torch.cuda.device_count())))


def _cgroup_number(name: str) -> int | None:
    text = cgroup_text(name)
    return int(text) if text.isdigit() else None
