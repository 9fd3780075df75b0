"""Code that a folder of an encoder names: what is not a library's own is refused, unread.

sentence-transformers imports the classes that such a folder's JSON files name, before 6.0 also from
a file in the folder itself; transformers takes a folder with an adapter for one over other weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.files import read_json

_NAMES_A_CLASS = ("type", "activation_function", "tokenizer_class")
_NAMES_CLASSES = "types"
_OWN = ("sentence_transformers.", "torch.nn.")
_ADAPTER = "adapter_config.json"


def check_no_code(folder: Path) -> None:
    """Raise InputError if a JSON file below the folder names a class of anybody else's.

    So does an adapter, whose weights would be added to those of another place.
    """
    for file in sorted(folder.rglob("*.json")):
        if file.name == _ADAPTER:
            raise InputError(
                f"{file}: an adapter is read over weights of another place; save the encoder "
                "with the adapter merged into it"
            )
        # Vocabularies, as large as they are, name no class.
        if file.name == "modules.json" or "config" in file.name:
            _check_file(file)


def _check_file(file: Path) -> None:
    value = read_json(file)
    for part in value if isinstance(value, list) else [value]:
        for name in _classes(part) if isinstance(part, dict) else ():
            if "." in name and not name.startswith(_OWN):
                raise InputError(
                    f"{file}: names the class {name!r}, code that is no part of "
                    "sentence-transformers and is never run; take an encoder without"
                )


def _classes(part: Mapping[str, Any]) -> Iterator[str]:
    several = part.get(_NAMES_CLASSES)
    values = [part.get(key) for key in _NAMES_A_CLASS]
    values += several.values() if isinstance(several, dict) else ()
    yield from (value for value in values if isinstance(value, str))
