from __future__ import annotations

import logging
import os
import random
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")

import sqlalchemy

from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.protocols import SweepableStore
from session_mw.stores.sqlalchemy import SQLAlchemyStore
from session_mw.testing import StoreContract
from session_mw.testing.fixtures import loaded, new_key
from session_mw.testing.parallel import forked
from support import dropping, services
from support.databases import PostgreSQL, a_table
from support.shared_store import assert_threads_take_turns, assert_works_in_child

needs_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLAlchemyStore]:
    store = SQLAlchemyStore.from_url(f"sqlite+pysqlite:///{tmp_path}/sessions.db")
    yield store
    store.close()


@pytest.fixture
def postgresql_store(postgresql: PostgreSQL) -> Iterator[SQLAlchemyStore]:
    store = SQLAlchemyStore.from_url(f"{postgresql.url('psycopg')}?table={a_table()}")
    yield store
    store.close()


class TestSQLite(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SQLAlchemyStore]:
        store = SQLAlchemyStore.from_url(f"sqlite+pysqlite:///{tmp_path}/sessions.db")
        yield store
        store.close()


@pytest.mark.heavy
class TestPostgreSQL(StoreContract):
    @pytest.fixture
    def store(self, postgresql_store: SQLAlchemyStore) -> SQLAlchemyStore:
        return postgresql_store


def statements_of(engine: sqlalchemy.Engine, operation: Callable[[], object]) -> list[str]:
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: object) -> None:
        seen.append(statement.split()[0])

    sqlalchemy.event.listen(engine, "before_cursor_execute", note)
    operation()
    sqlalchemy.event.remove(engine, "before_cursor_execute", note)
    return seen


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sqlalchemy.Engine]:
    """The database of ``store``, past it."""
    engine = sqlalchemy.create_engine(f"sqlite+pysqlite:///{tmp_path}/sessions.db", isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


def test_each_operation_is_one_statement(engine: sqlalchemy.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.5)
    store = SQLAlchemyStore(engine)
    key = new_key()
    store.load(key)
    assert statements_of(engine, lambda: store.create(key, b"a", 60, "42")) == ["INSERT"]
    version = loaded(store, key).version
    assert statements_of(engine, lambda: store.load(key)) == ["SELECT"]
    assert statements_of(engine, lambda: store.update(key, b"b", 60, version, "42")) == ["UPDATE"]
    assert statements_of(engine, lambda: store.touch(key, 60)) == ["UPDATE"]
    assert statements_of(engine, lambda: store.keys_of("42")) == ["SELECT"]
    assert statements_of(engine, lambda: store.delete(key)) == ["DELETE"]


def test_the_table_has_indexes_on_expiry_and_principal(store: SQLAlchemyStore, engine: sqlalchemy.Engine) -> None:
    store.create_table()
    indexes = sqlalchemy.inspect(engine).get_indexes("sessions")
    assert {tuple(index["column_names"]) for index in indexes} == {("expires",), ("principal",)}


def test_expired_records_are_found_by_their_index(store: SQLAlchemyStore, engine: sqlalchemy.Engine) -> None:
    store.create_table()
    with engine.connect() as connection:
        plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN SELECT id FROM sessions WHERE expires <= 5").all()
    assert "ix_sessions_expires" in str(plan)


def test_a_table_is_not_created_where_the_url_says_so(tmp_path: Path) -> None:
    url = f"sqlite+pysqlite:///{tmp_path}/sessions.db"
    store = SQLAlchemyStore.from_url(f"{url}?create=false&table=visits")
    with pytest.raises(StoreError) as caught:
        store.load(new_key())
    assert isinstance(caught.value.__cause__, sqlalchemy.exc.OperationalError)
    store.create_table()
    assert store.load(new_key()) is None
    store.close()
    engine = sqlalchemy.create_engine(url)
    assert sqlalchemy.inspect(engine).get_table_names() == ["visits"]
    engine.dispose()


CREATES_TABLE = """
import sys
from session_mw.stores.sqlalchemy import SQLAlchemyStore
store = SQLAlchemyStore.from_url(sys.argv[1])
sys.stdin.readline()
store.load("0" * 64)
store.close()
"""


def assert_many_may_create(url: str) -> None:
    command = [sys.executable, "-c", CREATES_TABLE, url]
    source = Path(__file__).parents[2]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, cwd=source) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=30)
    assert [process.returncode for process in processes] == [0] * 4


