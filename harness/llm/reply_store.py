"""Store of replies on disk: texts by key, in an SQLite file that several processes may share.

The entries used longest ago make room for new ones. What is damaged, full or read-only costs
replies, never a run: one line says so, and what is asked is asked of the model.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from time import time
from typing import NamedTuple, TypeVar

from filelock import FileLock, Timeout

FILE = "replies.sqlite"
BUSY_SECONDS = 10.0
KEPT_SHARE = 0.9
"""Of the limit, once it is reached: making room takes longer than an entry."""
_OPENING = (
    "PRAGMA auto_vacuum = FULL",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "CREATE TABLE IF NOT EXISTS replies "
    "(key TEXT PRIMARY KEY, value TEXT, checksum TEXT, given TEXT, used REAL)",
    "CREATE INDEX IF NOT EXISTS by_use ON replies (used)",
)
_ROOM = (
    "DELETE FROM replies WHERE key IN (SELECT key FROM replies ORDER BY used, rowid "
    "LIMIT 1 + (SELECT count(*) FROM replies) / 20)"
)

logger = logging.getLogger(__name__)
Done = TypeVar("Done")


class Entry(NamedTuple):
    """A text that was kept, and the day on which it was."""

    value: str
    given: str


class ReplyStore:
    """The texts below a folder, ``most_bytes`` of them; threads may share it."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.path, self.most_bytes = folder / FILE, most_bytes
        self._lock, self._warned, self._off = Lock(), False, False
        self._connection: sqlite3.Connection | None = None

    def get(self, keys: Sequence[str]) -> Mapping[str, Entry]:
        """What is kept under keys, which is used now."""
        return self._tried(lambda connection: _found(connection, keys, self._warn), {})

    def put(self, key: str, value: str) -> None:
        """Keep a text."""
        row = (key, value, _checksum(key, value), datetime.now(UTC).date().isoformat(), time())

        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.execute("INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?)", row)
            if _size(connection) > self.most_bytes:
                _make_room(connection, int(KEPT_SHARE * self.most_bytes))

        self._tried(write, None)

    def count(self) -> int:
        """How many texts are kept."""
        if not self.path.exists():
            return 0
        count = "SELECT count(*) FROM replies"
        return self._tried(lambda connection: int(connection.execute(count).fetchone()[0]), 0)

    @property
    def bytes(self) -> int:
        """What its files take."""
        return sum(file.stat().st_size for file in self._files() if file.exists())

    def clear(self) -> None:
        """Delete everything that is kept."""

        def delete(connection: sqlite3.Connection) -> None:
            with connection:
                connection.execute("DELETE FROM replies")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

        if self.path.exists():
            self._tried(delete, None)

    def _files(self) -> list[Path]:
        return [self.path.with_name(f"{FILE}{suffix}") for suffix in ("", "-wal", "-shm")]

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _tried(self, work: Callable[[sqlite3.Connection], Done], without: Done) -> Done:
        """The work's result; ``without`` where the file is of no use, which is made anew once."""
        with self._lock:
            if self._off:
                return without
            try:
                return work(self._open())
            except sqlite3.OperationalError as error:  # locked for long, read-only, full
                self._stop(error)
            except (sqlite3.DatabaseError, OSError, Timeout) as error:
                if isinstance(error, sqlite3.DatabaseError) and self._anew(error):
                    return without
                self._stop(error)
            return without

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Two processes that open a new file at once would lock each other out.
            with FileLock(self.path.parent / ".lock", timeout=BUSY_SECONDS):
                self._connection = _opened(self.path)
        return self._connection

    def _anew(self, error: Exception) -> bool:
        """Whether a damaged file was put away, so that a new one can take its place."""
        self._warn(f"damaged ({error}); it is made anew")
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        try:
            with FileLock(self.path.parent / ".lock", timeout=BUSY_SECONDS):
                for file in self._files():
                    file.unlink(missing_ok=True)
        except (OSError, Timeout):
            return False
        return True

    def _stop(self, error: Exception) -> None:
        self._off = True
        self._warn(f"cannot be used ({error}); replies are neither taken from it nor kept")

    def _warn(self, what: str) -> None:
        if not self._warned:
            logger.warning("%s: %s", self.path, what)
        self._warned = True


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        for statement in _OPENING:
            connection.execute(statement)
        connection.commit()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _found(
    connection: sqlite3.Connection, keys: Sequence[str], warn: Callable[[str], None]
) -> Mapping[str, Entry]:
    found: dict[str, Entry] = {}
    select = "SELECT value, checksum, given FROM replies WHERE key = ?"
    for key in keys:
        row = connection.execute(select, (key,)).fetchone()
        if row is None:
            continue
        if isinstance(row[0], str) and _checksum(key, row[0]) == row[1]:
            found[key] = Entry(row[0], str(row[2]))
        else:
            warn("an entry is damaged; it is asked and kept anew")
    if found:
        with connection:
            now = [(time(), key) for key in found]
            connection.executemany("UPDATE replies SET used = ? WHERE key = ?", now)
    return found


def _make_room(connection: sqlite3.Connection, most: int) -> None:
    """Delete what was used longest ago until no more than ``most`` bytes are left."""
    while _size(connection) > most:
        with connection:
            if not connection.execute(_ROOM).rowcount:
                return


def _size(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _checksum(key: str, value: str) -> str:
    return hashlib.sha256(f"{key} {value}".encode()).hexdigest()
