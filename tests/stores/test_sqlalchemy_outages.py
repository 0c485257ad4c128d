"""What a store in a database does when the database does not do its part; each driver on a real server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")

import sqlalchemy

from session_mw import StoreError
from session_mw.stores.sqlalchemy import SQLAlchemyStore
from session_mw.testing.fixtures import loaded, new_key
from support import databases, services
from support.databases import (
    EVERY_DRIVER,
    PASSWORD,
    POSTGRESQL_DRIVERS,
    Address,
    MariaDB,
    PgBouncer,
    PostgreSQL,
    administrator,
    locked_row,
)

pytestmark = pytest.mark.heavy

TIMEOUT = 1.0
# The machine may be busy with other tests.
LEEWAY = 1.5


@pytest.fixture(params=EVERY_DRIVER, ids=lambda pair: pair[1])
def driver(request: pytest.FixtureRequest) -> str:
    return databases.driver(request.param[1])


@pytest.fixture
def server(request: pytest.FixtureRequest, driver: str) -> Any:
    return request.getfixturevalue("postgresql" if driver in POSTGRESQL_DRIVERS else "mariadb")


@pytest.fixture
def table() -> str:
    return databases.a_table()


Open = Callable[..., SQLAlchemyStore]


@pytest.fixture
def open_at(server: Any, driver: str, table: str) -> Iterator[Open]:
    """Opens stores on the test's table, at the server or at a port in front of it."""
    opened: list[SQLAlchemyStore] = []

    def open_one(port: int | None = None, **options: object) -> SQLAlchemyStore:
        query = "&".join(f"{name}={value}" for name, value in {"timeout": TIMEOUT, **options}.items())
        opened.append(SQLAlchemyStore.from_url(f"{server.url(driver, port)}?table={table}&{query}"))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_at: Open) -> SQLAlchemyStore:
    store = open_at()
    store.create_table()
    return store


@pytest.fixture
def address(server: Any) -> Iterator[Address]:
    address = Address(server.port)
    yield address
    address.close()


def assert_given_up(call: Callable[[], object], timeout: float = TIMEOUT) -> StoreError:
    began = time.monotonic()
    with pytest.raises(StoreError) as caught:
        call()
    assert time.monotonic() - began < timeout + LEEWAY
    return caught.value


def connected(store: SQLAlchemyStore, table: str, server: Any, count: int) -> None:
    """Let the store have this many idle connections."""
    key = new_key()
    store.create(key, b"data", 600)
    with locked_row(server, table, key), ThreadPoolExecutor(count) as threads:
        waiting = [threads.submit(store.touch, key, 60) for _ in range(count)]
        time.sleep(0.4)
    with contextlib.suppress(StoreError):
        for one in waiting:
            one.result()


def test_a_database_that_hangs_is_an_outage_after_the_timeout(store: SQLAlchemyStore, server: Any) -> None:
    key = new_key()
    store.create(key, b"data", 600)
    server.freeze()
    try:
        for call in (lambda: store.load(key), lambda: store.touch(key, 60), lambda: store.delete(key)):
            assert_given_up(call)
    finally:
        server.thaw()
    assert store.create(new_key(), b"data", 60)


def test_a_database_that_hangs_while_one_connects_is_an_outage_after_the_timeout(open_at: Open, server: Any) -> None:
    store = open_at()
    server.freeze()
    try:
        assert_given_up(lambda: store.load(new_key()))
    finally:
        server.thaw()
    assert store.load(new_key()) is None


def test_an_address_that_takes_connections_and_says_nothing_is_an_outage_after_the_timeout(open_at: Open) -> None:
    with socket.create_server((services.HOST, 0)) as silent:
        assert_given_up(lambda: open_at(silent.getsockname()[1]).load(new_key()))


