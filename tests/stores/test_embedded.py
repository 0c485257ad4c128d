"""Memory, files and SQLite: sweeping as records are created, forks, several processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_mw.protocols import Store
from session_mw.stores import memory
from session_mw.stores.file import FileStore, directory
from session_mw.stores.memory import MemoryStore
from session_mw.stores.sqlite import SQLiteStore
from session_mw.stores.urls import open_store
from session_mw.testing.fixtures import loaded, new_key
from support.clock import Clock

KEY = "0123456789abcdef" * 4


def fill(store: Store, count: int, ttl: int) -> None:
    for _ in range(count):
        store.create(new_key(), b"data", ttl)


def test_expired_records_in_memory_never_outnumber_the_live_ones_for_long(clock: Clock) -> None:
    store = MemoryStore()
    for _ in range(30):
        for _ in range(100):
            store.create(new_key(), b"data", 60, "42")
        clock.advance(60)
    assert len(store._records) <= 100 * (memory.LOOKED_AT_PER_CREATE + 1)
    assert len(store._principals) == len(store._keys["42"]) == len(store._records)


def test_a_closed_memory_store_holds_nothing() -> None:
    store = MemoryStore()
    store.create(KEY, b"data", 60, "42")
    store.close()
    assert store.load(KEY) is None
    assert store.keys_of("42") == []


@pytest.fixture(params=["file", "sqlite"])
def swept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileStore | SQLiteStore]:
    store: FileStore | SQLiteStore
    store = FileStore(tmp_path / "s") if request.param == "file" else SQLiteStore(tmp_path / "s.db")
    yield store
    store.close()


def test_a_small_site_needs_no_cron_job(
    swept: FileStore | SQLiteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "SHARDS", ["00"])
    for _ in range(20):
        for _ in range(100):
            swept.create(f"00{new_key()[2:]}", b"data", 60)
        clock.advance(60)
    assert swept.count_expired() <= 250


def test_a_sweep_that_fails_fails_no_request(
    swept: FileStore | SQLiteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    if isinstance(swept, FileStore):
        monkeypatch.setattr(swept._directory, "some_headers", fail)
        said = "expired sessions were not removed: the session directory failed: Input/output error"
    else:
        monkeypatch.setattr(swept, "_sql", swept._sql._replace(sweep="DELETE FROM gone"))
        said = "expired sessions were not removed: the session database failed: no such table: gone"
    fill(swept, 100, 60)
    assert caplog.messages
    assert set(caplog.messages) == {said}


def test_a_child_forked_by_a_busy_process_does_not_hang(tmp_path: Path) -> None:
    stores: list[Store] = [SQLiteStore(tmp_path / "sessions.db"), FileStore(tmp_path / "sessions"), MemoryStore()]
    stop = threading.Event()

    def be_busy() -> None:
        while not stop.is_set():
            for store in stores:
                store.create(new_key(), b"data", 60)

    threads = [threading.Thread(target=be_busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        codes = [fork_and_write(stores) for _ in range(20)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for store in stores:
            store.close()
    assert codes == [0] * 20


def fork_and_write(stores: list[Store]) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            written = all(store.create(KEY, b"x", 60) or store.load(KEY) for store in stores)
            os._exit(0 if written else 1)
        finally:
            os._exit(2)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -9


ADD = """
import sys
from session_mw.stores.urls import open_store
from session_mw.testing.parallel import add
store = open_store(sys.argv[1])
add(store, sys.argv[2], int(sys.argv[3]))
store.close()
"""


@pytest.mark.parametrize("url", ["file://{}/s", "sqlite:///{}/s.db"])
def test_processes_that_add_to_one_record_lose_nothing(url: str, tmp_path: Path) -> None:
    store = open_store(url.format(tmp_path))
    store.create(KEY, b"0", 60)
    run = [sys.executable, "-c", ADD, url.format(tmp_path), KEY, "250"]
    processes = [subprocess.Popen(run) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    assert loaded(store, KEY).data == b"1000"
    store.close()