@pytest.mark.parametrize("operation", ["load", "create"])
def test_a_child_forked_while_a_thread_runs_a_statement_inherits_no_lock_of_sqlite(
    store: SQLAlchemyStore, operation: str
) -> None:
    store.create("0" * 64, b"data", 60)
    done = threading.Event()

    def go_on() -> None:
        while not done.is_set():
            if operation == "load":
                store.load("0" * 64)
            else:
                store.create(new_key(), b"data", 60)

    def written_by_child() -> bool:
        key = new_key()
        return store.create(key, b"child", 60) and loaded(store, key).data == b"child"

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        assert [forked(written_by_child) for _ in range(5)] == [True] * 5
    finally:
        done.set()
        thread.join()


def test_sessions_in_sqlites_memory_stay_when_the_process_forks() -> None:
    store = SQLAlchemyStore(sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.StaticPool))
    key = new_key()
    store.create(key, b"data", 60)
    assert forked(lambda: True)
    assert loaded(store, key).data == b"data"
    store.close()


def test_several_processes_may_create_the_table_at_once(tmp_path: Path) -> None:
    assert_many_may_create(f"sqlite+pysqlite:///{tmp_path}/sessions.db")


@pytest.mark.heavy
def test_several_processes_may_create_the_table_at_once_in_postgresql(postgresql: PostgreSQL) -> None:
    assert_many_may_create(f"{postgresql.url('psycopg')}?table={a_table()}")


def test_what_has_expired_is_counted_and_swept_in_steps(store: SQLAlchemyStore, clock: Any) -> None:
    assert isinstance(store, SweepableStore)
    for _ in range(25):
        store.create(new_key(), b"a", 60)
    lasting = new_key()
    store.create(lasting, b"a", 61)
    clock.advance(60)
    assert store.count_expired() == 25
    assert list(store.sweep(10)) == [10, 10, 5]
    assert store.count_expired() == 0
    assert list(store.sweep(10)) == []
    assert store.load(lasting) is not None


def test_a_sweep_with_a_large_batch_works_in_steps_that_every_database_takes(
    store: SQLAlchemyStore, engine: sqlalchemy.Engine, clock: Any
) -> None:
    store.create_table()
    sessions = sqlalchemy.Table("sessions", sqlalchemy.MetaData(), autoload_with=engine)
    row = {"data": b"", "version": "0", "expires": 1, "principal": None}
    with engine.connect() as connection:
        connection.execute(sessions.insert(), [{"id": new_key(), **row} for _ in range(2000)])
    assert list(store.sweep(5000)) == [900, 900, 200]


def test_now_and_then_a_create_sweeps_a_little(
    store: SQLAlchemyStore, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.5)
    for _ in range(130):
        store.create(new_key(), b"a", 60)
    clock.advance(60)
    store.create(new_key(), b"a", 60)
    assert store.count_expired() == 130
    monkeypatch.setattr(random, "random", lambda: 0.001)
    store.create(new_key(), b"a", 60)
    assert store.count_expired() == 30


def test_a_sweep_that_fails_does_not_stop_a_log_in(
    engine: sqlalchemy.Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.001)
    store = SQLAlchemyStore(engine)
    store.create_table()

    def fail(connection: Any, cursor: Any, statement: str, *rest: object) -> None:
        if "LIMIT" in statement:
            raise sqlite3.OperationalError("the disk is gone")

    sqlalchemy.event.listen(engine, "before_cursor_execute", fail)
    key = new_key()
    with caplog.at_level(logging.WARNING, "session_mw"):
        assert store.create(key, b"a", 60)
    assert store.load(key) is not None
    assert [record.getMessage() for record in caplog.records] == [
        "expired sessions could not be removed: the database failed: OperationalError: the disk is gone"
    ]


def test_principals_that_a_database_takes_for_equal_are_not(postgresql_store: SQLAlchemyStore) -> None:
    assert_principals_are_apart(postgresql_store)


@pytest.mark.parametrize(("statement", "mode"), [("SELECT 1", "wal"), ("CREATE TABLE theirs (a)", "delete")])
def test_only_an_empty_file_of_sqlite_gets_write_ahead_logging(tmp_path: Path, statement: str, mode: str) -> None:
    with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        connection.execute(statement)
        store = SQLAlchemyStore.from_url(f"sqlite+pysqlite:///{tmp_path}/app.db")
        assert store.create(new_key(), b"data", 60)
        store.close()
        assert connection.execute("PRAGMA journal_mode").fetchone() == (mode,)


