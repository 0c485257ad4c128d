"""URLs of databases: what is in them is understood, or refused before the first request."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")

from session_mw import ConfigurationError, StoreError, open_store
from session_mw.protocols import LocatedStore, Location
from session_mw.stores.sqlalchemy import SQLAlchemyStore
from session_mw.testing.fixtures import new_key
from support import databases

DRIVERS = {
    **{name: f"postgresql+{name}://user:sesam@db.invalid/app" for name in databases.POSTGRESQL_DRIVERS},
    **{name: f"mysql+{name}://user:sesam@db.invalid/app" for name in databases.MYSQL_DRIVERS},
}


def refusal(driver: str, options: str) -> str:
    databases.driver(driver)
    with pytest.raises(ConfigurationError) as caught:
        SQLAlchemyStore.from_url(f"{DRIVERS[driver]}?{options}")
    assert "sesam" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("psycopg", "sslmode=require&connect_timeout=3&application_name=web%20site&keepalives=1"),
        ("psycopg", "prepare_threshold=None"),
        ("psycopg", "target_session_attrs=read-write&host=one.invalid&host=two.invalid"),
        ("psycopg2", "sslmode=prefer&connect_timeout=3&options=-c%20statement_timeout%3D3000"),
        ("pg8000", "application_name=web&tcp_keepalive=true&ssl_context=false"),
        ("pymysql", "charset=utf8mb4&connect_timeout=3&read_timeout=3&ssl_disabled=yes&local_infile=0"),
        ("mysqldb", "charset=utf8mb4&connect_timeout=3&read_timeout=3&compress=true"),
        ("mysqlconnector", "charset=utf8mb4&connection_timeout=3&ssl_disabled=true&use_pure=true"),
    ],
)
def test_options_of_the_driver_pass(driver: str, options: str) -> None:
    databases.driver(driver)
    SQLAlchemyStore.from_url(f"{DRIVERS[driver]}?{options}").close()


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("option", ["colour=red", "ssl=true", "cursorclass=DictCursor", "autocommit=false"])
def test_an_option_that_no_request_could_use_is_refused_by_its_name(driver: str, option: str) -> None:
    assert option.partition("=")[0] in refusal(driver, option)


@pytest.mark.parametrize(
    ("driver", "option"),
    [
        ("psycopg", "prepare_threshold=0"),
        ("psycopg", "prepare_threshold=1000"),
        ("psycopg", "sslmode=yes"),
        ("psycopg", "connect_timeout=soon"),
        ("psycopg", "row_factory=dict_row"),
        ("psycopg2", "sslmode=yes"),
        ("psycopg2", "connect_timeout=soon"),
        ("psycopg2", "keepalives_idle=often"),
        ("psycopg2", "connection_factory=x"),
        ("pg8000", "ssl_context=maybe"),
        ("pg8000", "tcp_keepalive=maybe"),
        ("pg8000", "sslmode=require"),
        ("pymysql", "connect_timeout=0"),
        ("pymysql", "read_timeout=x"),
        ("pymysql", "max_allowed_packet=x"),
        ("pymysql", "charset=latin-klingon"),
        ("pymysql", "ssl_ca=/no/such/file.pem"),
        ("pymysql", "ssl_verify_cert=maybe"),
        ("pymysql", "auth_plugin_map=x"),
        ("pymysql", "use_unicode=false"),
        ("mysqldb", "charset=latin-klingon"),
        ("mysqldb", "conv=x"),
        ("mysqldb", "compress=maybe"),
        ("mysqlconnector", "converter_class=x"),
        ("mysqlconnector", "charset=latin-klingon"),
        ("mysqlconnector", "read_timeout=x"),
        ("mysqlconnector", "raw=true"),
        ("mysqlconnector", "failover=x"),
        ("mysqlconnector", "option_files=/no/such/file"),
    ],
)
def test_a_value_that_no_request_could_use_is_refused(driver: str, option: str) -> None:
    assert option.partition("=")[0] in refusal(driver, option)


def test_the_refusal_says_how_tls_is_asked_for() -> None:
    assert "sslmode=require" in refusal("psycopg", "ssl=true")
    assert "ssl_context=true" in refusal("pg8000", "ssl=true")
    assert "ssl_ca=" in refusal("pymysql", "ssl=true")


def test_a_secret_among_the_options_is_not_shown() -> None:
    assert "hush" not in refusal("psycopg", "sslpassword=hush&colour=red")


def test_a_password_of_one_letter_leaves_messages_readable() -> None:
    databases.driver("pymysql")
    with pytest.raises(ConfigurationError, match="compress and named_pipe arguments are not supported"):
        SQLAlchemyStore.from_url("mysql+pymysql://me:p@db/app?named_pipe=1")


LOADS = """
import importlib, sys
from session_mw import ConfigurationError, open_store
{before}
try:
    open_store("postgresql+psycopg://user:sesam@localhost/app")
