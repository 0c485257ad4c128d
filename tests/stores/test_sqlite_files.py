"""The file of SQLite underneath its stores: small and full disks, and a file that is exchanged while it is in use."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from session_mw.exceptions import StoreError
from session_mw.stores.sqlite import connections
from session_mw.stores.sqlite.log import LOG_BYTES
from session_mw.stores.urls import open_store
from session_mw.testing.fixtures import loaded, new_key

KEY = "0123456789abcdef" * 4

Open = Callable[[Path], Any]


@pytest.fixture(params=["sqlite", "sqlite+pysqlite"])
def opened(request: pytest.FixtureRequest) -> Open:
    """Opens a store on a file."""
    if "+" in request.param:
        pytest.importorskip("sqlalchemy")
    return lambda path: open_store(f"{request.param}:///{path}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def store(opened: Open, path: Path) -> Iterator[Any]:
    store = opened(path)
    yield store
    store.close()


# Small and full disks


def test_the_log_stays_short_however_often_sessions_change(store: Any, path: Path) -> None:
    keys = [new_key() for _ in range(100)]
    for key in keys:
        store.create(key, b"x" * 400, 3600, "42")
    for number in range(2000):
        key = keys[number % 100]
        assert store.update(key, b"y" * 400, 3600, loaded(store, key).version, "42")
    assert path.with_name("sessions.db-wal").stat().st_size < 700_000


def test_a_log_that_a_long_reader_made_long_is_cut_afterwards(store: Any, path: Path) -> None:
    store.create(KEY, b"x", 3600)
    backup = sqlite3.connect(path, isolation_level=None)
    backup.execute("BEGIN")
    backup.execute("SELECT count(*) FROM sessions").fetchall()
    for _ in range(1500):
        store.touch(KEY, 3600)
        assert store.update(KEY, b"y" * 4000, 3600, loaded(store, KEY).version)
    log = path.with_name("sessions.db-wal")
    assert log.stat().st_size > LOG_BYTES
    backup.execute("ROLLBACK")
    backup.close()
    for _ in range(200):
        store.touch(KEY, 3600)
    assert log.stat().st_size <= LOG_BYTES


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root, to mount a small disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", disk], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def fill(disk: Path) -> Path:
    """What another program wrote, until there was no space left."""
    other = disk / "other"
    with other.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 1024):
            pass
    return other


@pytest.mark.parametrize("restarted", [False, True])
def test_a_full_disk_still_logs_out(opened: Open, small_disk: Path, restarted: bool) -> None:
    store = opened(small_disk / "s.db")
    keys = [new_key() for _ in range(100)]
    for key in keys:
        assert store.create(key, b"x" * 400, 3600, "42")
    if restarted:
        store.close()
        store = opened(small_disk / "s.db")
        assert store.load(keys[0])
    fill(small_disk)
    for key in keys:
        store.delete(key)
        assert store.load(key) is None
    store.close()


def test_a_small_disk_holds_a_hundred_sessions_however_often_they_change(opened: Open, small_disk: Path) -> None:
    store = opened(small_disk / "s.db")
    keys = [new_key() for _ in range(100)]
    for key in keys:
        assert store.create(key, b"x" * 400, 3600, "42")
    for number in range(3000):
        key = keys[number % 100]
        assert store.update(key, b"y" * 400, 3600, loaded(store, key).version, "42")
    store.close()


def fill_with_sessions(store: Any) -> None:
    for _ in range(1000):
        store.create(new_key(), b"x" * 4000, 3600)


def test_a_disk_that_is_full_of_sessions_still_logs_out(opened: Open, small_disk: Path) -> None:
    store = opened(small_disk / "s.db")
    keys = [new_key() for _ in range(20)]
    for key in keys:
        store.create(key, b"x" * 400, 3600)
    with pytest.raises(StoreError, match=r"disk .*is full"):
        fill_with_sessions(store)
    for key in keys:
        store.delete(key)
        assert store.load(key) is None
    store.close()


def test_a_full_disk_that_has_space_again_needs_no_restart(opened: Open, small_disk: Path) -> None:
    store = opened(small_disk / "s.db")
    other = fill(small_disk)
    with pytest.raises(StoreError, match=r"disk .*is full"):
        fill_with_sessions(store)
    other.unlink()
    assert store.create(KEY, b"x" * 4000, 3600)
    store.close()


# A file that is exchanged


def files_of(path: Path) -> list[Path]:
    return [path.with_name(path.name + ending) for ending in ("", "-wal", "-shm")]


def remove(path: Path) -> None:
    for file in files_of(path):
        file.unlink(missing_ok=True)


def test_a_file_that_was_exchanged_is_used_from_then_on(opened: Open, store: Any, path: Path) -> None:
    store.create(KEY, b"alice", 600)
    remove(path)
    worker = opened(path)
    bob, carol = new_key(), new_key()
    assert worker.create(bob, b"bob", 600)
    assert store.load(KEY) is None
    assert loaded(store, bob).data == b"bob"
    store.delete(bob)
    assert worker.load(bob) is None
    assert store.create(carol, b"carol", 600)
    assert loaded(worker, carol).data == b"carol"
    worker.close()
    assert loaded(store, carol).data == b"carol"


@pytest.mark.parametrize("use", ["load", "create", "keys_of", "delete"])
def test_the_first_use_after_an_exchange_sees_the_new_file(opened: Open, store: Any, path: Path, use: str) -> None:
    store.create(KEY, b"old", 600, "42")
    remove(path)
    worker = opened(path)
    worker.create(KEY, b"new", 600)
    time.sleep(2 * connections.LOOK_AGAIN)
    calls: dict[str, Callable[[], object]] = {
        "load": lambda: loaded(store, KEY).data,
        "create": lambda: store.create(KEY, b"x", 600),
        "keys_of": lambda: list(store.keys_of("42")),
        "delete": lambda: store.delete(KEY) or worker.load(KEY),
    }
    assert calls[use]() == {"load": b"new", "create": False, "keys_of": [], "delete": None}[use]
    worker.close()


def test_what_the_former_connections_leave_is_not_the_new_files(opened: Open, store: Any, path: Path) -> None:
    """SQLite removes a log by its name when the last connection to a file is closed."""
    store.create(KEY, b"old", 600)
    remove(path)
    worker = opened(path)
    worker.create(KEY, b"new", 600)
    assert loaded(store, KEY).data == b"new"
    store.close()
    assert all(file.exists() for file in files_of(path))
    assert loaded(worker, KEY).data == b"new"
    worker.close()


def test_a_removed_file_is_an_error_until_it_is_back(store: Any, path: Path) -> None:
    store.create(KEY, b"data", 600)
    moved = [(file, file.with_name(f"moved-{file.name}")) for file in files_of(path)]
    for file, elsewhere in moved:
        file.rename(elsewhere)
    time.sleep(2 * connections.LOOK_AGAIN)
    for use in (lambda: store.load(KEY), lambda: store.touch(KEY, 60), lambda: store.create(new_key(), b"x", 60)):
        with pytest.raises(StoreError, match="was removed while it was in use"):
            use()
    assert not path.exists()
    for file, elsewhere in moved:
        elsewhere.rename(file)
    assert loaded(store, KEY).data == b"data"


@pytest.mark.parametrize("ending", ["-wal", "-shm"])
def test_a_log_that_a_cleaner_removed_is_an_error_once_and_loses_nothing(store: Any, path: Path, ending: str) -> None:
    store.create(KEY, b"data", 600)
    path.with_name(path.name + ending).unlink()
    time.sleep(2 * connections.LOOK_AGAIN)
    with pytest.raises(StoreError, match=r"write-ahead log .* was removed or exchanged"):
        store.touch(KEY, 700)
    assert loaded(store, KEY).data == b"data"
    assert store.touch(KEY, 800)


@pytest.mark.parametrize("foreign", [b"", b"somebody's notes " * 300])
def test_a_foreign_file_in_the_place_of_the_database_is_an_error(store: Any, path: Path, foreign: bytes) -> None:
    store.create(KEY, b"data", 600)
    remove(path)
    path.write_bytes(foreign)
    path.chmod(0o600)
    time.sleep(2 * connections.LOOK_AGAIN)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"has no table|no such table|file is not a database"):
            store.load(KEY)
    if foreign:
        assert path.read_bytes() == foreign


def test_a_backup_that_was_moved_into_place_beside_the_former_log_is_an_error(store: Any, path: Path) -> None:
    store.create(KEY, b"data", 600)
    backup = path.with_name("backup.db")
    shutil.copy(path, backup)
    backup.replace(path)
    time.sleep(2 * connections.LOOK_AGAIN)
    with pytest.raises(StoreError, match="the former one's log is still beside it"):
        store.load(KEY)


def test_a_backup_without_a_log_is_used(store: Any, path: Path) -> None:
    store.create(KEY, b"backup", 600)
    backup = path.with_name("backup.db")
    with sqlite3.connect(path) as connection:
        connection.execute("VACUUM INTO ?", (str(backup),))
    connection.close()
    backup.chmod(0o600)
    assert store.update(KEY, b"later", 600, loaded(store, KEY).version)
    remove(path)
    backup.rename(path)
    time.sleep(2 * connections.LOOK_AGAIN)
    assert loaded(store, KEY).data == b"backup"
    assert store.update(KEY, b"again", 600, loaded(store, KEY).version)
