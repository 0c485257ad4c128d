"""SQLite's connections: how many, over forks and interruptions, and whose the file is."""

from __future__ import annotations

import gc
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.stores.sqlite import SQLiteStore, connections
from session_mw.testing.fixtures import loaded, new_key
from session_mw.testing.parallel import add, forked
from support.forks import as_nobody, code_of, start_untold, visible_folder
from support.interrupts import MAY_LAND_IN_A_FINALIZER, interrupt, interrupted

KEY = "0123456789abcdef" * 4

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
needs_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path)
    yield store
    store.close()


@pytest.fixture
def visible() -> Iterator[Path]:
    with visible_folder() as folder:
        yield folder


def open_files(folder: Path) -> list[str]:
    """The names of the files below a folder that this process has open, without the folder."""
    names = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return sorted(name.removeprefix(f"{folder}/") for name in names if name.startswith(f"{folder}/"))


# How many


@needs_proc
def test_threads_share_a_few_connections(store: SQLiteStore, tmp_path: Path) -> None:
    stay = threading.Barrier(41)

    def use() -> None:
        store.create(new_key(), b"data", 60)
        for _ in range(20):
            store.load(KEY)
        stay.wait()
        stay.wait()

    threads = [threading.Thread(target=use) for _ in range(40)]
    for thread in threads:
        thread.start()
    stay.wait()
    names = open_files(tmp_path)
    stay.wait()
    for thread in threads:
        thread.join()
    assert 1 <= names.count("sessions.db") <= connections.CONNECTIONS
    assert names.count("sessions.db-wal") <= connections.CONNECTIONS


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import gevent, os, sys
from session_mw.stores.sqlite import SQLiteStore
store = SQLiteStore(sys.argv[1])
def stream(number):
    key = "%064x" % number
    assert store.create(key, b"data", 60)
    gevent.sleep(0.01)
    assert store.load(key).data == b"data"
    gevent.sleep(1)
streams = [gevent.spawn(stream, number) for number in range(600)]
gevent.sleep(0.8)
print(sum(os.readlink(f"/proc/self/fd/{fd}").startswith(sys.argv[1]) for fd in os.listdir("/proc/self/fd")
          if os.path.islink(f"/proc/self/fd/{fd}")))
gevent.joinall(streams, raise_error=True)
store.close()
"""


@pytest.mark.heavy
@needs_proc
def test_six_hundred_open_streams_under_gevent_leave_descriptors(path: Path) -> None:
    pytest.importorskip("gevent")
    done = subprocess.run([sys.executable, "-c", GREENLETS, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert 2 <= int(done.stdout) <= 3 * connections.CONNECTIONS


WAITING = """
from gevent import monkey; monkey.patch_all()
import gevent, sqlite3, sys, time
from session_mw import open_store
store, key = open_store(sys.argv[1] + "?timeout=10"), "0123456789abcdef" * 4
store.create(key, b"data", 60)
other = sqlite3.connect(sys.argv[2], isolation_level=None)
other.execute("BEGIN IMMEDIATE")
writer, longest, end, last = gevent.spawn(store.touch, key, 600), 0.0, time.monotonic() + 1, time.monotonic()
while last < end:
    gevent.sleep(0.01)
    longest, last = max(longest, time.monotonic() - last), time.monotonic()