except ConfigurationError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (
            "sys.modules['psycopg'] = None",
            "needs a driver that is not installed: psycopg; python -m pip install psycopg\n",
        ),
        ("import os; os.environ['PSYCOPG_IMPL'] = 'nonsense'", "is installed but cannot be loaded: "),
    ],
)
def test_a_driver_that_is_missing_and_one_that_is_broken_are_told_apart(before: str, said: str) -> None:
    databases.driver("psycopg")
    command = [sys.executable, "-W", "ignore", "-c", LOADS.format(before=before)]
    told = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True).stdout
    assert said in told
    assert "sesam" not in told


def test_a_driver_that_is_missing_is_told_with_one_that_is_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    with pytest.raises(ConfigurationError, match=r"MySQLdb; .* pip install pymysql, and write mysql\+pymysql://$"):
        open_store("mysql://user:sesam@localhost/app")


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("postgresql+psycopg://me:hush@db/app", Location("sql", "", hosts=("db",), verified=False, password=True)),
        ("postgres://me@db/app?table=web", Location("sql", "", hosts=("db",), verified=False)),
        (
            "postgresql://me:hush@db/app?sslmode=verify-full",
            Location("sql", "", hosts=("db",), tls=True, password=True),
        ),
        (
            "postgresql://me:hush@db/app?sslmode=require",
            Location("sql", "", hosts=("db",), tls=True, verified=False, password=True),
        ),
        ("postgresql://me@/app?host=/run/postgresql", Location("sql", "", hosts=("localhost",), verified=False)),
        ("postgresql://me@/app?host=a:1&host=b:2", Location("sql", "", hosts=("a", "b"), verified=False)),
        ("mysql://me@db/app?unix_socket=/run/mysqld.sock", Location("sql", "", hosts=("localhost",), verified=False)),
        ("mysql+pymysql://me@db/app?ssl_ca=ca.pem", Location("sql", "", hosts=("db",), tls=True)),
        ("mysql+pymysql://me@db/app?passwd=hush", Location("sql", "", hosts=("db",), verified=False, password=True)),
        ("sqlite+pysqlite:////srv/app.db?create=false", Location("sqlite", "", path="/srv/app.db")),
    ],
)
def test_a_url_tells_where_the_database_is(url: str, location: Location) -> None:
    told = SQLAlchemyStore.location_of(url)
    assert "hush" not in told.shown
    assert told._replace(shown="") == location


def test_an_open_store_tells_where_it_is(tmp_path: Path) -> None:
    store = SQLAlchemyStore.from_url(f"sqlite+pysqlite:///{tmp_path}/a.db")
    assert isinstance(store, LocatedStore)
    assert store.describe() == Location("sqlite", repr(store), path=f"{tmp_path}/a.db")
    assert not (tmp_path / "a.db").exists()
    store.close()


@pytest.mark.parametrize("form", ["argument", "url"])
def test_no_file_is_made_where_none_is_to_be(tmp_path: Path, form: str) -> None:
    url = f"sqlite+pysqlite:///{tmp_path}/a.db"
    store = (
        SQLAlchemyStore.from_url(url, create=False)
        if form == "argument"
        else SQLAlchemyStore.from_url(f"{url}?create=false")
    )
    with pytest.raises(StoreError, match="does not exist"):
        store.load(new_key())
    assert list(tmp_path.iterdir()) == []
    store.close()


def test_no_table_is_made_where_none_is_to_be(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    store = SQLAlchemyStore.from_url(f"sqlite+pysqlite:///{tmp_path}/a.db", create=False)
    with pytest.raises(StoreError, match="the table 'sessions' is missing"):
        store.load(new_key())
    assert (tmp_path / "a.db").read_bytes() == b""
    store.close()


@pytest.mark.parametrize("timeout", [0, -1, 86401])
def test_a_timeout_that_is_none_is_refused(timeout: float, tmp_path: Path) -> None:
    sqlalchemy: Any = pytest.importorskip("sqlalchemy")
    with pytest.raises(ConfigurationError, match="timeout"):
        SQLAlchemyStore(sqlalchemy.create_engine(f"sqlite:///{tmp_path}/a.db"), timeout=timeout)


def test_a_store_of_a_url_is_opened_by_its_scheme(tmp_path: Path) -> None:
    store = open_store(f"sqlite+pysqlite:///{tmp_path}/a.db")
    assert isinstance(store, SQLAlchemyStore)
    store.close()
