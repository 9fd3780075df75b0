"""Cores that this process may use, and how many of them are wanted."""

from __future__ import annotations

import os
from pathlib import Path


def cpu_quota() -> int:
    """Cores this process may use: affinity and cgroup quota, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = cgroup_text("cpu.max").split()
    if len(quota) == 2 and quota[0] != "max":
        cores = min(cores or 1, max(1, int(quota[0]) // int(quota[1])))
    return cores or 1


def wanted_threads() -> int:
    """Threads to compute with: those that OMP_NUM_THREADS names, else one a core."""
    # OpenMP allows a list, one number a nesting level.
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(asked) if asked.isdigit() and int(asked) else cpu_quota()


def cgroup_text(name: str) -> str:
    """What a file of the process's control group says; "" where there is none."""
    path = Path("/sys/fs/cgroup") / name
    try:
        return path.read_text().strip()
    except OSError:
        return ""
