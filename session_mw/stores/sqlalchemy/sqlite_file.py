"""A file of SQLite: private, in write-ahead mode where it is ours alone, and not made where that is not asked for.

A full disk should still log out (:mod:`session_mw.stores.sqlite.log`), and a file that was exchanged while it was in
use has to be noticed (:mod:`session_mw.stores.sqlite.identity`).
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import OperationalError

from session_mw.stores.owners import make_private_file
from session_mw.stores.sqlalchemy.gate import IdlePool
from session_mw.stores.sqlite import log
from session_mw.stores.sqlite.connections import LOOK_AGAIN
from session_mw.stores.sqlite.files import is_out_of_space
from session_mw.stores.sqlite.identity import FileIds, id_of
from session_mw.stores.sqlite.pool import Connection as SQLite
from session_mw.stores.sqlite.pool import abandon

T = TypeVar("T")

FACTORY = {"factory": SQLite}
"""The argument with which sqlite3 makes the connections that this module uses."""


def prepare(engine: Engine, create: bool, disk: Disk | None) -> None:
    """Have an engine's connections made as this module says.

    Args:
        engine: One of ``sqlite+pysqlite://``.
        create: Whether a connection may make the file.
        disk: The file's.
    """
    event.listen(engine, "do_connect", _make_first if create else _find_first)
    if create:
        event.listen(engine, "connect", _prefer_wal)
    event.listen(engine, "connect", _leave_waiting_to_us)
    if disk is not None:
        event.listen(engine, "connect", disk.keep_log_short)


def disk_of(url: URL) -> Disk | None:
    """The disk on which a file of SQLite lies; None where it is something else, or the URL does not tell."""
    path = url.database
    if url.get_dialect().driver != "pysqlite" or not path or path.startswith("file:"):
        return None
    return Disk(os.path.abspath(path))


class Disk:
    """Where a file is: its log is kept short, the last space for log-outs, and it is seen whether it is still there.

    Statements on a file take turns, and so do the calls here.

    Args:
        path: The file, absolute.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._pages = 0
        self._files = FileIds(None, None, None)
        self._looked_at = 0.0

    def follow(self, pool: IdlePool) -> None:
        """See that the connections of a pool, none of which is in use, are to the file that has the name now.

        Raises:
            StoreError: The file was removed, or exchanged in a way that it cannot be used.
        """
        if pool.is_empty or time.monotonic() - self._looked_at < LOOK_AGAIN:
            return
        found = FileIds.at(self._path)
        if not self._files.were_changed(found):
            self._files, self._looked_at = found, time.monotonic()
            return
        if self._files.lost_only_the_log(found):
            # Whichever process closes the file last copies what is in the log into the file, so nothing is lost.
            pool.part_with_all(sqlite3.Connection.close)
        self._files.check_replaced(found, self._path)
        pool.part_with_all(abandon)
        self._pages = 0

    def was_exchanged(self) -> bool:
        """Whether a statement may have failed, or was done in vain, because the file has another one's place."""
        self._looked_at = 0.0
        return self._files.were_changed(FileIds.at(self._path))

    def keep_log_short(self, connection: SQLite, _: object) -> None:
        """Set how a new connection uses the log; parameters are SQLAlchemy's."""
        # Other processes may hold the file just now, and not each file has a log.
        with suppress(sqlite3.Error):
            if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                log.configure(connection)
                connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
                log.reserve(connection, self._path)
        self._files, self._looked_at = FileIds.at(self._path), time.monotonic()

    def writing(self, work: Callable[[Connection], T], ends: float, *, is_new: bool) -> Callable[[Connection], T]:
        """What to do instead of ``work``, a statement that writes.

        Args:
            work: The statement.
            ends: When to give up, on the clock of :func:`time.monotonic`.
            is_new: Whether it makes a new record, which must not take the last space.
        """

        def write(connection: Connection) -> T:
            raw: Any = connection.connection.driver_connection
            if is_new and log.is_nearly_full(self._path):
                log.refuse_new_record(raw, self._path, ends)
            try:
                result = work(connection)
            except OperationalError as error:
                if not (isinstance(error.orig, sqlite3.Error) and is_out_of_space(error.orig)):
                    raise
                log.begin_anew(raw, ends)
                result = work(connection)
            self._pages = log.copy_if_grown(raw, self._pages, self._path, ends)
            if self._files.main != id_of(self._path):
                # Nobody will look for the change where it was made.
                raise sqlite3.OperationalError(f"the file {self._path!r} was exchanged while it was written to")
            return result

        return write


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