assert not writer.ready()
other.execute("COMMIT")
assert writer.get(timeout=5)
print(longest)
"""


@pytest.mark.heavy
@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite"])
def test_a_greenlet_that_waits_for_another_process_lets_others_go_on(path: Path, scheme: str) -> None:
    """Among them those that serve pages without a session."""
    pytest.importorskip("gevent")
    pytest.importorskip("sqlalchemy")
    command = [sys.executable, "-c", WAITING, f"{scheme}:///{path}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.7


def test_a_thread_waits_for_a_connection_that_another_uses(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS", 1)
    store = SQLiteStore(path, timeout=0.5)
    store.create(KEY, b"data", 60)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    failed: list[StoreError] = []

    def touch() -> None:
        try:
            store.touch(KEY, 60)
        except StoreError as error:
            failed.append(error)

    writer = threading.Thread(target=touch)
    writer.start()
    time.sleep(0.1)
    # the one connection is in use: by the thread that waits for the other process
    started = time.monotonic()
    assert loaded(store, KEY).data == b"data"
    assert 0.2 < time.monotonic() - started < 2
    writer.join()
    assert [str(error) for error in failed] == ["the session database failed: database is locked"]
    other.execute("ROLLBACK")
    other.close()
    assert store.touch(KEY, 60)
    store.close()


def test_waiting_for_a_connection_in_vain_ends_in_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS", 0)
    store = SQLiteStore(path, timeout=0.3)
    started = time.monotonic()
    with pytest.raises(StoreError, match="busy for too long"):
        store.load(KEY)
    assert 0.2 < time.monotonic() - started < 2
    store.close()


@pytest.mark.heavy
def test_waiting_for_a_lock_and_for_another_process_together_take_no_longer_than_the_timeout(path: Path) -> None:
    store = SQLiteStore(path, timeout=1)
    store.create(KEY, b"data", 60)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waited = []

    def touch() -> None:
        started = time.monotonic()
        with pytest.raises(StoreError):
            store.touch(KEY, 60)
        waited.append(time.monotonic() - started)

    threads = [threading.Thread(target=touch) for _ in range(4)]
    for thread in threads:
        thread.start()
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    other.close()
    store.close()
    assert len(waited) == 4
    assert max(waited) < 1.6


# Forks


@needs_proc
def test_no_connection_is_carried_over_a_fork(store: SQLiteStore, tmp_path: Path) -> None:
    store.create(KEY, b"data", 60)
    assert open_files(tmp_path)
    assert forked(lambda: not open_files(tmp_path))
    assert loaded(store, KEY).data == b"data"


@pytest.mark.parametrize("told_afterwards", [True, False])
def test_workers_that_were_forked_in_c_lose_nothing(store: SQLiteStore, told_afterwards: bool) -> None:
    store.create(KEY, b"0", 600)
    rounds, workers = 60, 4

    def work() -> bool:
        add(store, KEY, rounds)
        return True

    children = [start_untold(work, told_afterwards=told_afterwards) for _ in range(workers)]
    assert [code_of(child) for child in children] == [0] * workers
    assert loaded(store, KEY).data == b"%d" % (rounds * workers)


def test_a_child_does_not_wait_for_a_lock_that_a_thread_of_its_parent_held(path: Path) -> None:
    """The thread waits for another process at the fork, inside of SQLite and with the lock for writers."""
    store = SQLiteStore(path, timeout=2)
    store.create(KEY, b"0", 600)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    thread = threading.Thread(target=store.touch, args=(KEY, 700))
    thread.start()
    time.sleep(0.2)
    # A fork that comes while the thread holds a mutex of SQLite's own cannot be mended from Python; three do not.
    children = [start_untold(lambda: store.load(KEY) is not None) for _ in range(3)]
    other.execute("ROLLBACK")
    other.close()
    assert 0 in [code_of(child) for child in children]
    thread.join()
    store.close()


@pytest.mark.heavy
def test_a_child_that_ends_leaves_its_parents_log_alone(store: SQLiteStore, path: Path) -> None:
    store.create(KEY, b"data", 60)
    run = [
        sys.executable,
        "-c",
        "import ctypes, os, sys\n"
        "from session_mw.stores.sqlite import SQLiteStore\n"
        "store = SQLiteStore(sys.argv[1])\n"
        "store.create('b' * 64, b'x', 60)\n"
        "child = ctypes.PyDLL(None).fork()\n"
        "if child == 0:\n"
        "    if sys.version_info < (3, 13): ctypes.pythonapi.PyOS_AfterFork_Child()\n"
        "    store.create('c' * 64, b'x', 60)\n"
        "    sys.exit()\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert all(store.load(letter * 64) for letter in 'bc')\n",
        str(path),
    ]
    assert subprocess.run(run, timeout=60).returncode == 0
    assert path.with_name("sessions.db-wal").exists()
    assert all(store.load(letter * 64) for letter in "bc")


# Interruptions


def test_an_exception_from_outside_while_a_thread_waits_to_write_leaves_no_lock(path: Path) -> None:
    store = SQLiteStore(path, timeout=3)
    store.create(KEY, b"data", 60)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    stay = threading.Event()

    def request() -> None:
        try:
            store.touch(KEY, 600)
        except BaseException:  # noqa: BLE001 (whatever the request ends with, the server's thread lives on)
            stay.wait()
        stay.wait()

    threads = [threading.Thread(target=request) for _ in range(3)]
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    for thread in threads[1:]:
        interrupt(thread)
    other.execute("COMMIT")
    other.close()
    time.sleep(0.2)
    started = time.monotonic()
    assert store.touch(KEY, 900)
    assert time.monotonic() - started < 1
    stay.set()
    for thread in threads:
        thread.join()
    store.close()


@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
@MAY_LAND_IN_A_FINALIZER
def test_exceptions_from_outside_at_any_moment_leave_no_lock_and_no_transaction(path: Path) -> None:
    store = SQLiteStore(path, timeout=2)
    store.create(KEY, b"0", 600)

    def work() -> None:
        record = store.load(KEY)
        assert record is not None
        store.update(KEY, record.data, 600, record.version)
        store.touch(KEY, 600)
        list(store.keys_of("42"))

    with interrupted(work, 150):
        started = time.monotonic()
        assert store.touch(KEY, 900)
        add(store, KEY, 1)
        other = sqlite3.connect(path, isolation_level=None, timeout=0)
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
        # sqlite3 has a cycle of references: a statement that was broken off reads until it is collected.
        gc.collect()
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        other.close()
        assert time.monotonic() - started < 1
    store.close()


# Whose it is


@needs_root
def test_what_root_makes_belongs_to_the_owner_of_the_directory(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    store = SQLiteStore(tmp_path / "s.db")
    store.create(KEY, b"data", 60)
    owners = {file.name: (file.stat().st_uid, file.stat().st_gid) for file in tmp_path.iterdir()}
    store.close()
    assert owners == dict.fromkeys(("s.db", "s.db-wal", "s.db-shm"), (65534, 65534))


@needs_root
def test_a_file_of_another_user_is_an_error_that_says_whose_it_is(visible: Path) -> None:
    folder = visible
    SQLiteStore(folder / "s.db").close()
    told = as_nobody(lambda: repr(SQLiteStore(folder / "s.db")))
    assert told.startswith("ConfigurationError: ")
    assert f"'{folder}/s.db' belongs to root:root with mode 0600, and this process runs as nobody:" in told
    told = as_nobody(lambda: repr(SQLiteStore(folder / "new.db")))
    assert told.startswith(f"ConfigurationError: '{folder}/new.db' cannot be made: Permission denied; ")
    assert f"'{folder}' belongs to root:root with mode 0755, and this process runs as nobody:" in told


# Where it is


def test_it_says_where_it_is(store: SQLiteStore, path: Path, tmp_path: Path) -> None:
    assert store.describe() == ("sqlite", repr(store), str(path), (), False, True, False, ())
    url = f"sqlite:///{tmp_path}/none.db?table=t"
    assert SQLiteStore.location_of(url) == ("sqlite", url, f"{tmp_path}/none.db", (), False, True, False, ())
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(ConfigurationError, match="names no file"):
        SQLiteStore.location_of("sqlite://")


def test_nothing_is_made_where_it_is_not_wanted(path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SQLiteStore.from_url(f"sqlite:///{path}", create=False)
    assert str(caught.value) == f"there is no {str(path)!r}, so nothing was looked at; is the path right?"
    assert list(path.parent.iterdir()) == []
    SQLiteStore(path, table="other").close()
    with pytest.raises(ConfigurationError, match="has no table 'sessions', so nothing was looked at"):
        SQLiteStore.from_url(f"sqlite:///{path}", create=False)
    store = SQLiteStore.from_url(f"sqlite:///{path}?table=other", create=False)
    assert store.create(KEY, b"data", 60)
    store.close()
