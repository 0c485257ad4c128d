"""SQLite: modes, tables, locks, threads, forks, sweeping."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.stores.sqlite import SQLiteStore
from session_mw.testing.fixtures import loaded, new_key
from session_mw.testing.parallel import at_once

KEY = "0123456789abcdef" * 4
BAD_KEYS = ["", "../../etc/passwd", "' OR 1=1--", "*", "x 0 0 1\r\n1", "x" * 5000, KEY.upper(), KEY + "\n", "ü" * 64]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "sessions.db")
    yield store
    store.close()


def test_the_database_and_its_journals_are_for_their_owner_only(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        store = SQLiteStore(tmp_path / "s.db")
        store.create(KEY, b"data", 60)
        modes = {path.name: mode_of(path) for path in tmp_path.iterdir()}
    finally:
        os.umask(umask)
    store.close()
    assert modes == {"s.db": 0o600, "s.db-wal": 0o600, "s.db-shm": 0o600}


def test_a_database_that_others_may_read_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "s.db"
    path.touch(0o644)
    SQLiteStore(path).close()
    assert caplog.messages == [f"others may read the sessions in {str(path)!r}; chmod 600 it"]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"somebody's notes " * 100)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="file is not a database"):
        SQLiteStore(path)
    assert path.read_bytes() == b"somebody's notes " * 100


def test_a_table_of_another_application_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE sessions (key TEXT, expires INTEGER, principal TEXT)")
    connection.close()
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=r"no such column: data.*name another file or table"):
        SQLiteStore(path)
    assert path.read_bytes() == before
    other = SQLiteStore(path, table="web_sessions")
    assert other.create(KEY, b"data", 60)
    other.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_nothing_is_open_before_the_first_request(tmp_path: Path) -> None:
    """uWSGI loads the application, and then forks without telling Python beforehand."""
    store = SQLiteStore(tmp_path / "s.db")
    opened = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.exists()]
    assert not [name for name in opened if name.startswith(str(tmp_path))]
    assert store.create(KEY, b"data", 60)
    store.close()


@pytest.mark.parametrize("table", ["", "a b", "a;b", "1a", 'a"b', "x" * 61])
def test_a_tables_name_is_checked(tmp_path: Path, table: str) -> None:
    with pytest.raises(ConfigurationError, match="must be at most 60 ASCII letters"):
        SQLiteStore(tmp_path / "s.db", table=table)
    assert list(tmp_path.iterdir()) == []


def test_two_tables_of_one_file_are_two_stores(tmp_path: Path) -> None:
    one, two = (SQLiteStore(tmp_path / "s.db", table=name) for name in ("one", "two"))
    one.create(KEY, b"data", 60)
    assert two.load(KEY) is None
    one.close()
    two.close()


@pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
def test_a_key_is_never_taken_for_sql(database: SQLiteStore, key: str) -> None:
    database.create(KEY, b"data", 60)
    assert database.load(key) is None
    database.delete(key)
    assert database.touch(key, 60) is False
    assert loaded(database, KEY).data == b"data"


def test_a_locked_database_is_an_error_in_time(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "s.db", timeout=0.2)
    store.create(KEY, b"data", 60)
    other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with pytest.raises(StoreError, match="database is locked") as caught:
        store.touch(KEY, 600)
    assert time.monotonic() - started < 5
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    assert loaded(store, KEY).data == b"data"
    other.execute("ROLLBACK")
    other.close()
    assert store.touch(KEY, 600)
    store.close()


def test_a_closed_database_is_an_error(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "s.db")
    store.close()
    store.close()
    with pytest.raises(StoreError, match="was closed"):
        store.load(KEY)


def test_closing_closes_the_connections_of_all_threads(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "s.db")
    at_once(lambda _: store.create(new_key(), b"data", 60))
    kept = threading.Event()
    used = threading.Event()

    def use() -> None:
        store.load(KEY)
        used.set()
        kept.wait()

    thread = threading.Thread(target=use)
    thread.start()
    used.wait()
    store.close()
    # SQLite removes the journals with the last connection
    left = sorted(path.name for path in tmp_path.iterdir())
    kept.set()
    thread.join()
    assert left == ["s.db"]


def test_a_sweep_needs_no_more_memory_for_more_records(database: SQLiteStore, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "sessions.db")
    connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
        " INSERT INTO sessions SELECT printf('%064x', i), x'00', 1, 1, NULL FROM n"
    )
    connection.commit()
    connection.close()
    assert database.count_expired() == 100_000
    tracemalloc.start()
    try:
        assert sum(database.sweep()) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


OPEN = """
import sys
from session_mw.stores.sqlite import SQLiteStore
store = SQLiteStore(sys.argv[1])
store.create("%064x" % int(sys.argv[2]), b"data", 60)
store.close()
"""


def test_processes_may_open_a_new_database_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    processes = [subprocess.Popen([sys.executable, "-c", OPEN, str(path), str(number)]) for number in range(6)]
    assert [process.wait(60) for process in processes] == [0] * 6
    store = SQLiteStore(path)
    assert all(store.load(f"{number:064x}") for number in range(6))
    store.close()
