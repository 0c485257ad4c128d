"""SQLAlchemy URLs, and the engines that they stand for."""

from __future__ import annotations

import difflib
import os
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from inspect import signature
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from session_mw.exceptions import ConfigurationError
from session_mw.stores.options import (
    identifier,
    nearest,
    positive,
    refuse_at_sign,
    seconds,
    take_options,
    without_password,
    yes_no,
)

OPTIONS: dict[str, Callable[[str], Any]] = {
    "table": identifier,
    "create": yes_no,
    "pool_size": positive,
    "timeout": seconds,
    "pool_recycle": positive,
}
POOL_SECONDS = 5.0
CONNECT_SECONDS = 5
_KNOW_CONNECT_TIMEOUT = ("psycopg", "psycopg2", "pymysql", "mysqldb")
_KNOWN_TO_SQLITE = set(
    "timeout detect_types isolation_level check_same_thread cached_statements uri autocommit "
    "mode cache vfs psow nolock immutable".split()
)


def engine_from_url(url: str) -> tuple[Engine, dict[str, Any]]:
    """Make the engine that a URL names, and read our own options in it; nothing is connected yet.

    Raises:
        ConfigurationError: The URL has a mistake, or its driver is not installed.
    """
    theirs, options = take_options(url, OPTIONS)
    shown = without_password(url)
    parsed = _parsed(theirs, shown)
    if parsed.get_backend_name() != "sqlite":
        refuse_at_sign(theirs.partition("?")[0].partition("@")[2])
    _check_names(parsed)
    _check_place(parsed, shown)
    try:
        engine = _engine(parsed, options)
    except ImportError as error:
        raise ConfigurationError(f"{shown!r} needs a driver that is not installed: {error.name}") from error
    except (ArgumentError, TypeError, ValueError) as error:
        raise ConfigurationError(f"SQLAlchemy makes no engine of {shown!r}: {type(error).__name__}") from None
    _check_arguments(engine, parsed)
    return engine, options


def _parsed(url: str, shown: str) -> URL:
    scheme, colon, rest = url.partition("://")
    if re.fullmatch(r"postgres(\+.*)?", scheme, re.IGNORECASE):
        # what hosting services hand out; SQLAlchemy knows it no longer
        scheme = f"postgresql{scheme[8:]}"
    try:
        parsed = make_url(scheme.lower() + colon + rest)
        is_async = parsed.get_dialect().is_async
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise ConfigurationError(
            f"{shown!r} is no URL of a database that SQLAlchemy knows; write it like "
            "postgresql+psycopg://user:password@host/database"
        ) from None
    except ImportError as error:
        raise ConfigurationError(f"{shown!r} needs a driver that is not installed: {error.name}") from error
    if is_async:
        raise ConfigurationError(f"{shown!r} has an asyncio driver; WSGI needs another, such as psycopg or pymysql")
    return parsed


def _check_names(url: URL) -> None:
    """The driver's own options pass; what is nearly the name of one of ours is taken for a slip."""
    if url.get_backend_name() == "sqlite":
        _refuse(set(url.query) - _KNOWN_TO_SQLITE, "sqlite3")
    for name in url.query:
        if close := difflib.get_close_matches(name.lower(), OPTIONS, n=1, cutoff=0.8):
            raise ConfigurationError(f"the store's URL has an unknown option {name!r}; did you mean {close[0]!r}?")


def _check_place(url: URL, shown: str) -> None:
    in_memory = url.database in (None, "", ":memory:") or url.query.get("mode") == "memory"
    if url.get_backend_name() == "sqlite" and in_memory:
        raise ConfigurationError(f"{shown!r} would be another database for every thread; write memory:// for tests")


def _engine(url: URL, options: dict[str, Any]) -> Engine:
    wait = options.get("timeout", POOL_SECONDS)
    driver = url.get_driver_name()
    arguments: dict[str, Any] = {}
    if driver in _KNOW_CONNECT_TIMEOUT and "connect_timeout" not in url.query:
        arguments["connect_timeout"] = CONNECT_SECONDS
    if url.get_backend_name() == "sqlite":
        # how long to wait for another process that writes
        arguments["timeout"] = wait
    engine = create_engine(
        url,
        connect_args=arguments,
        # Each operation is one statement: no BEGIN and COMMIT around it, nothing to roll back after it.
        isolation_level="AUTOCOMMIT",
        pool_reset_on_return=None,
        pool_size=options.get("pool_size", 5),
        pool_timeout=wait,
        pool_recycle=options.get("pool_recycle", -1),
        # Session data would be in the statement's parameters.
        hide_parameters=True,
    )
    if engine.driver == "pysqlite":
        event.listen(engine, "do_connect", _make_private)
        event.listen(engine, "connect", _prefer_wal)
    return engine


def _make_private(dialect: object, record: object, arguments: Sequence[str], options: Mapping[str, Any]) -> None:
    """A file that SQLite makes would be for everybody to read; the parameters are SQLAlchemy's."""
    if not options.get("uri"):
        with suppress(OSError):
            os.close(os.open(arguments[0], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _prefer_wal(connection: Any, _: object) -> None:
    """Write-ahead logging for a file that is still empty: with SQLite's default each write waits for the disk."""
    # Other processes may hold the file just now; and what is no database is an error of the statement that follows.
    with suppress(sqlite3.Error):
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            connection.execute("PRAGMA journal_mode=WAL")
        if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            # A killed process loses nothing then; only a power cut can take back the last writes.
            connection.execute("PRAGMA synchronous=NORMAL")


def _check_arguments(engine: Engine, url: URL) -> None:
    """Refuse what the driver would refuse at the first connection only, where it tells what it knows."""
    driver = engine.dialect.loaded_dbapi
    if engine.driver == "psycopg":
        known = {option.keyword.decode() for option in driver.pq.Conninfo.get_defaults()}
        _refuse(set(url.query) - known - set(signature(driver.connect).parameters), engine.driver)
    elif engine.driver == "pymysql":
        _, arguments = engine.dialect.create_connect_args(url)
        _refuse(set(arguments) - set(signature(driver.connect).parameters), engine.driver)


def _refuse(unknown: set[str], driver: str) -> None:
    for name in sorted(unknown):
        raise ConfigurationError(
            f"the store's URL has the option {name!r}, which {driver} does not know; {nearest(name, OPTIONS)}"
        )
