"""Splits, and where their files come from: shipped with the task, a local folder, the hub."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

from harness.data.card import Task
from harness.errors import InputError, did_you_mean
from harness.files import check_slug
from harness.fingerprint import file_sha256

Kind = Literal["questions", "train", "corpus"]

_LOCAL = "use local files: --questions FILE --corpus FILE, or --data-dir FOLDER"


class Source(Protocol):
    """Finds the files of one split."""

    def find(self, kind: Kind) -> Path | None:
        """The file, or None if the split has no such file. Raises InputError."""

    def provenance(self) -> dict[str, str]:
        """Where the files came from, as far as known once they were found."""


class Shipped:
    """The sample in a task's own folder, checked against the checksums of its card."""

    def __init__(self, task: Task, *, verify: bool) -> None:
        if task.folder is None or not (task.folder / "sample").is_dir():
            raise InputError(f"task '{task.name}' ships no sample; name another split or {_LOCAL}")
        self._root = task.folder
        self._checksums = task.card.checksums if verify else {}

    def find(self, kind: Kind) -> Path | None:
        """A file of the sample; only ``train`` is optional."""
        name = f"sample/{kind}.jsonl"
        path = self._root / name
        if not path.is_file():
            if kind == "train" and name not in self._checksums:
                return None
            raise InputError(f"{path}: file not found; restore the shipped file")
        expected = self._checksums.get(name)
        if expected is not None:
            _check_unchanged(path, expected)
        return path

    def provenance(self) -> dict[str, str]:
        """Shipped with the task."""
        return {"source": "shipped"}


class Folder:
    """A local folder in FlashRAG's layout: ``<root>/<task folder>/<split>.jsonl``."""

    def __init__(self, task: Task, split: str, root: Path) -> None:
        if not root.is_dir():
            raise InputError(f"{root}: is not a folder; give the folder that holds the data")
        hub = task.card.hub
        self._split = split
        self._root = root
        self._folder = root / (hub.folder if hub else task.name)
        self._names = hub.splits if hub else {}

    def find(self, kind: Kind) -> Path | None:
        """A file of the folder. The task's own corpus goes before one that all tasks share."""
        if kind == "corpus":
            return _first_file(self._folder / "corpus.jsonl", self._root / "corpus.jsonl")
        if kind == "train":
            return None if self._split == "train" else _first_file(self._path("train"))
        path = self._path(self._split)
        if not path.is_file():
            raise InputError(
                f"{path}: file not found; a data folder holds "
                f"{self._folder.name}/<split>.jsonl and corpus.jsonl"
            )
        return path

    def provenance(self) -> dict[str, str]:
        """A local folder."""
        return {"source": "folder"}

    def _path(self, split: str) -> Path:
        return self._folder / self._names.get(split, f"{split}.jsonl")


class Hub:
    """FlashRAG's layout on the Hugging Face hub, its files as JSON Lines or as Parquet.

    All files come from one commit.
    """

    def __init__(self, task: Task, split: str, revision: str | None) -> None:
        hub = task.card.hub
        known = ["sample", *(hub.splits if hub else ())]
        if hub is None or split not in known:
            raise InputError(
                f"task '{task.name}' has no split '{split}'{did_you_mean(split, known)}; for your "
                f"own data {_LOCAL}"
            )
        self._hub = hub
        self._split = split
        self._revision = revision or hub.revision

    def find(self, kind: Kind) -> Path | None:
        """Download a file, or take it from the hub client's cache."""
        if kind == "corpus":
            return self._corpus()
        split = "train" if kind == "train" else self._split
        name = self._hub.splits.get(split)
        if name is None or (kind == "train" and self._split == "train"):
            return None
        return self._download(f"{self._hub.folder}/{name}")

    def provenance(self) -> dict[str, str]:
        """Repository and the commit that the first file resolved to."""
        revision = self._revision or "unresolved"
        return {"source": "hub", "repo": self._hub.repo, "revision": revision}

    def _corpus(self) -> Path | None:
        name = self._hub.corpus
        if name is None or name.endswith((".jsonl", ".parquet")):
            return self._download(name) if name else None
        # Unpacking tens of gigabytes unasked would surprise more than one more command.
        raise InputError(
            f"split '{self._split}' needs a corpus: run 'hf download {self._hub.repo} {name} "
            "--repo-type dataset', and give the file with --corpus"
        )

    def _download(self, name: str) -> Path:
        import huggingface_hub

        repo = self._hub.repo
        try:
            path = huggingface_hub.hf_hub_download(
                repo, name, repo_type="dataset", revision=self._revision
            )
        # The client raises many unrelated types; to the user all mean: no file from the hub.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise InputError(
                f"cannot get {repo}/{name} from the hub ({reason}); {_LOCAL}"
            ) from error
        # The cache keeps files under snapshots/<commit>/; later files follow the first one.
        commit = re.search(r"[/\\]snapshots[/\\]([0-9a-f]{40})[/\\]", str(path))
        if commit:
            self._revision = commit[1]
        return Path(path)


def find_source(
    task: Task, split: str, data_dir: Path | None, revision: str | None, *, verify: bool
) -> Source:
    """The source of a named split. Raises InputError for options that contradict each other."""
    check_slug(split, "split")
    if revision is not None and (split == "sample" or data_dir is not None):
        raise InputError("a revision is a commit on the hub; leave it out for local files")
    if split == "sample":
        if data_dir is not None:
            raise InputError("split 'sample' reads no data folder; name a split that it holds")
        return Shipped(task, verify=verify)
    return Folder(task, split, data_dir) if data_dir else Hub(task, split, revision)


def vouches(source: Source, task: Task, path: Path) -> bool:
    """Whether the checksums of a task's card stand for what a file of the source holds."""
    if not isinstance(source, Shipped) or task.folder is None:
        return False
    return task.folder / "sample" in path.parents and f"sample/{path.name}" in task.card.checksums


def _first_file(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _check_unchanged(path: Path, expected: str) -> None:
    status = path.stat()
    actual = _sha256(path, status.st_mtime_ns, status.st_size)
    if actual != expected:
        raise InputError(
            f"{path}: the shipped file changed (sha256 {actual[:12]}…, its card says "
            f"{expected[:12]}…); restore it, or give your own data with --questions and --corpus"
        )


# Time and size are part of the key so that a file that changes meanwhile is read again.
@lru_cache(maxsize=256)
def _sha256(path: Path, _mtime_ns: int, _size: int) -> str:
    return file_sha256(path)
