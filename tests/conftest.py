"""For all tests: no network, no downloads, one thread, a cache that is not the user's, no waiting
for the disk, and nothing of the terminal or the folder that they were started from."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import signal
import ssl
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings

from harness import registry
from harness.data import task as task_data
from harness.data.corpus import Corpus
from tests.tiny import build_tiny_model
from tests.tiny_thinker import TEMPLATES, build_tiny_thinkers

# Before any test imports torch or a hub client; subprocesses inherit them.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    OMP_NUM_THREADS=os.environ.get("TEST_THREADS", "1"),
    TOKENIZERS_PARALLELISM="false",
    PYTHONUTF8="1",  # of child programs
    # bitsandbytes, which peft imports, asks for torch's compiler as it is imported, for code that
    # no CPU runs: loading the compiler takes each process two seconds.
    TORCHDYNAMO_DISABLE="1",
)
# What makes rich and typer write colours or other widths, and Python another encoding.
for _name in (
    "TERM", "COLUMNS", "LINES", "TERMINAL_WIDTH", "FORCE_COLOR", "NO_COLOR", "PY_COLORS",
    "GITHUB_ACTIONS", "PYTHONIOENCODING",
):  # fmt: skip
    os.environ.pop(_name, None)
# Child programs and the next run of the tests need not compile every module anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# More of them: pytest --hypothesis-profile=default, and `make fuzz` for readers.
settings.register_profile("suite", max_examples=20, deadline=None)
settings.load_profile("suite")
os.umask(0o022)
# Collecting makes many objects that stay, and each look at them takes longer than the last.
gc.set_threshold(50_000, 20, 100)
# nohup, a shell's "&" and some CI runners leave it ignored: tests that send it would wait a minute.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Child programs import ``tests``, and boards name files below this folder.
os.chdir(Path(__file__).parents[1])
_USERS_CACHE = os.environ.get("MEMORY_HARNESS_CACHE")
_CACHE = tempfile.TemporaryDirectory(prefix="memory-harness-tests-")
_FSYNC = os.fsync
_TASKS = Path(__file__).parents[1] / "tasks"
_LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")
_REACHES = {"socket.getaddrinfo", "socket.connect", "socket.sendto"}


def _no_network(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse every other machine, as a cable pulled out would; an audit hook sees all callers."""
    if event not in _REACHES:  # thousands of others a second
        return
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    if not name.startswith(_LOOPBACK):
        raise OSError(errno.ENETUNREACH, f"tests reach no network, not even {name}")


sys.addaudithook(_no_network)


def _no_fsync(file: int) -> None:
    """Nothing: what a process gave to the system is there when the process ends, even killed."""


os.fsync = _no_fsync
# Every client of a server reads all certificates anew, for forty milliseconds, and needs none here.
ssl.create_default_context = cache(ssl.create_default_context)  # type: ignore[assignment]
_open_corpus = Corpus.open
_open_once = cache(_open_corpus)
_read_task = task_data._read
_tasks_read: dict[str, task_data.TaskData] = {}


def _ships(path: str | Path | None) -> bool:
    """Whether a file is one of a task's samples, which no test changes."""
    return path is not None and Path(path).is_absolute() and Path(path).is_relative_to(_TASKS)


def _open(path: str | Path, *progress: Any) -> Corpus:
    """A corpus; one that ships is read once by each process."""
    return _open_once(path) if _ships(path) else _open_corpus(path, *progress)


def _read(task: Any, split: str, files: Any, *cut: int | None) -> task_data.TaskData:
    """A task's data, validated; those that ship are read once by each process.

    A log line about them is then written once, too.
    """
    if not all(map(_ships, (files.questions, files.train, files.corpus))):
        return _read_task(task, split, files, *cut)
    key = repr((task.name, task.card, split, files, cut))
    if key not in _tasks_read:
        _tasks_read[key] = _read_task(task, split, files, *cut)
    return _tasks_read[key]


Corpus.open = staticmethod(_open)  # type: ignore[method-assign, assignment]
task_data._read = _read


class _Garbage:
    """Keeps the collector from all modules: each look at them takes a quarter of a second.

    A run looks whenever it measures memory, and Python itself again and again.
    """

    modules = 0

    @classmethod
    def leave_modules(cls, least: int = 100) -> None:
        """Leave what is there now alone, if so many modules were imported since the last time."""
        if len(sys.modules) >= cls.modules + least:
            gc.collect()
            gc.freeze()
            cls.modules = len(sys.modules)


def pytest_collection_finish() -> None:
    _Garbage.leave_modules()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first: at the end of the suite no worker waits for another one's long test."""

    def is_short(item: pytest.Item) -> bool:
        return not any(map(item.get_closest_marker, ("model", "slow")))

    items.sort(key=is_short)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """An empty cache, but the user's for tests of the default model: converting it takes a minute.

    A hook and not a fixture, so that it also holds for fixtures of a module or session.
    """
    _Garbage.leave_modules()
    if item.get_closest_marker("model") is None:
        os.environ["MEMORY_HARNESS_CACHE"] = _CACHE.name
    elif _USERS_CACHE is None:
        os.environ.pop("MEMORY_HARNESS_CACHE", None)
    else:
        os.environ["MEMORY_HARNESS_CACHE"] = _USERS_CACHE


@pytest.fixture(autouse=True)
def _own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_plugins", {})
    registry._installed.cache_clear()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are waited for as outside of tests, because time is measured."""
    monkeypatch.setattr(os, "fsync", _FSYNC)


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with random weights, built once."""
    return build_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def completion_model_dir(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model without a chat template, so that it is asked completions wherever it is."""
    folder = Path(shutil.copytree(tiny_model_dir, tmp_path_factory.mktemp("plain") / "tiny"))
    (folder / "chat_template.jinja").unlink()
    return folder


@pytest.fixture(scope="session")
def thinkers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny model, trained to think, with each of its chat templates; once for all processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "thinkers"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / ".lock"):
        done = folder / ".done"
        if not done.exists():
            build_tiny_thinkers(folder)
            done.touch()
    return {name: folder / name for name in TEMPLATES}
