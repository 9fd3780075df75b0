"""Replies on disk: kept for other processes, within a limit, and no damage ends a run."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from harness.llm.reply_store import FILE, ReplyStore

MB = 10**6


@pytest.fixture
def store(tmp_path: Path) -> ReplyStore:
    return ReplyStore(tmp_path / "replies", MB)


def values(store: ReplyStore, *keys: str) -> dict[str, str]:
    return {key: entry.value for key, entry in store.get(keys).items()}


def test_what_one_puts_another_gets(store: ReplyStore) -> None:
    assert values(store, "a") == {} and store.count() == 0
    store.put("a", "old")
    store.put("a", "été")
    store.put("b", "")
    again = ReplyStore(store.path.parent, MB)
    assert values(again, "b", "a", "c") == {"a": "été", "b": ""}
    assert again.count() == 2 and again.bytes > 0
    again.clear()
    assert store.count() == 0 and values(store, "a") == {}


WRITER = """
import sys
from pathlib import Path
from harness.llm.reply_store import ReplyStore

name, store = sys.argv[2], ReplyStore(Path(sys.argv[1]), 10**7)
for n in range(150):
    store.put(f"{name}{n}", name * n)
    assert store.get([f"{name}{n}"])
"""


def test_several_processes_share_a_new_file(tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), name], stderr=subprocess.PIPE, text=True
        )
        for name in "xyz"
    ]
    assert [process.communicate()[1] for process in started] == ["", "", ""]
    store = ReplyStore(tmp_path, 10 * MB)
    assert store.count() == 450
    assert values(store, "x7", "y7", "z149") == {"x7": "x" * 7, "y7": "y" * 7, "z149": "z" * 149}


def test_what_was_used_longest_ago_makes_room(store: ReplyStore) -> None:
    for n in range(60):
        store.put(str(n), str(n) * 4000)
    store.get(["0", "1"])
    for n in range(60, 200):
        store.put(str(n), "x" * 8000)
        store.get(["0", "1"])
    kept = values(store, *map(str, range(200)))
    assert {"0", "1", "199"} <= kept.keys()
    assert "2" not in kept and len(kept) < 200
    assert store.path.stat().st_size < 1.1 * MB


def test_a_damaged_entry_is_passed_over(
    store: ReplyStore, caplog: pytest.LogCaptureFixture
) -> None:
    for key in "abc":
        store.put(key, f"reply {key}")
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE replies SET value = 'reply x' WHERE key = 'a'")
        connection.execute("UPDATE replies SET value = x'00ff' WHERE key = 'b'")
    with caplog.at_level(logging.WARNING):
        assert values(store, "a", "b", "c") == {"c": "reply c"}
    assert [f"{store.path}: an entry is damaged" in m for m in caplog.messages] == [True]
    store.put("a", "reply a")
    assert values(store, "a") == {"a": "reply a"}


@pytest.mark.parametrize("damage", ["no database", "torn"])
def test_a_damaged_file_is_made_anew(
    store: ReplyStore, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(50):
        store.put(str(n), "x" * 2000)
    store.close()
    content = store.path.read_bytes()
    torn = content[:4096] + bytes(len(content) - 4096)
    store.path.write_bytes(b"these are no replies" * 500 if damage == "no database" else torn)
    again = ReplyStore(store.path.parent, MB)
    with caplog.at_level(logging.WARNING):
        assert again.get(["1"]) == {}
        again.put("1", "one")
    assert values(again, "1") == {"1": "one"}
    assert [f"{FILE}: damaged" in m for m in caplog.messages] == [True]


@pytest.mark.parametrize("lack", ["PRAGMA query_only = 1", "PRAGMA max_page_count = 1"])
def test_a_disk_that_takes_no_more_ends_nothing(
    store: ReplyStore, lack: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.put("a", "reply")
    store._open().execute(lack)
    with caplog.at_level(logging.WARNING):
        for n in range(5):
            store.put(str(n), "x" * 100_000)
    assert store.get(["a"]) == {}
    (told,) = caplog.messages
    assert "cannot be used (" in told and "\n" not in told


def test_a_folder_that_cannot_be_made_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    store = ReplyStore(tmp_path / "file" / "replies", MB)
    with caplog.at_level(logging.WARNING):
        store.put("a", "reply")
        assert store.get(["a"]) == {}
    assert len(caplog.messages) == 1
