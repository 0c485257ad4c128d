"""A process that is killed while it writes leaves the old record or the new one."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from session_mw.protocols import Store
from session_mw.stores.urls import open_store
from session_mw.testing.fixtures import loaded

ROUNDS = 200
# The longest that a writer lives, in seconds: several writings of each key.
LIFE = 0.01
KEYS = [f"{number:064x}" for number in range(3)]
COMING_AND_GOING = "f" * 64


def data_of(number: int) -> bytes:
    """Several pages in which every part tells its number, so that a mixture is seen."""
    return (b"%010d" % number) * (500 + number * 37 % 1000)


def number_of(data: bytes) -> int:
    number = int(data[:10])
    assert data == data_of(number), "the record is a mixture"
    return number


def write_for_ever(store: Store, started: int) -> None:
    """Write in all ways; tell the parent at the first."""
    while True:
        for key in KEYS:
            record = loaded(store, key)
            store.update(key, data_of(number_of(record.data) + 1), 600, record.version)
            store.touch(key, 600)
        store.delete(COMING_AND_GOING)
        store.create(COMING_AND_GOING, data_of(7), 600)
        if started:
            os.write(started, b"!")
            os.close(started)
            started = 0


def killed_writer(store: Store) -> None:
    """Fork a child that writes, and kill it at a moment taken at random."""
    hears, tells = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            write_for_ever(store, tells)
        finally:
            os._exit(1)
    os.close(tells)
    heard = os.read(hears, 1)
    os.close(hears)
    time.sleep(random.uniform(0, LIFE))
    os.kill(child, signal.SIGKILL)
    assert heard == b"!"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.heavy
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("url", ["file://{}/sessions", "sqlite:///{}/sessions.db"])
def test_a_killed_writer_leaves_the_old_record_or_the_new(url: str, tmp_path: Path) -> None:
    store = open_store(url.format(tmp_path))
    numbers = dict.fromkeys(KEYS, 0)
    for key in KEYS:
        store.create(key, data_of(0), 600)
    for _ in range(ROUNDS):
        killed_writer(store)
        for key, before in numbers.items():
            numbers[key] = number_of(loaded(store, key).data)
            assert numbers[key] > before
        coming_or_gone = store.load(COMING_AND_GOING)
        assert coming_or_gone is None or coming_or_gone.data == data_of(7)
    assert store.update(KEYS[0], b"still writable", 600, loaded(store, KEYS[0]).version)
    store.close()


@pytest.mark.heavy
def test_a_database_is_whole_after_many_killed_writers(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/sessions.db")
    for key in KEYS:
        store.create(key, data_of(0), 600)
    for _ in range(30):
        killed_writer(store)
    store.close()
    connection = sqlite3.connect(tmp_path / "sessions.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


@pytest.mark.heavy
def test_killed_writers_leave_no_lock_and_what_they_left_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"file://{tmp_path}/sessions?timeout=1")
    for key in KEYS:
        store.create(key, data_of(0), 600)
    for _ in range(60):
        killed_writer(store)
        assert all(store.touch(key, 600) for key in KEYS)
    later = time.time() + 86400
    monkeypatch.setattr(time, "time", lambda: later)
    assert sum(store.sweep()) >= len(KEYS)  # type: ignore[attr-defined]
    assert [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.startswith(".lock-")] == []
