"""Peak memory while something runs: VRAM on a GPU, resident memory of the process tree on a CPU."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType
from typing import Any

SAMPLES_PER_SECOND = 20


class PeakMemory:
    """A context manager; ``record()`` afterwards gives bytes.

    ``vram``: torch's peak on the device, of allocated bytes (tensors) and of reserved bytes (with
    its cache).
    ``rss``: peak resident set of this process and its children, sampled 20 times a second; it
    counts memory-mapped index pages that the system could take back.
    """

    def __init__(self, device: str) -> None:
        self._device, self._cuda = device, device.startswith("cuda")
        self._peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PeakMemory:
        release_memory()
        if self._cuda:
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            self._peak = tree_rss()
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._cuda:
            self._stop.set()
            self._thread.join()
            self._peak = max(self._peak, tree_rss())

    def record(self) -> dict[str, Any]:
        """``{"kind", "peak_bytes"}`` and for VRAM ``"reserved_bytes"``."""
        if not self._cuda:
            return {"kind": "rss", "peak_bytes": self._peak}
        import torch

        return {
            "kind": "vram",
            "peak_bytes": int(torch.cuda.max_memory_allocated(self._device)),
            "reserved_bytes": int(torch.cuda.max_memory_reserved(self._device)),
        }

    def _sample(self) -> None:
        while not self._stop.wait(1 / SAMPLES_PER_SECOND):
            self._peak = max(self._peak, tree_rss())


def in_use(device: str) -> int:
    """Bytes in use now, of the kind that ``PeakMemory`` has of the device."""
    release_memory()
    if not device.startswith("cuda"):
        return tree_rss()
    import torch

    return int(torch.cuda.memory_allocated(device))


def tree_rss() -> int:
    """Resident bytes of this process and all its children."""
    import psutil

    process = psutil.Process()
    total = process.memory_info().rss
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            total += child.memory_info().rss
    return int(total)


def release_memory() -> None:
    """Hand freed memory back to the system: one run's garbage is not the next one's peak."""
    import ctypes
    import gc

    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
