"""A process's SQLite connections: few, none carried over a fork, none to a file that is no longer there."""

from __future__ import annotations

import ctypes
import logging
import os
import random
import sqlite3
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

from session_mw.exceptions import StoreError
from session_mw.stores import fork
from session_mw.stores.locks import run_holding
from session_mw.stores.sqlite.files import bytes_left, explained, is_busy, is_out_of_space

logger = logging.getLogger("session_mw")

CONNECTIONS = 8
"""At most, in one process. A thread or greenlet has one only while SQLite works."""

# Pages of 4 KiB in the write-ahead log after which it is copied into the file and begun anew. SQLite's own 1000 are
# more than a small disk or quota has left; with 128 a writing takes as long as with 1000, within 5 %.
LOG_PAGES = 128
# Bytes of a log of so many pages: a header, and one for each page.
LOG_RESERVED = 32 + LOG_PAGES * (24 + 4096)
# The last pages of the disk, which no new record takes: what one of them adds to the file is much less.
KEPT_PAGES = 32
# What a long reader (a backup, say) made longer is cut when it is begun anew.
LOG_BYTES = 1024 * 1024

# Seconds for which it is trusted that the file's name still means the same file. So short that nobody can tell,
# and long enough for a busy process to look once for a hundred reads.
LOOK_AGAIN = 0.001
_PAUSE = 0.0005
_LONGEST_PAUSE = 0.003

_BUSY = "the session database was busy for too long; try again, or wait longer: ?timeout=10"


class Connection(sqlite3.Connection):
    """One that weak references can count."""


class FileIds(NamedTuple):
    """Device and inode of the file and of what SQLite has beside it; None for what is not there."""

    main: tuple[int, int] | None
    log: tuple[int, int] | None
    shared: tuple[int, int] | None

    def are_others(self, found: FileIds) -> bool:
        """Whether one of these was removed or exchanged."""
        return any(known is not None and known != now for known, now in zip(self, found, strict=True))


class Pool:
    """The connections of one process to one file.

    A connection is taken out while it is used. One that gets lost on the way (an exception was set in the thread
    from outside) closes when Python lets go of it, and :attr:`open` no longer counts it: nothing has to be given
    back for others to go on.
    """

    def __init__(self) -> None:
        # the last one given back first: what it has read of the file is still what the file holds
        self.idle: deque[Connection] = deque()
        self.open: weakref.WeakSet[Connection] = weakref.WeakSet()
        self.opening = threading.RLock()
        # waiting for another process is by sleeping and trying again: threads would starve each other
        self.writing = threading.RLock()
        self.files = FileIds(None, None, None)
        self.looked_at = 0.0
        # how many pages the database had when its log was last copied into the file because it had grown
        self.pages = 0
        # what becomes of a connection that is given back after the pool was left
        self.part_with: Callable[[Connection], None] | None = None

    def give_back(self, connection: Connection) -> None:
        """Let others use a connection again."""
        if connection.in_transaction:
            # an exception was set in the thread from outside
            connection.rollback()
        self.idle.append(connection)
        if self.part_with is not None:
            self.leave(self.part_with)

    def leave(self, part_with: Callable[[Connection], None]) -> None:
        """Part with all connections: with those in use when they are given back."""
        self.part_with = part_with
        while self.idle:
            try:
                connection = self.idle.pop()
            except IndexError:
                # another thread was faster
                return
            part_with(connection)


