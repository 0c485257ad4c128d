"""A process's SQLite connections to one file: few, and never carried over a fork."""

from __future__ import annotations

import ctypes
import os
import random
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

from session_mw.exceptions import StoreError
from session_mw.stores import fork
from session_mw.stores.locks import run_holding
from session_mw.stores.sqlite.files import is_busy
from session_mw.stores.sqlite.identity import FileIds

BUSY = "the session database was busy for too long; try again, or wait longer: ?timeout=10"

T = TypeVar("T")

# Seconds between two looks whether a connection was given back.
_PAUSE = 0.0005
# Seconds between two tries while another process holds the file, at most.
_LONGEST_PAUSE = 0.003


class Connection(sqlite3.Connection):
    """A connection that is closed with its store, where nobody closes that."""

    _process: int | None = None

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._process = os.getpid()

    def __del__(self) -> None:
        # Python 3.13 warns of one that was left open. A forked child leaves its parent's alone: to close one there
        # would remove the parent's log.
        if self._process == os.getpid():
            self.close()

    def run(self, sql: str, parameters: tuple[Any, ...], deadline: float) -> sqlite3.Cursor:
        """Run one statement; wait here while another process holds the file.

        SQLite's own waiting (``busy_timeout``) sleeps in C. Under gevent all other greenlets would stand still
        meanwhile, also those that serve pages without a session.

        Args:
            sql: The statement.
            parameters: Its values.
            deadline: When to give up, on the clock of :func:`time.monotonic`.

        Raises:
            sqlite3.Error: SQLite failed, or the file was held for too long.
        """
        while True:
            try:
                return self.execute(sql, parameters)
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
            time.sleep(random.uniform(_PAUSE, _LONGEST_PAUSE))  # noqa: S311 (jitter, not a secret)


class Pool:
    """The connections of one process to one file.

    A connection is taken out while it is used. Another thread can set an exception in this one
    (``PyThreadState_SetAsyncExc``), which CPython may raise as soon as a call has returned: its result is lost then. So
    connections go from one deque to another by a single call in C, and come back by another one in ``finally``.

    Args:
        open_connection: Opens another connection for this pool; called by one thread at a time.
        most: How many connections may be open at once.
        timeout: Seconds to wait for all connections before a fork.

    Attributes:
        idle: The connections that nobody uses.
        open: All connections.
        writing: Held by the thread that writes. SQLite itself waits by sleeping and trying again, so that threads
            would starve each other.
        files: The files that the connections have open.
        looked_at: When these were last compared with what has their names, by ``time.monotonic()``.
        opening: Held by the thread that opens connections, closes all of them, or replaces the pool.
        pages: How many pages the database had when its log was last copied into the file because it had grown.
    """

    def __init__(self, open_connection: Callable[[Pool], Connection], most: int, timeout: float) -> None:
        self._open_connection = open_connection
        self._most = most
        self._timeout = timeout
        # The connection that was given back last is taken first, because its page cache is the newest.
        self.idle: deque[Connection] = deque()
        self.open: set[Connection] = set()
        self.writing = threading.RLock()
        self.files = FileIds(None, None, None)
        self.looked_at = 0.0
        self.pages = 0
        self.opening = threading.RLock()
        # What to do with a connection that is given back after the pool was left.
        self._part_with: Callable[[Connection], None] | None = None

    def run(self, work: Callable[[Connection], T], ends: float) -> T:
        """Call ``work`` with an idle connection, a new one, or one that another thread gives back in time.

        Args:
            work: What to do.
            ends: When to give up waiting, on the clock of :func:`time.monotonic`.

        Raises:
            StoreError: Others used all connections for longer.
            sqlite3.Error: A new connection could not be opened.
        """
        taken: deque[Connection] = deque()
        try:
            self._take(taken, ends)
            if taken[0].in_transaction:
                # An exception that another thread set has interrupted the transaction of the last user.
                taken[0].rollback()
            return work(taken[0])
        finally:
            self.idle.extend(taken)
            # The exception may have come before this was said.
            self.open.update(taken)
            # Looked at after the connection was put back: otherwise a leave() in between would not see it.
            if self._part_with is not None:
                self.leave(self._part_with)

    def _take(self, taken: deque[Connection], ends: float) -> None:
        while not self._take_idle(taken):
            if len(self.open) < self._most:
                left = max(ends - time.monotonic(), 0)
                run_holding(self.opening, left, BUSY, lambda: self._open_one_more(taken))
                if taken:
                    return
            if time.monotonic() > ends:
                raise StoreError(BUSY)
            time.sleep(_PAUSE)

    def _take_idle(self, taken: deque[Connection]) -> bool:
        with suppress(IndexError):
            # One call in C from one deque to the other.
            taken.extend(islice(iter(self.idle.pop, None), 1))
        return len(taken) > 0

    def _open_one_more(self, taken: deque[Connection]) -> None:
        # Called with the lock held, so that two threads cannot both open the last connection that is allowed.
        if len(self.open) < self._most:
            taken.append(self._open_connection(self))
            self.open.update(taken)

    def leave(self, part_with: Callable[[Connection], None]) -> None:
        """Part with all idle connections now, and with those in use when they are given back."""
        self._part_with = part_with
        while self.idle:
            try:
                connection = self.idle.pop()
            except IndexError:
                # Another thread was faster.
                return
            part_with(connection)

    def close_before_fork(self) -> None:
        """Close all connections and keep the locks until :meth:`release`; waits at most for the timeout."""
        deadline = time.monotonic() + self._timeout
        self.writing.acquire()
        self.opening.acquire()
        # Readers give their connections back soon, and nobody opens another one meanwhile.
        while (self.open or self.idle) and time.monotonic() < deadline:
            if self.idle:
                connection = self.idle.pop()
                connection.close()
                self.open.discard(connection)
            else:
                time.sleep(_PAUSE)

    def release(self) -> None:
        """Release the locks, if this thread holds them."""
        fork.release(self.opening)
        fork.release(self.writing)


def abandon(connection: Connection) -> None:
    """Part with a connection that a parent process opened, or whose file has lost its name.

    SQLite removes the log when it closes the last connection to a file, and does it by the log's name, which by now may
    be that of another file's log. A child process cannot even tell whether a connection is the last one.
    """
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE)
        connection.close()
    else:
        # SQLite cannot be told this before Python 3.12. So the object is leaked on purpose: Python must not close the
        # connection, not even when the process ends.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
