"""Finished batches of a long computation on disk, so that one that was killed goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from harness.errors import InputError
from harness.files import remove_leftovers, writing
from harness.fingerprint import fingerprint
from methods.parametric_qa.shared.parts import save_tensors


class BatchStore:
    """One safetensors file a batch, in a folder named after all that the results depend on.

    ``identity`` is any JSON value; another identity never sees these files.
    """

    def __init__(self, scratch: Path, identity: Any) -> None:
        self.folder = scratch / f"batches-{fingerprint(identity)[:16]}"
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.folder)

    def load(self, number: int) -> dict[str, Tensor] | None:
        """The tensors of a finished batch. Raises InputError if the file is broken."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        path = self._path(number)
        if not path.exists():
            return None
        try:
            tensors: dict[str, Tensor] = load(path.read_bytes())
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: cannot be read ({error}); delete it") from error
        return tensors

    def save(self, number: int, tensors: dict[str, Tensor]) -> None:
        """Keep a finished batch; a kill leaves all of it or nothing."""
        save_tensors(self._path(number), tensors)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.safetensors"