def test_an_address_that_swallows_packets_is_an_outage_after_the_timeout(open_at: Open) -> None:
    # a full queue of connections that nobody accepts drops what comes next
    with socket.create_server((services.HOST, 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        assert_given_up(lambda: open_at(full.getsockname()[1]).load(new_key()))


def test_a_locked_table_is_an_outage_after_the_timeout(store: SQLAlchemyStore, server: Any, table: str) -> None:
    key = new_key()
    store.create(key, b"data", 600)
    is_postgresql = isinstance(server, PostgreSQL)
    with administrator(server) as cursor:
        cursor.execute("BEGIN")
        cursor.execute(
            f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE" if is_postgresql else f"LOCK TABLES {table} WRITE"
        )
        assert_given_up(lambda: store.load(key))
        assert_given_up(lambda: store.delete(key))
        cursor.execute("ROLLBACK" if is_postgresql else "UNLOCK TABLES")
    assert store.create(new_key(), b"data", 60)


def test_a_locked_row_is_an_outage_for_its_session_alone(store: SQLAlchemyStore, server: Any, table: str) -> None:
    other = new_key()
    store.create(other, b"data", 600)
    key = new_key()
    store.create(key, b"data", 600)
    with locked_row(server, table, key):
        version = loaded(store, key).version
        error = assert_given_up(lambda: store.update(key, b"new", 60, version))
        assert str(error) == f"the database did not answer within {TIMEOUT:g} s"
        assert store.touch(other, 600)
    assert loaded(store, key).data in (b"data", b"new")


def test_of_connections_that_a_firewall_forgot_one_costs_the_timeout(
    open_at: Open, server: Any, table: str, address: Address
) -> None:
    store = open_at(address.port)
    connected(store, table, server, 3)
    key = new_key()
    store.create(key, b"data", 600)
    address.forget()
    assert_given_up(lambda: store.load(key))
    for _ in range(4):
        began = time.monotonic()
        assert loaded(store, key).data == b"data"
        assert time.monotonic() - began < TIMEOUT


def test_connections_that_were_cut_cost_no_request(open_at: Open, server: Any, table: str, address: Address) -> None:
    store = open_at(address.port)
    connected(store, table, server, 3)
    key = new_key()
    store.create(key, b"data", 600)
    for _ in range(3):
        address.cut()
        assert store.touch(key, 600)
        assert loaded(store, key).data == b"data"


def test_many_threads_wait_no_longer_than_the_timeout_in_all(open_at: Open, server: Any) -> None:
    store = open_at(pool_size=1)
    store.create_table()
    server.freeze()
    try:
        with ThreadPoolExecutor(20) as threads:
            began = time.monotonic()
            waiting = [threads.submit(store.load, new_key()) for _ in range(20)]
            assert all(isinstance(one.exception(), StoreError) for one in waiting)
            assert time.monotonic() - began < TIMEOUT + LEEWAY
    finally:
        server.thaw()
    assert store.load(new_key()) is None


class _Resetting:
    """Cuts the connections through it after some pieces of answers, each by a reset."""

    def __init__(self, port: int) -> None:
        self.left = 10**9
        self._target = port
        self._listener = socket.create_server((services.HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((services.HOST, self._target))
                threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.left -= is_answer
                if self.left < 0:
                    client = target if is_answer else source
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    client.shutdown(socket.SHUT_RD)
                    break
                target.sendall(data)
        source.close()
        target.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_whatever_a_driver_raises_is_a_store_error(open_at: Open, server: Any) -> None:
    proxy = _Resetting(server.port)
    store = open_at(proxy.port, timeout=5)
    store.create_table()
    key = new_key()
    store.create(key, b"data", 600)
    failed = 0
    for answers in range(12):
        for call in (lambda: store.load(key), lambda: store.touch(key, 600), lambda: store.keys_of("42")):
            proxy.left = answers
            try:
                call()
            except StoreError:
                failed += 1
        proxy.left = 10**9
        assert loaded(store, key).data == b"data"
    assert failed
    proxy.close()


def test_a_password_that_is_refused_is_told_without_it(server: Any, driver: str) -> None:
    url = server.url(driver).replace(databases.QUOTED, "not%26the-password")
    store = SQLAlchemyStore.from_url(f"{url}?timeout=5")
    with pytest.raises(StoreError) as caught:
        store.load(new_key())
    assert "app" in str(caught.value)
    for text in (str(caught.value), repr(caught.value.__cause__), shown_with_locals(caught.value)):
        assert "the-password" not in text
    store.close()


def shown_with_locals(error: BaseException) -> str:
    """As error reporters show it; the test's own frame, which holds the URL, is left out."""
    shown = []
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is not None:
            frames = one.__traceback__ if one is not error else one.__traceback__ and one.__traceback__.tb_next
            found = traceback.TracebackException(type(one), one, frames, capture_locals=True, compact=True)
            shown += list(found.format(chain=False))
            pending += [one.__cause__, one.__context__, getattr(one, "orig", None)]
    return "".join(shown)


def test_no_local_variable_below_an_outage_holds_the_password_or_data(store: SQLAlchemyStore, server: Any) -> None:
    store.create(new_key(), b"data", 60)
    server.freeze()
    try:
        error = assert_given_up(lambda: store.load(new_key()))
        late = assert_given_up(lambda: store.load(new_key()))
    finally:
        server.thaw()
    for one in (error, late):
        shown = shown_with_locals(one)
        assert PASSWORD not in shown
        assert databases.QUOTED not in shown


def test_a_missing_table_is_named(open_at: Open, table: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_at(create="false").load(new_key())
    assert f"the table '{table}' is missing" in str(caught.value)


def test_a_table_of_another_program_is_named(open_at: Open, table: str, server: Any) -> None:
    with administrator(server) as cursor:
        cursor.execute(f"CREATE TABLE {table} (id varchar(255) PRIMARY KEY, payload text NOT NULL)")
        if isinstance(server, PostgreSQL):
            cursor.execute(f"ALTER TABLE {table} OWNER TO app")
    store = open_at()
    for call in (lambda: store.load(new_key()), lambda: store.create(new_key(), b"my secret", 60)):
        with pytest.raises(StoreError) as caught:
            call()
        assert f"the table '{table}' is not one of sessions" in str(caught.value)
        assert "my secret" not in f"{caught.value} {caught.value.__cause__}"


def test_a_database_that_became_read_only_is_left_for_the_new_one(postgresql: PostgreSQL) -> None:
    key = new_key()
    for driver in POSTGRESQL_DRIVERS:
        databases.driver(driver)
        store = SQLAlchemyStore.from_url(f"{postgresql.url(driver)}?table={databases.a_table()}")
        store.create(key, b"data", 600)
        # The store's connection becomes read only, as on a former primary; a new one is not.
        postgresql.execute("ALTER ROLE app SET default_transaction_read_only = off")
        try:
            postgresql.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            postgresql.execute("SELECT pg_reload_conf()")
            time.sleep(0.3)
            assert store.touch(key, 600)
            assert store.update(key, b"new", 600, loaded(store, key).version)
            store.delete(key)
            assert store.load(key) is None
        finally:
            postgresql.execute("ALTER SYSTEM RESET default_transaction_read_only")
            postgresql.execute("SELECT pg_reload_conf()")
            time.sleep(0.3)
            postgresql.execute("ALTER ROLE app RESET default_transaction_read_only")
        store.close()


def test_a_failover_of_mariadb_behind_one_address_costs_no_request(mariadb: MariaDB) -> None:
    former = MariaDB()
    address = Address(former.port)
    try:
        stores = []
        for driver in databases.MYSQL_DRIVERS:
            databases.driver(driver)
            table, key = databases.a_table(), new_key()
            store = SQLAlchemyStore.from_url(f"{mariadb.url(driver, address.port)}?table={table}")
            store.create(key, b"data", 600)
            successor = SQLAlchemyStore.from_url(f"{mariadb.url(driver)}?table={table}")
            successor.create(key, b"data", 600)
            stores.append((store, successor, key))
        former.execute("SET GLOBAL read_only = ON")
        address.target = mariadb.port
        for store, successor, key in stores:
            assert store.touch(key, 600)
            store.delete(key)
            assert successor.load(key) is None
            store.close()
            successor.close()
    finally:
        address.close()
        former.remove()


def test_a_database_that_stays_read_only_is_an_outage(postgresql: PostgreSQL) -> None:
    databases.driver("psycopg")
    store = SQLAlchemyStore.from_url(
        f"{postgresql.url('psycopg')}?table={databases.a_table()}&options=-cdefault_transaction_read_only%3Don"
    )
    with pytest.raises(StoreError, match="read-only transaction"):
        store.create(new_key(), b"data", 60)
    store.close()


@pytest.mark.parametrize("ready", [False, True], ids=["url", "engine"])
@pytest.mark.parametrize("name", POSTGRESQL_DRIVERS)
def test_behind_a_pooler_in_transaction_mode_each_answer_is_that_of_its_statement(
    pgbouncer: PgBouncer, name: str, ready: bool
) -> None:
    table = databases.a_table()
    url = pgbouncer.url(databases.driver(name))
    if ready:
        store = SQLAlchemyStore(sqlalchemy.create_engine(url, pool_size=8), table)
    else:
        store = SQLAlchemyStore.from_url(f"{url}?table={table}")
    store.create_table()
    rounds, wrong = 25, []

    def visit(number: int) -> None:
        for turn in range(rounds):
            key, principal = new_key(), f"{number}-{turn}"
            data = key.encode()
            done = [store.create(key, data, 600, principal)]
            for _ in range(3):
                record = loaded(store, key)
                done += [record.data == data, store.touch(key, 600), store.keys_of(principal) == [key]]
            done.append(store.update(key, data + b"!", 600, record.version, principal))
            store.delete(key)
            done += [store.load(key) is None, store.keys_of(principal) == []]
            if not all(done):
                wrong.append(done)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(visit, range(8)))
    assert wrong == []
    assert pgbouncer.execute(f"SELECT count(*) FROM {table}") == [(0,)]
    store.close()


@pytest.mark.parametrize("name", POSTGRESQL_DRIVERS)
def test_no_statement_is_prepared_by_name(postgresql: PostgreSQL, name: str) -> None:
    engine = sqlalchemy.create_engine(postgresql.url(databases.driver(name)), pool_size=1, max_overflow=0)
    store = SQLAlchemyStore(engine, databases.a_table())
    for _ in range(12):
        store.load(new_key())
    with engine.connect() as connection:
        names = connection.exec_driver_sql("SELECT name FROM pg_prepared_statements").scalars().all()
    assert [name for name in names if name] == []
    store.close()


class TestReadyEngine:
    """The application's own engine, on which it works beside the store."""

    @pytest.fixture
    def engine(self, server: Any, driver: str) -> Iterator[sqlalchemy.Engine]:
        engine = sqlalchemy.create_engine(server.url(driver), pool_size=2, max_overflow=0)
        yield engine
        engine.dispose()

    def test_the_applications_transactions_are_what_they_were(self, engine: sqlalchemy.Engine, table: str) -> None:
        with engine.connect() as connection:
            level = connection.get_isolation_level()
        store = SQLAlchemyStore(engine, table)
        key = new_key()
        store.create(key, b"data", 600)
        for _ in range(3):
            with engine.connect() as connection:
                assert connection.get_isolation_level() == level
                connection.execute(sqlalchemy.text(f"DELETE FROM {table}"))
                connection.rollback()
            assert loaded(store, key).data == b"data"

    def test_a_pool_that_the_application_keeps_empty_is_an_outage_after_the_timeout(
        self, engine: sqlalchemy.Engine, table: str
    ) -> None:
        store = SQLAlchemyStore(engine, table, timeout=TIMEOUT)
        store.create_table()
        with engine.connect(), engine.connect():
            assert_given_up(lambda: store.load(new_key()))
        assert store.load(new_key()) is None

    def test_a_hung_database_is_an_outage_after_the_timeout(
        self, engine: sqlalchemy.Engine, table: str, server: Any
    ) -> None:
        store = SQLAlchemyStore(engine, table, timeout=TIMEOUT)
        store.create_table()
        server.freeze()
        try:
            for _ in range(2):
                assert_given_up(lambda: store.load(new_key()))
        finally:
            server.thaw()
        assert store.load(new_key()) is None

    def test_no_error_shows_session_data(self, engine: sqlalchemy.Engine, table: str, server: Any) -> None:
        store = SQLAlchemyStore(engine, table)
        store.create_table()
        with administrator(server) as cursor:
            cursor.execute(f"DROP TABLE {table}")
        with pytest.raises(StoreError) as caught:
            store.create(new_key(), b"my secret", 60)
        assert "my secret" not in f"{caught.value} {caught.value.__cause__}"
