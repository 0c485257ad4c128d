"""SQLite connections: one for each thread, none carried over a fork."""

from __future__ import annotations

import sqlite3
import threading
import weakref
from pathlib import Path
from typing import Any

from session_mw.exceptions import StoreError
from session_mw.stores import fork


class Link:
    """One thread's connection; closed with the thread."""

    __slots__ = ("__weakref__", "connection", "lock")

    def __init__(self) -> None:
        self.connection: sqlite3.Connection | None = None
        # taken by another thread only to close the connection
        self.lock = threading.RLock()

    def close(self) -> None:
        with self.lock:
            connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def __del__(self) -> None:
        self.close()


class Links:
    """Runs statements, each a transaction of its own, on the calling thread's connection.

    Raises:
        StoreError: From every method: SQLite failed, or another writer held the file longer
            than ``timeout`` (seconds).
    """

    def __init__(self, path: str, timeout: float) -> None:
        # mode=rw: a file that was removed is an error, not a new and empty database
        self._uri = f"{Path(path).as_uri()}?mode=rw"
        self._timeout = timeout
        self._local = threading.local()
        self._links: weakref.WeakSet[Link] = weakref.WeakSet()
        self._links_lock = threading.RLock()
        # SQLite's own waiting is by sleeping and trying again: threads would starve each other
        self._writing = threading.RLock()
        self._resting: list[Link] = []
        self._closed = False
        fork.watch(self)

    def read(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        """Run a SELECT; every row."""
        try:
            link: Link = getattr(self._local, "link", None) or self._new_link()
            with link.lock:
                return (link.connection or self._connect(link)).execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise _failed(error) from error

    def write(self, sql: str, parameters: tuple[Any, ...]) -> int:
        """Run any other statement; how many rows it changed."""
        if not self._writing.acquire(timeout=self._timeout):
            raise StoreError("the session database was busy for too long; try again, or wait longer: ?timeout=10")
        try:
            link: Link = getattr(self._local, "link", None) or self._new_link()
            with link.lock:
                return (link.connection or self._connect(link)).execute(sql, parameters).rowcount
        except sqlite3.Error as error:
            raise _failed(error) from error
        finally:
            self._writing.release()

    def close(self) -> None:
        """Close the connections of all threads, for good."""
        self._closed = True
        self.rest()

    def rest(self) -> None:
        """Close the connections of all threads, until they are needed again."""
        with self._links_lock:
            for link in list(self._links):
                link.close()

    def before_fork(self) -> None:
        """Called by :mod:`session_mw.stores.fork`."""
        self._writing.acquire()
        self._links_lock.acquire()
        for link in list(self._links):
            link.lock.acquire()
            self._resting.append(link)
            link.close()

    def after_fork(self) -> None:
        """Called by :mod:`session_mw.stores.fork`."""
        while self._resting:
            self._resting.pop().lock.release()
        self._links_lock.release()
        self._writing.release()

    def _new_link(self) -> Link:
        with self._links_lock:
            link = self._local.link = Link()
            self._links.add(link)
        return link

    def _connect(self, link: Link) -> sqlite3.Connection:
        if self._closed:
            raise StoreError("the session database was closed")
        connection = sqlite3.connect(
            self._uri, uri=True, timeout=self._timeout, isolation_level=None, check_same_thread=False
        )
        # a text that is no UTF-8 is for the store to judge, as other values of a wrong type are
        connection.text_factory = _text
        try:
            # with WAL a killed process loses nothing; only a power cut can take back the last writes
            connection.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.Error:
            connection.close()
            raise
        link.connection = connection
        return connection


def _text(found: bytes) -> str:
    return found.decode("utf-8", "replace")


def _failed(error: sqlite3.Error) -> StoreError:
    return StoreError(f"the session database failed: {error}")
