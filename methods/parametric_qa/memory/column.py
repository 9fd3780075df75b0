"""Column: one number a document of a bank, in its order, as an npy file of few bytes each."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from harness.data.npy import mapped_npy
from harness.errors import InputError
from harness.files import atomic_file
from methods.parametric_qa.memory.quantise import WRITE_AGAIN


def load_column(path: Path, documents: int, below: int, what: str) -> Tensor:
    """Numbers [documents] from 0 to ``below`` - 1, int64.

    Raises InputError, which calls them ``what``, if the file is missing, broken or of other
    documents.
    """
    try:
        stored = mapped_npy(path)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: {reason}; {WRITE_AGAIN}") from error
    if stored.shape != (documents,):
        raise InputError(
            f"{path}: has {what} of {stored.size} documents, the bank holds {documents}; "
            f"{WRITE_AGAIN}"
        )
    if stored.dtype.kind != "u" or not (stored < below).all():
        raise InputError(f"{path}: its numbers are none of {what}; {WRITE_AGAIN}")
    return torch.from_numpy(stored.astype(np.int64))


def save_column(path: Path, numbers: Tensor) -> None:
    """Write numbers [documents], none negative, in as few bytes each as they need."""
    most = int(numbers.max()) if len(numbers) else 0
    content = BytesIO()
    np.save(content, numbers.numpy().astype(np.min_scalar_type(most)), allow_pickle=False)
    with atomic_file(path) as file:
        file.write(content.getvalue())
