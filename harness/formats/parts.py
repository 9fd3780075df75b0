"""Parts of a published dataset: which files of a source are asked, and which show how to answer.

One rule for every format. A file is asked whole. In a folder, files are told by the words of their
names: the split named (``dev``, also called ``validation``) is asked, ``train`` is train.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from harness.errors import InputError
from harness.formats.base import Format, Part

SUFFIXES = (".json", ".jsonl", ".parquet")

_WORDS = {
    "train": {"train", "training"},
    "dev": {"dev", "val", "valid", "validation", "development"},
    "test": {"test"},
}
_PACKED = (".gz", ".zst")
_SHARD = re.compile(r"-\d{5}-of-\d{5}")


class PartOptions(Format.Options):
    """Options of formats whose splits are files."""

    split: str = Field("dev", description="the split of a folder that is asked")
    train: Path | None = Field(None, description="the file of train questions")
    only: str = Field("", description="of a folder, only files with this in their names, train too")


def bare_name(path: Path) -> str:
    """A file's name without ``.gz`` or ``.zst``."""
    return path.stem if path.suffix.lower() in _PACKED else path.name


def parts_of(
    source: Path, options: PartOptions, suffixes: Sequence[str] = SUFFIXES
) -> list[tuple[Part, Path]]:
    """The files of questions and then of train; a split in numbered files is all of them.

    Raises InputError if a folder holds no file of the split, or several and none says which.
    """
    if not source.is_dir():
        if given := sorted({"split", "only"} & options.model_fields_set):
            raise InputError(f"{source}: is no folder and asked whole; leave out -o {given[0]}")
        asked = [source]
        shown = []
    else:
        asked = _of_split(source, options.split, options.only, suffixes)
        if not asked:
            raise InputError(
                f"{source}: no {'/'.join(suffixes)} file with '{options.split}'"
                f"{f' and {options.only!r}' if options.only else ''} in its name; name another "
                "split with -o split=NAME, or give the file itself"
            )
        is_train = options.split == "train" or options.train
        shown = [] if is_train else _of_split(source, "train", options.only, suffixes)
    if options.train:
        shown = [options.train]
    return [("questions", path) for path in asked] + [("train", path) for path in shown]


def _of_split(folder: Path, split: str, only: str, suffixes: Sequence[str]) -> list[Path]:
    """The one file of a split, or its numbered files; those of the first suffix that has any."""
    words = _WORDS.get(split, {split})
    others = set().union(*_WORDS.values()) - words
    sets: dict[str, dict[str, dict[str, Path]]] = {suffix: {} for suffix in suffixes}
    for path in sorted(folder.iterdir()):
        name = bare_name(path)
        found = set(re.split(r"[^a-z]+", name.lower()))
        suffix = Path(name).suffix.lower()
        if suffix in sets and only in name and found & words and not found & others:
            # Plain sorts before packed: of two copies of a file one is read.
            sets[suffix].setdefault(_SHARD.sub("", name), {}).setdefault(name, path)
    groups = next((groups for groups in sets.values() if groups), {})
    if len(groups) > 1:
        raise InputError(
            f"{folder}: several files are of split '{split}' ({', '.join(groups)}); say which by "
            "a part of its name: -o only=TEXT, or give the file itself, and -o train=FILE"
        )
    return [path for group in groups.values() for path in group.values()]
