"""Arrays of npy files that somebody may have sent: no pickle, and as many numbers as there are.

``np.load`` believes a header's shape before it looks what is there.
"""

from __future__ import annotations

from io import BytesIO
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_magic
from numpy.typing import NDArray


class _Header(NamedTuple):
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int


def from_npy(data: bytes) -> NDArray[Any]:
    """The array of a file's bytes, which it shares. Raises ValueError."""
    dtype, shape, start = _header(BytesIO(data), len(data))
    return np.frombuffer(data, dtype, offset=start).reshape(shape)


def mapped_npy(path: Path) -> NDArray[Any]:
    """The array of a file, memory-mapped. Raises ValueError, or OSError if it cannot be read."""
    with path.open("rb") as file:
        dtype, shape, start = _header(file, path.stat().st_size)
    if not prod(shape):
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", start, shape)


def _header(file: BinaryIO, size: int) -> _Header:
    try:
        version = read_magic(file)
        shape, is_fortran, dtype = read_array_header_1_0(file)
    # Of Python's own parser, which reads the header.
    except (TokenError, SyntaxError, EOFError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"its header cannot be read ({type(error).__name__})") from error
    start = file.tell()
    sound = min(shape, default=0) >= 0 and prod(shape) * dtype.itemsize == size - start
    if version != (1, 0) or is_fortran or dtype.hasobject or not sound:
        raise ValueError(f"it does not hold {dtype} numbers of shape {shape}")
    return _Header(dtype, shape, start)
