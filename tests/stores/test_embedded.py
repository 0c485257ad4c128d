"""Memory, files and SQLite: sweeping as records are created, forks, several processes."""

from __future__ import annotations

import fcntl
import os
import random
import re
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from session_mw.backends import contention
from session_mw.exceptions import StoreError
from session_mw.protocols import Store
from session_mw.stores import memory
from session_mw.stores.file import FileStore, directory
from session_mw.stores.memory import MemoryStore
from session_mw.stores.sqlite import SQLiteStore
from session_mw.stores.urls import open_store
from session_mw.testing.fixtures import loaded, new_key
from session_mw.testing.parallel import add
from support.clock import Clock
from support.forks import code_of, start_untold
from support.interrupts import MAY_LAND_IN_A_FINALIZER, interrupted

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
    (held,) = map(int, re.findall(r"[0-9]+", repr(store)))
    assert held <= 100 * (memory.LOOKED_AT_PER_CREATE + 1)


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
    swept: FileStore | SQLiteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    if isinstance(swept, FileStore):
        monkeypatch.setattr(directory.Directory, "some_headers", fail)
        said = "expired sessions were not removed: the session directory failed: Input/output error"
    else:
        with sqlite3.connect(tmp_path / "s.db") as other:
            other.execute("CREATE TRIGGER no BEFORE DELETE ON sessions BEGIN SELECT RAISE(ABORT, 'not now'); END")
            other.execute("INSERT INTO sessions VALUES ('old', x'00', 1, 1, NULL)")
        other.close()
        said = "expired sessions were not removed: the session database failed: not now"
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
    return code_of(child)


@pytest.mark.parametrize("told_afterwards", [True, False])
def test_a_child_that_was_forked_in_c_does_not_wait_for_its_parents_threads(told_afterwards: bool) -> None:
    """Whatever lock a thread of the parent holds at that moment, no thread of the child will release it."""
    memory_store, key = MemoryStore(), new_key()
    memory_store.create(KEY, b"data", 600)
    held, forked = threading.Event(), threading.Event()

    class Slow(bytes):
        """Data whose version is asked for while the lock is held."""

    class Version(int):
        def __eq__(self, other: object) -> bool:
            held.set()
            forked.wait()
            return True

        def __ne__(self, other: object) -> bool:
            return not self == other

        __hash__ = int.__hash__

    def take_turns() -> None:
        contention.Tries().in_turn(key, lambda: memory_store.update(KEY, Slow(b"x"), 60, Version(0)))

    thread = threading.Thread(target=take_turns)
    thread.start()
    held.wait()

    def in_child() -> bool:
        started = time.monotonic()
        contention.give_way(key)
        contention.Tries().in_turn(key, lambda: memory_store.touch(KEY, 60))
        return memory_store.create(new_key(), b"x", 60) and time.monotonic() - started < 1

    child = start_untold(in_child, told_afterwards=told_afterwards)
    forked.set()
    thread.join()
    assert code_of(child) == 0
    assert contention.Tries().in_turn(key, lambda: loaded(memory_store, KEY).data) == b"x"


@MAY_LAND_IN_A_FINALIZER
def test_exceptions_from_outside_at_any_moment_leave_no_lock_in_memory() -> None:
    store, key = MemoryStore(), new_key()
    store.create(KEY, b"0", 600, "42")

    def work() -> None:
        record = store.load(KEY)
        assert record is not None
        store.update(KEY, record.data, 600, record.version, "42")
        store.create(key, b"data", 600, "43")
        store.delete(key)
        list(store.keys_of("42"))

    with interrupted(work, 150):
        started = time.monotonic()
        add(store, KEY, 3)
        store.delete(key)
        assert store.keys_of("43") == []
        assert time.monotonic() - started < 1


@MAY_LAND_IN_A_FINALIZER
def test_exceptions_from_outside_while_turns_are_taken_keep_nobody_waiting() -> None:
    key = new_key()

    def take_turn() -> None:
        contention.give_way(key)
        contention.Tries().in_turn(key, lambda: time.sleep(0))

    with interrupted(take_turn, 150):
        started = time.monotonic()
        take_turn()
        assert time.monotonic() - started < 0.2


def test_memory_says_where_it_is() -> None:
    store = MemoryStore.from_url("memory://", create=False)
    assert store.describe() == ("memory", "MemoryStore", "", (), False, True, False, ())
    assert MemoryStore.location_of("memory://") == ("memory", "memory://", "", (), False, True, False, ())


@pytest.mark.parametrize("url", ["file://{}/s", "sqlite:///{}/s.db", "sqlite+pysqlite:///{}/s.db"])
def test_sweeping_beside_a_create_takes_none_of_its_time(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    if "+" in url:
        pytest.importorskip("sqlalchemy")
    store = open_store(f"{url.format(tmp_path)}?timeout=0.4")
    store.create(new_key(), b"data", 1)
    clock.advance(60)
    monkeypatch.setattr("session_mw.stores.sqlite.store.SWEEP_ONE_IN", 1)
    monkeypatch.setattr("session_mw.stores.file.store.SWEEP_ONE_IN", 1)
    monkeypatch.setattr(random, "random", lambda: 0.0)
    monkeypatch.setattr(random, "choice", lambda shards: next(path.name for path in (tmp_path / "s").glob("??")))
    with all_locked(tmp_path):
        started = time.monotonic()
        with pytest.raises(StoreError):
            store.create(new_key(), b"data", 60)
        assert 0.3 < time.monotonic() - started < 0.7
    assert store.create(new_key(), b"data", 60)
    store.close()


@contextmanager
def all_locked(folder: Path) -> Iterator[None]:
    """Hold the locks of a store as another process does that works for long."""
    with ExitStack() as held:
        if (folder / "s").is_dir():
            for number in range(64):
                file = held.enter_context((folder / "s" / f".lock-{number:02x}").open("ab"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if (folder / "s.db").exists():
            connection = held.enter_context(closing(sqlite3.connect(folder / "s.db", isolation_level=None)))
            connection.execute("BEGIN IMMEDIATE")
        yield


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