def test_a_new_file_of_sqlite_is_for_its_owner_only(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        store = SQLAlchemyStore.from_url(f"sqlite+pysqlite:///{tmp_path}/sessions.db")
        store.create(new_key(), b"data", 60)
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(umask)
    store.close()
    assert modes == {"sessions.db": 0o600, "sessions.db-wal": 0o600, "sessions.db-shm": 0o600}


@needs_root
def test_what_root_makes_belongs_to_the_owner_of_the_directory(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    store = SQLAlchemyStore.from_url(f"sqlite+pysqlite:///{tmp_path}/sessions.db")
    store.create(new_key(), b"data", 60)
    owners = {file.name: (file.stat().st_uid, file.stat().st_gid) for file in tmp_path.iterdir()}
    store.close()
    assert owners == dict.fromkeys(("sessions.db", "sessions.db-wal", "sessions.db-shm"), (65534, 65534))


def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "app.db").write_bytes(b"no database" * 100)
    store = SQLAlchemyStore.from_url(f"sqlite+pysqlite:///{tmp_path}/app.db")
    with pytest.raises(StoreError):
        store.load(new_key())
    store.close()


def test_principals_that_sqlite_takes_for_equal_are_not(store: SQLAlchemyStore) -> None:
    assert_principals_are_apart(store)


def assert_principals_are_apart(store: SQLAlchemyStore) -> None:
    principals = ["Bob", "bob", "bob ", "b\x00b", "\ud800", "b" * 1000, "' OR 1=1--"]
    keys = {principal: new_key() for principal in principals}
    for principal, key in keys.items():
        assert store.create(key, b"a", 60, principal)
    assert {principal: store.keys_of(principal) for principal in principals} == {
        principal: [key] for principal, key in keys.items()
    }


def test_no_error_holds_session_data(store: SQLAlchemyStore, engine: sqlalchemy.Engine) -> None:
    store.create_table()
    with engine.connect() as connection:
        connection.exec_driver_sql("DROP TABLE sessions")
    with pytest.raises(StoreError) as caught:
        store.create(new_key(), b"my secret", 60)
    assert "my secret" not in f"{caught.value} {caught.value.__cause__}"


def test_a_database_that_is_locked_is_an_outage_after_the_timeout(tmp_path: Path) -> None:
    url = f"sqlite+pysqlite:///{tmp_path}/sessions.db"
    store = SQLAlchemyStore.from_url(f"{url}?timeout=0.2")
    store.create_table()
    holder = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with holder.connect() as connection:
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        began = time.monotonic()
        with pytest.raises(StoreError):
            store.create(new_key(), b"a", 60)
        assert 0.1 < time.monotonic() - began < 2
        connection.exec_driver_sql("ROLLBACK")
    assert store.create(new_key(), b"a", 60)
    holder.dispose()
    store.close()


def test_more_threads_than_connections_take_turns(tmp_path: Path) -> None:
    store = SQLAlchemyStore.from_url(f"sqlite+pysqlite:///{tmp_path}/sessions.db?pool_size=1&timeout=30")
    assert_threads_take_turns(store, 24)
    store.close()


def test_a_child_process_does_not_share_its_parents_connection(store: SQLAlchemyStore) -> None:
    assert_works_in_child(store)


@pytest.mark.heavy
def test_a_child_process_does_not_share_its_parents_postgresql_connection(
    postgresql_store: SQLAlchemyStore,
) -> None:
    assert_works_in_child(postgresql_store)


@pytest.mark.heavy
def test_a_restarted_database_is_no_outage_afterwards(postgresql: PostgreSQL) -> None:
    store = SQLAlchemyStore.from_url(f"{postgresql.url('psycopg')}?table={a_table()}")
    key = new_key()
    store.create(key, b"a", 60)
    postgresql.kill()
    began = time.monotonic()
    with pytest.raises(StoreError) as caught:
        store.load(key)
    assert isinstance(caught.value.__cause__, sqlalchemy.exc.OperationalError)
    assert time.monotonic() - began < 2
    postgresql.start()
    assert store.load(key) is not None
    postgresql.kill()
    postgresql.start()
    assert store.touch(key, 60)
    store.close()


@pytest.mark.heavy
def test_a_write_whose_answer_was_lost_is_seen_to_be_done(postgresql: PostgreSQL) -> None:
    proxy = dropping.DroppingProxy(postgresql.port)
    url = postgresql.url("psycopg", proxy.port)
    store = SQLAlchemyStore.from_url(f"{url}?table={a_table()}")
    store.create_table()
    dropping.assert_writes_survive_lost_answers(proxy, store)
    store.close()
    proxy.close()


def test_a_ready_engine_is_taken(tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/app.db")
    store = SQLAlchemyStore(engine, table="web_sessions")
    key = new_key()
    assert store.create(key, b"a", 60)
    assert store.load(key) is not None
    assert sqlalchemy.inspect(engine).get_table_names() == ["web_sessions"]
    store.close()


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgres://u@localhost/db", "postgresql"),
        ("postgres+psycopg://u@localhost/db", "postgresql+psycopg"),
        ("POSTGRESQL+psycopg://u@localhost/db", "postgresql+psycopg"),
    ],
)
def test_the_schemes_that_hosting_services_hand_out_are_read(url: str, driver: str) -> None:
    pytest.importorskip("psycopg", exc_type=ImportError)
    if driver == "postgresql" and sqlalchemy.make_url("postgresql://h/d").get_driver_name() != "psycopg":
        pytest.importorskip("psycopg2")
    store = SQLAlchemyStore.from_url(url)
    assert repr(store) == f"<SQLAlchemyStore {driver}://localhost/db table='sessions'>"
    store.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite+pysqlite:///a.db?table=1st", "'table'"),
        ("sqlite+pysqlite:///a.db?table=a%3Bdrop", "'table'"),
        ("sqlite+pysqlite:///a.db?tabel=a", "'table'"),
        ("sqlite+pysqlite:///a.db?create=maybe", "'create'"),
        ("sqlite+pysqlite:///a.db?pool_size=0", "'pool_size'"),
        ("sqlite+pysqlite:///a.db?colour=red", "'colour'"),
        ("mysql+pymysql://user:sesam@localhost/db?colour=red", "'colour'"),
        ("sqlite+pysqlite://", "memory://"),
        ("sqlite+pysqlite:///:memory:", "memory://"),
        ("sqlite+aiosqlite:///a.db", "asyncio"),
        ("postgresql+asyncpg://user:sesam@localhost/db", "asyncio"),
        ("postgresql+no_such_driver://user:sesam@localhost/db", "SQLAlchemy knows"),
        ("oracle+oracledb://user:sesam@localhost/db", "not installed"),
        ("nonsense", "SQLAlchemy knows"),
        ("postgresql+psycopg://user:ses@am@localhost:x/db", "SQLAlchemy knows"),
    ],
)
def test_a_mistake_in_the_url_is_an_error_that_says_what_to_write(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SQLAlchemyStore.from_url(url)
    assert said in str(caught.value)
    for piece in ("sesam", "ses@am", "am@"):
        assert piece not in str(caught.value)


@pytest.mark.parametrize("option", ["colour=red", "sslmod=require"])
def test_an_option_that_postgresql_does_not_know_is_an_error_before_the_first_request(option: str) -> None:
    pytest.importorskip("psycopg", exc_type=ImportError)
    with pytest.raises(ConfigurationError, match=option.partition("=")[0]):
        SQLAlchemyStore.from_url(f"postgresql+psycopg://user:sesam@localhost/db?{option}")


@pytest.mark.parametrize("table", ["", "a b", "a;--", "a" * 61])
def test_a_table_that_is_no_plain_name_is_refused(tmp_path: Path, table: str) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/a.db")
    with pytest.raises(ConfigurationError):
        SQLAlchemyStore(engine, table=table)
    engine.dispose()


def test_what_is_no_engine_is_refused() -> None:
    engine: Any = "sqlite:///a.db"
    with pytest.raises(ConfigurationError):
        SQLAlchemyStore(engine)


def test_a_password_is_never_shown() -> None:
    pytest.importorskip("psycopg", exc_type=ImportError)
    with socket.create_server((services.HOST, 0)) as closed:
        port = closed.getsockname()[1]
    store = SQLAlchemyStore.from_url(f"postgresql+psycopg://user:sesam@{services.HOST}:{port}/db")
    with pytest.raises(StoreError) as caught:
        store.load(new_key())
    assert "sesam" not in f"{store!r} {caught.value} {caught.value.__cause__}"
    store.close()


@pytest.mark.heavy
def test_each_operation_is_one_round_trip_to_postgresql(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.5)
    proxy = dropping.DroppingProxy(postgresql.port)
    url = postgresql.url("psycopg", proxy.port)
    store = SQLAlchemyStore.from_url(f"{url}?table={a_table()}")
    store.create_table()
    key = new_key()

    def round_trips(operation: Callable[[], object]) -> int:
        before = proxy.answers
        operation()
        return proxy.answers - before

    assert round_trips(lambda: store.create(key, b"a", 60)) == 1
    version = loaded(store, key).version
    assert round_trips(lambda: store.load(key)) == 1
    assert round_trips(lambda: store.update(key, b"b", 60, version)) == 1
    assert round_trips(lambda: store.touch(key, 60)) == 1
    assert round_trips(lambda: store.delete(key)) == 1
    store.close()
    proxy.close()
