"""Peak resident memory of a process of its own, whose source a test puts before a script."""

from __future__ import annotations

import inspect


def peak_bytes() -> int:
    """Peak resident memory so far. Linux hands ``ru_maxrss`` on to a child, so it tells nothing."""
    import resource
    from pathlib import Path

    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


PEAK_BYTES = inspect.getsource(peak_bytes)
"""For ``python -c``: defines ``peak_bytes``."""