class Connections:
    """Runs statements, each a transaction of its own.

    Args:
        path: The file, absolute.
        timeout: Seconds to wait for other writers, or for a connection.
        reopen: Sees that a file that has come into the place of the former is fit to use, by a connection to it;
            raises ``StoreError`` or ``sqlite3.Error``.

    Raises:
        StoreError: From every method: SQLite failed, others held the file for longer than ``timeout``, or
            the file was removed or exchanged for one that is not ours.
    """

    def __init__(self, path: str, timeout: float, reopen: Callable[[sqlite3.Connection], None]) -> None:
        self._path = path
        # mode=rw: a file that was removed is an error, not a new and empty database
        self._uri = f"{Path(path).as_uri()}?mode=rw"
        self._timeout = timeout
        self._reopen = reopen
        self._pools = fork.PerProcess(Pool, lambda inherited: inherited.leave(abandon))
        self._closed = False
        fork.watch(self)

    def read(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        """Run a SELECT; every row."""
        for is_last in (False, True):
            pool = self._looked_after()
            try:
                return self._read_by(pool, sql, parameters)
            except sqlite3.Error as error:
                # a file that was exchanged just now may be why SQLite failed
                if is_last or self._current(pool) is pool:
                    raise explained(error, self._path) from error
        raise StoreError(self._exchanged_often())

    def write(self, sql: str, parameters: tuple[Any, ...], *, may_grow: bool = False, is_new: bool = False) -> int:
        """Run any other statement; how many rows it changed.

        A disk may be filled up by others at any time, and log-outs should work even then. They need space in the log,
        which is reserved when it is opened; and they need that the log can be begun anew when its space is used up, for
        which all of it has to go into the file. So pages by which the file has to grow are copied there at once, and
        no new record takes the last space for it.

        Args:
            sql: The statement.
            parameters: Its values.
            may_grow: Whether to look if the file has to grow.
            is_new: Whether it makes a new record; implies ``may_grow``.
        """
        for is_last in (False, True):
            pool = self._looked_after()
            try:
                changed = self._write_by(pool, sql, parameters, may_grow or is_new, is_new)
            except sqlite3.Error as error:
                if is_last or self._current(pool) is pool:
                    raise explained(error, self._path) from error
            else:
                if pool.files.main == _id_of(self._path):
                    return changed
                # What was written is in a file that no longer has this name, where nobody will look for it.
                self._current(pool)
        raise StoreError(self._exchanged_often())

    def close(self) -> None:
        """Close all connections, for good."""
        self._closed = True
        self.rest()

    def rest(self) -> None:
        """Close all connections, until they are needed again."""
        self._change_pool(self._pools.get(), sqlite3.Connection.close)

    def before_fork(self) -> None:
        """Called by :mod:`session_mw.stores.fork`."""
        pool = self._pools.get()
        deadline = time.monotonic() + self._timeout
        pool.writing.acquire()
        pool.opening.acquire()
        # Whoever reads gives its connection back soon, and nobody opens another one meanwhile.
        while len(pool.open) and time.monotonic() < deadline:
            if pool.idle:
                connection = pool.idle.pop()
                connection.close()
                # an exception that somebody keeps may keep it as well
                pool.open.discard(connection)
            else:
                time.sleep(_PAUSE)

    def after_fork(self) -> None:
        """Called by :mod:`session_mw.stores.fork`; a child has a pool of its own, which it does not hold."""
        pool = self._pools.get()
        fork.release(pool.opening)
        fork.release(pool.writing)

    def _looked_after(self) -> Pool:
        pool = self._pools.get()
        return self._current(pool) if time.monotonic() - pool.looked_at > LOOK_AGAIN else pool

    def _read_by(self, pool: Pool, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        try:
            connection = pool.idle.pop()
        except IndexError:
            connection = self._another(pool)
        try:
            return self._execute(connection, sql, parameters, time.monotonic() + self._timeout).fetchall()
        finally:
            pool.give_back(connection)

    def _write_by(self, pool: Pool, sql: str, parameters: tuple[Any, ...], may_grow: bool, is_new: bool) -> int:
        deadline = time.monotonic() + self._timeout
        is_full = is_new and bytes_left(self._path) < KEPT_PAGES * 4096

        def work() -> int:
            try:
                connection = pool.idle.pop()
            except IndexError:
                connection = self._another(pool)
            try:
                if is_full:
                    self._keep_space(connection, deadline)
                changed = self._written(connection, sql, parameters, deadline)
                if may_grow:
                    self._grow(pool, connection, deadline)
                return changed
            finally:
                pool.give_back(connection)

        return run_holding(pool.writing, self._timeout, _BUSY, work)

    def _execute(
        self, connection: Connection, sql: str, parameters: tuple[Any, ...], deadline: float
    ) -> sqlite3.Cursor:
        """Run one statement; wait here while another process holds the file.

        SQLite's own waiting (``busy_timeout``) sleeps in C. Under gevent all other greenlets would stand still
        meanwhile, also those that serve pages without a session.
        """
        while True:
            try:
                return connection.execute(sql, parameters)
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
            time.sleep(random.uniform(_PAUSE, _LONGEST_PAUSE))  # noqa: S311 (jitter, not a secret)

    def _keep_space(self, connection: Connection, deadline: float) -> None:
        """Refuse a new record where the disk is full and the file has no free pages either."""
        (free,) = self._execute(connection, "PRAGMA freelist_count", (), deadline).fetchone()
        if free < KEPT_PAGES:
            raise StoreError(
                f"the disk of the session database {self._path!r} is full; what is left is kept for log-outs"
            )

    def _written(self, connection: Connection, sql: str, parameters: tuple[Any, ...], deadline: float) -> int:
        try:
            return self._execute(connection, sql, parameters, deadline).rowcount
        except sqlite3.OperationalError as error:
            if not is_out_of_space(error):
                raise
        # What a long reader kept in the log can perhaps go into the file now, so that the log begins anew in the
        # space that it has: a log-out should not fail because the disk is full. Only SQLite can wait for that reader.
        connection.execute(f"PRAGMA busy_timeout={max(0, int((deadline - time.monotonic()) * 1000))}")
        connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        connection.execute("PRAGMA busy_timeout=0")
        return self._execute(connection, sql, parameters, deadline).rowcount

    def _reserve_log(self, connection: Connection) -> None:
        log = f"{os.path.realpath(self._path)}-wal"
        if not hasattr(os, "posix_fallocate") or (_id_of(log) and os.stat(log).st_size >= LOG_RESERVED):
            return
        try:
            # Without waiting: whoever writes now has done this before. Nobody else writes to the log meanwhile, and
            # what is behind its last valid frame means nothing to SQLite.
            connection.execute("BEGIN IMMEDIATE")
            with FileIO(log, "r+") as file:
                os.posix_fallocate(file.fileno(), 0, LOG_RESERVED)
        except (OSError, sqlite3.OperationalError):
            # others write, there is no log or no space, or the file system cannot do it
            logger.debug("no space was reserved for the log of %r", self._path, exc_info=True)
        finally:
            connection.rollback()

    def _grow(self, pool: Pool, connection: Connection, deadline: float) -> None:
        (pages,) = self._execute(connection, "PRAGMA page_count", (), deadline).fetchone()
        if pages > pool.pages:
            try:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            except sqlite3.OperationalError:
                # the disk is full: the record is in the log, and the next writing tries again
                logger.debug("the log of %r could not be copied into the file", self._path, exc_info=True)
            else:
                pool.pages = pages

    def _another(self, pool: Pool) -> Connection:
        """A connection: a new one, or one that another thread gives back."""

        def new() -> Connection | None:
            if len(pool.open) >= CONNECTIONS:
                return None
            connection = self._open(pool)
            pool.open.add(connection)
            return connection

        deadline = time.monotonic() + self._timeout
        while True:
            connection = run_holding(pool.opening, self._timeout, _BUSY, new)
            if connection is not None:
                return connection
            while len(pool.open) >= CONNECTIONS:
                try:
                    return pool.idle.pop()
                except IndexError:
                    if time.monotonic() > deadline:
                        raise StoreError(_BUSY) from None
                time.sleep(_PAUSE)

    def open_alone(self) -> Connection:
        """A connection outside of the pool, which the caller closes. Raises ``sqlite3.Error``."""
        connection = sqlite3.connect(
            self._uri,
            uri=True,
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,
            factory=Connection,
        )
        # a text that is no UTF-8 is for the store to judge, as other values of a wrong type are
        connection.text_factory = _text
        return connection

    def _open(self, pool: Pool) -> Connection:
        if self._closed:
            raise StoreError("the session database was closed")
        is_first = not len(pool.open)
        connection = self.open_alone()
        try:
            # with WAL a killed process loses nothing; only a power cut can take back the last writes
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")
            connection.execute("PRAGMA busy_timeout=0")
            # from here on SQLite has all its files open
            deadline = time.monotonic() + self._timeout
            self._execute(connection, "SELECT count(*) FROM sqlite_master", (), deadline).fetchall()
            if is_first:
                self._reserve_log(connection)
        except BaseException:
            connection.close()
            raise
        if is_first:
            pool.files = self._file_ids()
            pool.looked_at = time.monotonic()
        return connection

    def _current(self, pool: Pool) -> Pool:
        """The pool, or another one if the file was exchanged.

        A database that was replaced or removed while it is open goes on without a name: what is written there is
        lost, a log-out too, and who opens the name meanwhile sees another truth. It is the same if only the log or
        its index was removed (by a cleaner of ``/tmp``, say).
        """
        found = self._file_ids()
        # with its last connection closed SQLite has removed the log, and makes another one
        if not len(pool.open) or not pool.files.are_others(found):
            pool.files = found
            pool.looked_at = time.monotonic()
            return pool
        if found.main == pool.files.main:
            is_whole = found.log in (None, pool.files.log) and found.shared in (None, pool.files.shared)
            if is_whole:
                # whoever closes the file last copies what is in the log into it
                self._change_pool(pool, sqlite3.Connection.close)
            raise StoreError(
                f"the write-ahead log of the session database {self._path!r} was removed or exchanged while it was in "
                "use; keep cleaners away from its '-wal' and '-shm' files"
                + ("" if is_whole else ", and restart the application: others have begun another log")
            )
        if found.main is None:
            raise StoreError(
                f"the session database {self._path!r} was removed while it was in use; put it back, or restart the "
                "application to begin a new one"
            )
        if found.log is not None and found.log == pool.files.log:
            raise StoreError(
                f"the session database {self._path!r} was exchanged while it was in use, and the former one's log is "
                "still beside it; stop the application, remove the '-wal' and '-shm' files, and start it"
            )
        return self._exchanged(pool)

    def _exchanged_often(self) -> str:
        return f"the session database {self._path!r} is being exchanged again and again"

    def _exchanged(self, pool: Pool) -> Pool:
        try:
            connection = self.open_alone()
            try:
                self._reopen(connection)
            finally:
                connection.close()
        except (StoreError, sqlite3.Error) as error:
            raise StoreError(
                f"the session database {self._path!r} was exchanged while it was in use, and the new file cannot be "
                f"used ({error})"
            ) from error
        return self._change_pool(pool, abandon)

    def _change_pool(self, pool: Pool, part_with: Callable[[Connection], None]) -> Pool:
        """Leave a pool for a new one."""
        self._pools.replace(pool, Pool())
        pool.leave(part_with)
        return self._pools.get()

    def _file_ids(self) -> FileIds:
        # SQLite puts the log beside the file itself where the path is a symlink
        real = os.path.realpath(self._path)
        return FileIds(_id_of(real), _id_of(f"{real}-wal"), _id_of(f"{real}-shm"))


def abandon(connection: Connection) -> None:
    """Part with a connection that a parent process opened, or that is to a file which has lost its name.

    SQLite removes the log when it closes the last connection to a file, and does it by the log's name, which by now may
    be that of another file's log. A child cannot even tell whether a connection is the last one.
    """
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE)
        connection.close()
    else:
        # It can only be kept for ever: Python must not close it when the process ends either.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def _id_of(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _text(found: bytes) -> str:
    return found.decode("utf-8", "replace")
