"""A file of SQLite: private, in write-ahead mode where it is ours alone, and not made where that is not asked for."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from session_mw.stores.owners import make_private_file


def prepare(engine: Engine, create: bool) -> None:
    """Have an engine's connections made as this module says.

    Args:
        engine: One of ``sqlite+pysqlite://``.
        create: Whether a connection may make the file.
    """
    event.listen(engine, "do_connect", _make_first if create else _find_first)
    if create:
        event.listen(engine, "connect", _prefer_wal)
    event.listen(engine, "connect", _leave_waiting_to_us)


def make_private(path: str | None) -> None:
    """Make the file, if it is not there: one that SQLite makes would be for everybody to read, or for root alone."""
    if path and not path.startswith("file:"):
        with suppress(OSError):
            make_private_file(path)


def _make_first(dialect: object, record: object, positional: list[Any], named: Mapping[str, Any]) -> None:
    if not named.get("uri"):
        make_private(positional[0])


def _find_first(dialect: object, record: object, positional: list[Any], named: Mapping[str, Any]) -> None:
    if not named.get("uri") and not os.path.exists(positional[0]):
        raise sqlite3.OperationalError(f"the file {positional[0]!r} does not exist, and is not to be created")


def _leave_waiting_to_us(connection: Any, _: object) -> None:
    """Have SQLite say at once that others hold the file: its own waiting, in C, would stop all greenlets of gevent."""
    connection.execute("PRAGMA busy_timeout=0")


def _prefer_wal(connection: Any, _: object) -> None:
    """Write-ahead logging for a file that is still empty: with SQLite's default each write waits for the disk."""
    # Other processes may hold the file just now; and what is no database is an error of the statement that follows.
    with suppress(sqlite3.Error):
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            connection.execute("PRAGMA journal_mode=WAL")
        if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            # A killed process loses nothing then; only a power cut can take back the last writes.
            connection.execute("PRAGMA synchronous=NORMAL")
