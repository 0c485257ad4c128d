"""Sessions in an SQLite file."""

from __future__ import annotations

import itertools
import logging
import os
import secrets
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any
from urllib.parse import quote

from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.protocols import Location, Record
from session_mw.stores import options, stand_in
from session_mw.stores.session_ids import is_key, warn_of_foreign
from session_mw.stores.sqlite.connections import Links
from session_mw.stores.sqlite.statements import statements_for

logger = logging.getLogger("session_mw")

# up to two for each one created: what has piled up gets less
SWEEP_ONE_IN = 50
SWEPT_AT_ONCE = 100
SECONDS_TO_SWITCH_TO_WAL = 10


class SQLiteStore:
    """Sessions in an SQLite file: the embedded default, for one machine.

    Several processes may use the file at once, but not over a network file system (its WAL
    needs shared memory). Sessions survive a restart and a killed process; a power cut may
    take back the last writes, whole. Expired records are removed little by little as new
    ones are created, and all at once by :meth:`sweep`.

    Args:
        path: The file; made, with mode 0600, if it does not exist. Its directory must exist.
        table: The table's name; made if it does not exist.
        timeout: Seconds to wait for other writers.

    Raises:
        ConfigurationError: The file cannot be opened, or the table is not one of ours.
        StoreError: Another process held the file for too long.
    """

    def __init__(self, path: str | os.PathLike[str], *, table: str = "sessions", timeout: float = 5.0) -> None:
        self._path = os.path.abspath(os.fspath(path))
        self._table = _checked_table(table)
        is_new = _make_private(self._path)
        self._links = Links(self._path, timeout)
        self._sql = statements_for(self._table)
        # not from 0, or processes that make few records would never sweep
        self._turns = itertools.count(secrets.randbelow(SWEEP_ONE_IN))
        self._prepare_file()
        if not is_new:
            _warn_of_readers(self._path)

    def __repr__(self) -> str:
        return f"<SQLiteStore {self._path!r} table={self._table!r}>"

    @classmethod
    def from_url(cls, url: str, *, create: bool = True) -> SQLiteStore:
        """Make the store of ``sqlite:///relative.db`` or ``sqlite:////absolute/path.db``.

        The options are ``table`` and ``timeout``.

        Raises:
            ConfigurationError: The URL is wrong, or as from the constructor.
        """
        parsed = options.parse_url(url, {"table": options.identifier, "timeout": options.seconds})
        if parsed.hosts or parsed.path[1:] in ("", ":memory:"):
            raise ConfigurationError(
                f"{options.without_password(url)!r} names no file: write 'sqlite:///relative.db' or "
                "'sqlite:////absolute/path.db' (without a file: 'memory://')"
            )
        stand_in.refuse_missing(url, create)
        if not create:
            _refuse_missing_table(parsed.path[1:], parsed.options.get("table", "sessions"))
        return cls(parsed.path[1:], **parsed.options)

    @classmethod
    def location_of(cls, url: str) -> Location:
        """Where the store is that a URL names."""
        return stand_in.in_url(url)

    def describe(self) -> Location:
        """As :meth:`session_mw.protocols.LocatedStore.describe`."""
        return Location("sqlite", repr(self), self._path)

    def load(self, key: str) -> Record | None:
        """As :meth:`session_mw.protocols.Store.load`."""
        rows = self._links.read(self._sql.load, (key, int(time.time())))
        if not rows:
            return None
        record = Record._make(rows[0])
        # others can put values of any type into a table of SQLite
        if type(record.data) is bytes and type(record.version) is int and type(record.expires) is int:
            return record
        warn_of_foreign(key)
        return None

    def create(self, key: str, data: bytes, ttl: int, principal: str | None = None) -> bool:
        """As :meth:`session_mw.protocols.IndexedStore.create`."""
        now = int(time.time())
        if next(self._turns) % SWEEP_ONE_IN == 0:
            self._sweep_a_little(now)
        return self._links.write(self._sql.create, (key, data, now + ttl, principal, now)) == 1

    def update(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None = None) -> bool:
        """As :meth:`session_mw.protocols.IndexedStore.update`."""
        if not isinstance(version, int) or version.bit_length() > 63:
            return False
        now = int(time.time())
        return self._links.write(self._sql.update, (data, now + ttl, principal, key, version, now)) == 1

    def touch(self, key: str, ttl: int) -> bool:
        """As :meth:`session_mw.protocols.Store.touch`."""
        now = int(time.time())
        return self._links.write(self._sql.touch, (now + ttl, key, now)) == 1

    def delete(self, key: str) -> None:
        """As :meth:`session_mw.protocols.Store.delete`."""
        if is_key(key):
            self._links.write(self._sql.delete, (key,))

    def keys_of(self, principal: str) -> list[str]:
        """As :meth:`session_mw.protocols.IndexedStore.keys_of`."""
        return [row[0] for row in self._links.read(self._sql.keys_of, (principal, int(time.time())))]

    def count_expired(self) -> int:
        """As :meth:`session_mw.protocols.SweepableStore.count_expired`."""
        return int(self._links.read(self._sql.count_expired, (int(time.time()),))[0][0])

    def sweep(self, batch: int = 1000) -> Iterator[int]:
        """As :meth:`session_mw.protocols.SweepableStore.sweep`; other writers get in between the steps."""
        while removed := self._links.write(self._sql.sweep, (int(time.time()), batch)):
            yield removed

    def close(self) -> None:
        """Close the connections of all threads."""
        self._links.close()

    def _prepare_file(self) -> None:
        try:
            if self._links.read(self._sql.exists, ()):
                # another application's stays as it is
                self._links.read(self._sql.probe, ())
            self._switch_to_wal()
            for statement in self._sql.schema:
                self._links.write(statement, ())
            # nothing is open in a server that loads the application, and then forks without a word
            self._links.rest()
        except StoreError as error:
            self.close()
            if _is_busy(error):
                raise
            raise ConfigurationError(f"{self!r} cannot be used ({error}); name another file or table") from error

    def _switch_to_wal(self) -> None:
        # SQLite does not wait for other processes that open the file at the same time here
        deadline = time.monotonic() + SECONDS_TO_SWITCH_TO_WAL
        while True:
            try:
                self._links.read("PRAGMA journal_mode=WAL", ())
                return
            except StoreError as error:
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _sweep_a_little(self, now: int) -> None:
        try:
            self._links.write(self._sql.sweep, (now, SWEPT_AT_ONCE))
        except StoreError as error:
            logger.warning("expired sessions were not removed: %s", error)


def _refuse_missing_table(path: str, table: str) -> None:
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = ? COLLATE NOCASE", (table,)).fetchall():
            raise ConfigurationError(f"{path!r} has no table {table!r}")


def _is_busy(error: StoreError) -> bool:
    # sqlite3.Error has its error code as a number only from Python 3.11 on
    return "locked" in str(error) or "busy" in str(error)


def _checked_table(table: str) -> str:
    try:
        return options.identifier(table)
    except ValueError as problem:
        raise ConfigurationError(f"table={table!r} {problem}") from None


def _make_private(path: str) -> bool:
    """Make the file before SQLite does, whose journals take over the file's mode; whether it was not there."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        return True
    except FileExistsError:
        return False
    except OSError as error:
        raise ConfigurationError(f"{path!r} cannot be made: {error.strerror}; does its directory exist?") from error


def _warn_of_readers(path: str) -> None:
    if os.name == "posix" and os.path.exists(path) and stat.S_IMODE(os.stat(path).st_mode) & 0o077:
        logger.warning("others may read the sessions in %r; chmod 600 it", path)
