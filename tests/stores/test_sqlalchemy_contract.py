"""The promises of a store, kept by real databases under each isolation level, beside the records of others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")

import sqlalchemy

from session_mw.stores.sqlalchemy import SQLAlchemyStore
from session_mw.testing import StoreContract
from session_mw.testing.concurrency import ConcurrencyPromises
from session_mw.testing.fixtures import new_key
from support import databases
from support.databases import MYSQL_DRIVERS, POSTGRESQL_DRIVERS, MariaDB, PgBouncer, PostgreSQL

pytestmark = pytest.mark.heavy

POSTGRESQL_LEVELS = ("read committed", "repeatable read", "serializable")
MARIADB_LEVELS = ("READ-UNCOMMITTED", "READ-COMMITTED", "REPEATABLE-READ", "SERIALIZABLE")


@pytest.fixture(scope="class")
def table() -> str:
    """One table for all tests of a class: each meets what the others left."""
    return databases.a_table()


def with_others_records(store: SQLAlchemyStore) -> SQLAlchemyStore:
    for number in range(3):
        store.create(new_key(), b"another's", 600 + number, "somebody")
    return store


class OnPostgreSQL:
    @pytest.fixture
    def store(self, postgresql: PostgreSQL, table: str, driver: str, level: str) -> Iterator[SQLAlchemyStore]:
        postgresql.execute(f"ALTER ROLE app SET default_transaction_isolation = '{level}'")
        store = SQLAlchemyStore.from_url(f"{postgresql.url(databases.driver(driver))}?table={table}")
        yield with_others_records(store)
        store.close()
        postgresql.execute("ALTER ROLE app RESET default_transaction_isolation")


class OnMariaDB:
    @pytest.fixture
    def store(self, mariadb: MariaDB, table: str, driver: str, level: str) -> Iterator[SQLAlchemyStore]:
        mariadb.execute(f"SET GLOBAL tx_isolation = '{level}'")
        store = SQLAlchemyStore.from_url(f"{mariadb.url(databases.driver(driver))}?table={table}")
        yield with_others_records(store)
        store.close()
        mariadb.execute("SET GLOBAL tx_isolation = 'REPEATABLE-READ'")


@pytest.mark.parametrize(
    ("driver", "level"), [("psycopg", "serializable"), ("psycopg2", "repeatable read"), ("pg8000", "read committed")]
)
class TestPostgreSQL(OnPostgreSQL, StoreContract):
    """Each driver."""


@pytest.mark.parametrize("level", POSTGRESQL_LEVELS)
@pytest.mark.parametrize("driver", ["psycopg", "pg8000"])
class TestPostgreSQLLevels(OnPostgreSQL, ConcurrencyPromises):
    """A statement alone, and one in a transaction of its own."""


@pytest.mark.parametrize(("driver", "level"), [(driver, "REPEATABLE-READ") for driver in MYSQL_DRIVERS])
class TestMariaDB(OnMariaDB, StoreContract):
    """Each driver."""


@pytest.mark.parametrize("level", MARIADB_LEVELS)
@pytest.mark.parametrize("driver", ["pymysql"])
class TestMariaDBLevels(OnMariaDB, ConcurrencyPromises):
    """Each level."""


@pytest.mark.parametrize("driver", POSTGRESQL_DRIVERS)
class TestBehindPgBouncer(ConcurrencyPromises):
    @pytest.fixture
    def store(self, pgbouncer: PgBouncer, table: str, driver: str) -> Iterator[SQLAlchemyStore]:
        store = SQLAlchemyStore.from_url(f"{pgbouncer.url(databases.driver(driver))}?table={table}")
        yield with_others_records(store)
        store.close()


@pytest.mark.parametrize(
    ("fixture", "driver"), [("postgresql", "psycopg"), ("postgresql", "pg8000"), ("mariadb", "pymysql")]
)
class TestReadyEngine(ConcurrencyPromises):
    @pytest.fixture
    def store(self, request: pytest.FixtureRequest, table: str, fixture: str, driver: str) -> Iterator[SQLAlchemyStore]:
        server: Any = request.getfixturevalue(fixture)
        engine = sqlalchemy.create_engine(server.url(databases.driver(driver)), isolation_level="SERIALIZABLE")
        store = SQLAlchemyStore(engine, table)
        yield with_others_records(store)
        store.close()
