"""Statements on an SQLite file that several threads, greenlets and processes use, and that may be exchanged."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from session_mw.exceptions import StoreError
from session_mw.stores import fork
from session_mw.stores.locks import run_holding
from session_mw.stores.sqlite import log
from session_mw.stores.sqlite.files import explained
from session_mw.stores.sqlite.identity import FileIds, id_of
from session_mw.stores.sqlite.pool import BUSY, Connection, Pool, abandon

CONNECTIONS = 8
"""At most, in one process. A thread or greenlet has one only while SQLite works."""

# Seconds for which the file's name is taken to mean the same file as at the last look. So short that nobody notices,
# and long enough that a busy process looks once for a hundred reads.
LOOK_AGAIN = 0.001


class Connections:
    """Runs statements, each a transaction of its own.

    Args:
        path: The file, absolute.
        timeout: Seconds to wait for other writers, or for a connection.
        reopen: Checks, by a connection to it, that a file which has replaced the former one is fit to use;
            raises ``StoreError`` or ``sqlite3.Error``.

    Raises:
        StoreError: From every method: SQLite failed, others held the file for longer than ``timeout``, or
            the file was removed, or exchanged for a file that is not a session database.
    """

    def __init__(self, path: str, timeout: float, reopen: Callable[[sqlite3.Connection], None]) -> None:
        self._path = path
        # mode=rw: a file that was removed is an error, not a new and empty database
        self._uri = f"{Path(path).as_uri()}?mode=rw"
        self._timeout = timeout
        self._reopen = reopen
        self._pools = fork.PerProcess(self._new_pool, lambda inherited: inherited.leave(abandon))
        self._closed = False
        fork.watch(self)

    def read(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        """Run a SELECT; every row."""
        ends = self.deadline()
        for is_last in (False, True):
            pool = self._checked_pool()
            try:
                return pool.run(lambda connection: connection.run(sql, parameters, ends).fetchall(), ends)
            except sqlite3.Error as error:
                # SQLite may have failed because the file was exchanged just now.
                if is_last or self._current(pool) is pool:
                    raise explained(error, self._path) from error
        raise StoreError(self._exchanged_often())

    def deadline(self, share: float = 1) -> float:
        """When an operation has to end that begins now, on the clock of :func:`time.monotonic`.

        Args:
            share: How much of the timeout it may take.
        """
        return time.monotonic() + share * self._timeout

    def write(
        self,
        sql: str,
        parameters: tuple[Any, ...],
        ends: float | None = None,
        *,
        may_grow: bool = False,
        is_new: bool = False,
    ) -> int:
        """Run any other statement; how many rows it changed.

        Args:
            sql: The statement.
            parameters: Its values.
            ends: When to give up; None: after the timeout.
            may_grow: Whether to check if the file has to grow (see :mod:`session_mw.stores.sqlite.log`).
            is_new: Whether it makes a new record; implies ``may_grow``.
        """
        ends = self.deadline() if ends is None else ends
        for is_last in (False, True):
            pool = self._checked_pool()
            try:
                changed = self._write_once(pool, sql, parameters, ends, may_grow or is_new, is_new)
            except sqlite3.Error as error:
                if is_last or self._current(pool) is pool:
                    raise explained(error, self._path) from error
            else:
                if pool.files.main == id_of(self._path):
                    return changed
                # The file lost its name while it was written to. Nobody will look for the change there, so it is
                # made again in the file that has the name now.
                self._current(pool)
        raise StoreError(self._exchanged_often())

    def close(self) -> None:
        """Close all connections, for good."""
        self._closed = True
        self._change_pool(self._pools.get(), sqlite3.Connection.close)

    def open_alone(self) -> Connection:
        """Open a connection outside of the pool, which the caller closes.

        Raises:
            sqlite3.Error: SQLite cannot open the file.
        """
        connection = sqlite3.connect(
            self._uri,
            uri=True,
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,
            factory=Connection,
        )
        # Text that is not UTF-8 must not raise here: the store judges it, as it judges values of a wrong type.
        connection.text_factory = lambda found: found.decode("utf-8", "replace")
        return connection

    def before_fork(self) -> None:
        """Called by :mod:`session_mw.stores.fork`."""
        while True:
            pool = self._pools.get()
            pool.close_before_fork()
            if self._pools.get() is pool:
                return
            # The file was exchanged while this waited for the locks, and the new pool has locks of its own.
            pool.release()

    def after_fork(self) -> None:
        """Called by :mod:`session_mw.stores.fork`; a child has a pool of its own, whose locks it does not hold."""
        self._pools.get().release()

    def _write_once(
        self, pool: Pool, sql: str, parameters: tuple[Any, ...], ends: float, may_grow: bool, is_new: bool
    ) -> int:
        is_nearly_full = is_new and log.is_nearly_full(self._path)

        def work(connection: Connection) -> int:
            if is_nearly_full:
                log.refuse_new_record(connection, self._path, ends)
            changed = log.write(connection, sql, parameters, ends)
            if may_grow:
                pool.pages = log.copy_if_grown(connection, pool.pages, self._path, ends)
            return changed

        return run_holding(pool.writing, max(ends - time.monotonic(), 0), BUSY, lambda: pool.run(work, ends))

    def _checked_pool(self) -> Pool:
        pool = self._pools.get()
        return self._current(pool) if time.monotonic() - pool.looked_at > LOOK_AGAIN else pool

    def _current(self, pool: Pool) -> Pool:
        """The pool, or another one if the file was exchanged."""
        if self._exchanged(pool) is None:
            return pool

        def follow() -> Pool:
            if self._pools.get() is not pool:
                # Another thread has done it.
                return self._pools.get()
            found = self._exchanged(pool)
            if found is None:
                return pool
            if pool.files.lost_only_the_log(found):
                # Whichever process closes the file last copies what is in the log into the file, so nothing is lost.
                self._change_pool(pool, sqlite3.Connection.close)
            pool.files.check_replaced(found, self._path)
            try:
                connection = self.open_alone()
                try:
                    self._reopen(connection)
                finally:
                    connection.close()
            except (StoreError, sqlite3.Error) as error:
                raise StoreError(
                    f"the session database {self._path!r} was exchanged while it was in use, and the new file cannot "
                    f"be used ({error})"
                ) from error
            return self._change_pool(pool, abandon)

        # Look again while no other thread opens the first connection or closes the last one, as one does that forks: it
        # makes the log appear or vanish, which would be taken for an exchange. It also keeps the fork waiting: a
        # connection that is open meanwhile would be carried into the child.
        return run_holding(pool.opening, self._timeout, BUSY, follow)

    def _exchanged(self, pool: Pool) -> FileIds | None:
        """The files that have the names now, if one of them is not the one that the pool has open."""
        found = FileIds.at(self._path)
        # When its last connection is closed SQLite removes the log, and later makes another one.
        if len(pool.open) and pool.files.were_changed(found):
            return found
        pool.files = found
        pool.looked_at = time.monotonic()
        return None

    def _exchanged_often(self) -> str:
        return f"the session database {self._path!r} is being exchanged again and again"

    def _change_pool(self, pool: Pool, part_with: Callable[[Connection], None]) -> Pool:
        """Leave a pool for a new one."""
        self._pools.replace(pool, self._new_pool())
        pool.leave(part_with)
        return self._pools.get()

    def _new_pool(self) -> Pool:
        return Pool(self._open, CONNECTIONS, self._timeout)

    def _open(self, pool: Pool) -> Connection:
        if self._closed:
            raise StoreError("the session database was closed")
        is_first = not len(pool.open)
        connection = self.open_alone()
        try:
            log.configure(connection)
            # After the SELECT SQLite has all its files open; it leaves waiting to Connection.run().
            connection.execute("PRAGMA busy_timeout=0")
            connection.run("SELECT count(*) FROM sqlite_master", (), time.monotonic() + self._timeout).fetchall()
            if is_first:
                log.reserve(connection, self._path)
        except BaseException:
            connection.close()
            raise
        if is_first:
            pool.files = FileIds.at(self._path)
            pool.looked_at = time.monotonic()
        return connection
