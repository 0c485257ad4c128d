"""Sessions in an SQLite file."""

from __future__ import annotations

import itertools
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.protocols import Location, Record
from session_mw.stores import options
from session_mw.stores.session_ids import is_key, warn_of_foreign
from session_mw.stores.sqlite.connections import Connections
from session_mw.stores.sqlite.files import explained, is_busy, make_private, warn_of_readers
from session_mw.stores.sqlite.statements import statements_for

logger = logging.getLogger("session_mw")

# On average up to two records are removed for each one that is created, so a backlog shrinks.
SWEEP_ONE_IN = 50
SWEPT_AT_ONCE = 100
LOOKS_FOR_GROWTH_ONE_IN = 16
SECONDS_TO_SWITCH_TO_WAL = 10


class SQLiteStore:
    """Sessions in an SQLite file: the embedded default, for one machine.

    Several processes may use the file at once, but not over a network file system, because SQLite's write-ahead
    log needs shared memory. Sessions survive a restart and a killed process; a power cut may
    take back the last writes, whole. Expired records are removed little by little as new
    ones are created, and all at once by :meth:`sweep`.

    A process has at most nine connections, whatever the number of its threads or greenlets. The write-ahead log
    stays at about half a megabyte, unless another program reads the database for long. If another database with the
    same table is put in the place of the file, it is used from then on; if the file is removed, that is an error. Files
    that root makes are given to the owner of the directory.

    Args:
        path: The file; made, with mode 0600, if it does not exist. Its directory must exist.
        table: The table's name; made if it does not exist.
        timeout: Seconds to wait for other writers.
        create: Whether to make the file and the table; with False it is an error if one does not exist.

    Raises:
        ConfigurationError: The file cannot be opened, or the table was not made by this store.
        StoreError: Another process held the file for too long.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, table: str = "sessions", timeout: float = 5.0, create: bool = True
    ) -> None:
        self._path = os.path.abspath(os.fspath(path))
        try:
            self._table = options.identifier(table)
        except ValueError as problem:
            raise ConfigurationError(f"table={table!r} {problem}") from None
        self._sql = statements_for(self._table)
        # A random start: from 0 every new process would sweep at once, from 1 short-lived ones would never do it.
        self._creates = itertools.count(secrets.randbelow(SWEEP_ONE_IN))
        self._updates = itertools.count()
        if create:
            make_private(self._path)
        elif os.path.exists(self._path):
            warn_of_readers(self._path)
        else:
            raise ConfigurationError(f"there is no {self._path!r}, so nothing was looked at; is the path right?")
        self._connections = Connections(self._path, timeout, self._check_exchanged)
        self._prepare_file(create)

    def __repr__(self) -> str:
        return f"<SQLiteStore {self._path!r} table={self._table!r}>"

    @classmethod
    def from_url(cls, url: str, *, create: bool = True) -> SQLiteStore:
        """Make the store of ``sqlite:///relative.db`` or ``sqlite:////absolute/path.db``.

        The options are ``table`` and ``timeout``.

        Args:
            url: The URL.
            create: As for the constructor.

        Raises:
            ConfigurationError: The URL is wrong, or as from the constructor.
        """
        path, given = _parsed(url)
        return cls(path, create=create, **given)

    @classmethod
    def location_of(cls, url: str) -> Location:
        """Where the store of a URL would be; opens and makes nothing. Raises ``ConfigurationError``."""
        return Location("sqlite", options.without_password(url), path=os.path.abspath(_parsed(url)[0]))

    def describe(self) -> Location:
        """As :meth:`session_mw.protocols.LocatedStore.describe`."""
        return Location("sqlite", repr(self), path=self._path)

    def load(self, key: str) -> Record | None:
        """As :meth:`session_mw.protocols.Store.load`."""
        rows = self._connections.read(self._sql.load, (key, int(time.time())))
        if not rows:
            return None
        record = Record._make(rows[0])
        # SQLite's columns take values of any type, and other programs may write to the table.
        if type(record.data) is bytes and type(record.version) is int and type(record.expires) is int:
            return record
        warn_of_foreign(key)
        return None

    def create(self, key: str, data: bytes, ttl: int, principal: str | None = None) -> bool:
        """As :meth:`session_mw.protocols.IndexedStore.create`."""
        now, ends = int(time.time()), self._connections.deadline()
        if next(self._creates) % SWEEP_ONE_IN == 0:
            try:
                # It must leave time for what it is done beside.
                self._connections.write(self._sql.sweep, (now, SWEPT_AT_ONCE), self._connections.deadline(share=0.25))
            except StoreError as error:
                logger.warning("expired sessions were not removed: %s", error)
        values = (key, data, _new_version(), now + ttl, principal, now)
        return self._connections.write(self._sql.create, values, ends, is_new=True) == 1

    def update(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None = None) -> bool:
        """As :meth:`session_mw.protocols.IndexedStore.update`."""
        if not isinstance(version, int) or version.bit_length() > 63:
            return False
        now = int(time.time())
        values = (data, _new_version(), now + ttl, principal, key, version, now)
        # Most records keep their size, and the check takes a sixth of the time of a write.
        may_grow = next(self._updates) % LOOKS_FOR_GROWTH_ONE_IN == 0
        return self._connections.write(self._sql.update, values, may_grow=may_grow) == 1

    def touch(self, key: str, ttl: int) -> bool:
        """As :meth:`session_mw.protocols.Store.touch`."""
        now = int(time.time())
        return self._connections.write(self._sql.touch, (now + ttl, key, now)) == 1

    def delete(self, key: str) -> None:
        """As :meth:`session_mw.protocols.Store.delete`."""
        if is_key(key):
            self._connections.write(self._sql.delete, (key,))

    def keys_of(self, principal: str) -> list[str]:
        """As :meth:`session_mw.protocols.IndexedStore.keys_of`."""
        return [row[0] for row in self._connections.read(self._sql.keys_of, (principal, int(time.time())))]

    def count_expired(self) -> int:
        """As :meth:`session_mw.protocols.SweepableStore.count_expired`."""
        return int(self._connections.read(self._sql.count_expired, (int(time.time()),))[0][0])

    def sweep(self, batch: int = 1000) -> Iterator[int]:
        """As :meth:`session_mw.protocols.SweepableStore.sweep`; other writers can write between the batches."""
        while removed := self._connections.write(self._sql.sweep, (int(time.time()), batch)):
            yield removed

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    def _prepare_file(self, create: bool) -> None:
        try:
            # Nothing stays open: a server may load the application and then fork without telling Python (uWSGI does).
            with closing(self._connections.open_alone()) as connection:
                if connection.execute(self._sql.exists).fetchall():
                    # Fails for a table that another application made, before anything in it is changed.
                    connection.execute(self._sql.probe)
                elif not create:
                    raise ConfigurationError(
                        f"{self._path!r} has no table {self._table!r}, so nothing was looked at; is the path right?"
                    )
                _switch_to_wal(connection)
                for statement in self._sql.schema if create else ():
                    connection.execute(statement)
        except sqlite3.Error as error:
            failed = explained(error, self._path)
            if is_busy(error):
                raise failed from error
            raise ConfigurationError(f"{self!r} cannot be used ({failed}); name another file or table") from error

    def _check_exchanged(self, connection: sqlite3.Connection) -> None:
        """See that a file which has replaced the store's own has the store's table."""
        if not connection.execute(self._sql.exists).fetchall():
            raise StoreError(f"it has no table {self._table!r}")
        connection.execute(self._sql.probe)
        _switch_to_wal(connection)
        warn_of_readers(self._path)


def _parsed(url: str) -> tuple[str, dict[str, Any]]:
    parsed = options.parse_url(url, {"table": options.identifier, "timeout": options.seconds})
    if parsed.hosts or parsed.path[1:] in ("", ":memory:"):
        raise ConfigurationError(
            f"{options.without_password(url)!r} names no file: write 'sqlite:///relative.db' or "
            "'sqlite:////absolute/path.db' (without a file: 'memory://')"
        )
    return parsed.path[1:], parsed.options


def _new_version() -> int:
    """A version that no record had before.

    Not a counter in the record: one that was deleted and created anew could have the version of the one that was
    loaded. Not SQLite's ``random()``: after a fork in C all children would get the same numbers from it. 63 bits,
    because SQLite's integers are signed.
    """
    return int.from_bytes(os.urandom(8), "big") >> 1


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    # Here SQLite does not wait for processes that open the file at the same time, whatever its busy_timeout is.
    deadline = time.monotonic() + SECONDS_TO_SWITCH_TO_WAL
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchall()
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
