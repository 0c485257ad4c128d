"""Sessions in a table of a database that is already there: PostgreSQL, MySQL, MariaDB, SQLite."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import re
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy.engine import URL, Engine

from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.protocols import Location, Record
from session_mw.stores.options import identifier, without_password
from session_mw.stores.session_ids import is_key, warn_of_foreign
from session_mw.stores.sqlalchemy.connections import Connections, Source
from session_mw.stores.sqlalchemy.table import Statements, session_table
from session_mw.stores.sqlalchemy.urls import TIMEOUT, location, location_of, source_from_url

_logger = logging.getLogger("session_mw")
_LATEST = 2**63 - 1
_SWEEPS = 0.01
_SWEPT_AT_ONCE = 100
# SQLite before 3.32 takes no more parameters in one statement
_MOST_PARAMETERS = 900
# An application's pool has a bound of its own.
_MANY = 10_000


class SQLAlchemyStore:
    """Sessions in a table, for any number of machines.

    Everything survives a restart of the database. Expired rows stay until they are swept:
    about one ``create`` in a hundred removes up to a hundred of them, and
    ``session-mw sweep`` removes all.

    Each operation is one statement in autocommit mode, one round trip (with pg8000 a transaction of
    one statement); a writing that changed nothing asks once or twice more why. No statement is
    prepared by name, and no setting is left on a connection, so that a pooler may stand between
    (PgBouncer in transaction mode).

    What happens when the database does not do its part, whatever the driver:

    - An operation takes at most ``timeout`` seconds in all, waiting for a free connection and
      connecting included; then it is a ``StoreError``, and the other idle connections are closed.
    - Where the database dropped the connection (it was restarted, say), or says that it is read only
      (a failover), the statement is sent once more on a new connection. That is safe for writing
      too, because a write recognizes itself by its version.
    - Where it asks to try again (a deadlock, a serialization failure), that is done until the time is over.

    Args:
        engine: A ready engine, synchronous; the store uses its pool and closes it. Its isolation
            level stays what it is for the application; the store's own statements run in autocommit mode.
        table: The table's name; ASCII letters, digits and underscores.
        create: Create the table and its indexes at the first use, if they are not there.
            False if the database's user may not; then :meth:`create_table` or a migration does.
        timeout: Seconds.

    Raises:
        ConfigurationError: The table's name or the timeout is bad, or the engine is asyncio's.
    """

    def __init__(
        self, engine: Engine, table: str = "sessions", *, create: bool = True, timeout: float = TIMEOUT
    ) -> None:
        if not isinstance(engine, Engine):
            raise ConfigurationError(f"a synchronous Engine is needed, not {type(engine).__name__}")
        if not 0 < timeout <= 86400:
            raise ConfigurationError(f"timeout is a number of seconds, more than 0 and at most 86400, not {timeout!r}")
        self._begin(Source(engine, timeout, _MANY), table, create)

    def _begin(self, source: Source, table: str, create: bool) -> None:
        try:
            self._table = session_table(identifier(table))
        except ValueError as problem:
            raise ConfigurationError(f"the table's name {table!r} {problem}") from None
        self._connections = Connections(source, self._table, create)
        self._sql = Statements(self._table)

    @classmethod
    def from_url(cls, url: str, *, create: bool = True) -> SQLAlchemyStore:
        """Make the store that a URL of SQLAlchemy names; it connects at the first use.

        ``postgresql+psycopg://user:password@host/database``, ``mysql+pymysql://…``,
        ``sqlite+pysqlite:////path.db``, …; ``postgres://`` is taken for ``postgresql://``.

        Options: ``table`` (``sessions``), ``create`` (``true``: create the table if it is not
        there), ``timeout`` (5: seconds that an operation may take; for SQLite, to wait for its lock),
        ``pool_size`` (5: connections that are kept; there are at most 10 more), ``pool_recycle``
        (seconds). All others are the driver's, and are checked here.
        A file of SQLite in which there is nothing yet gets write-ahead logging. With it, log-outs work on a full disk,
        as with ``sqlite://``, and a file that was exchanged is used, or an error, from then on.

        Args:
            url: The URL.
            create: False: no table and no file is made, whatever the URL says.

        Raises:
            ConfigurationError: The URL has a mistake, or its driver is missing or cannot be loaded.
        """
        source, options = source_from_url(url, create)
        store = cls.__new__(cls)
        store._begin(source, options.get("table", "sessions"), create and options.get("create", True))
        return store

    @classmethod
    def location_of(cls, url: str) -> Location:
        """Where the database that a URL names is; no driver is needed.

        Raises:
            ConfigurationError: It is no URL of a database.
        """
        return location_of(url)

    def describe(self) -> Location:
        """Where the database is. Connects to nothing, and makes nothing."""
        return location(self._engine.url, repr(self))

    @property
    def _engine(self) -> Engine:
        """The engine of this process; a forked child has another."""
        return self._connections.engine

    def __repr__(self) -> str:
        url = self._engine.url
        place = URL.create(url.drivername, host=url.host, port=url.port, database=url.database)
        return f"<{type(self).__name__} {without_password(str(place))} table={self._table.name!r}>"

    def create_table(self) -> None:
        """Create the table and its indexes, if they are not there; several processes may do so at once.

        Raises:
            StoreError: The database refuses.
        """
        self._connections.create_table()

    def load(self, key: str) -> Record | None:
        """Read a record."""
        for data, version, expires in self._rows(self._sql.load, key=key, now=_now()):
            # others can put values of any type into a table of SQLite
            if isinstance(data, (bytes, memoryview)) and _is_version(version) and isinstance(expires, int):
                return Record(bytes(data), version, expires)
            warn_of_foreign(key)
        return None

    def create(self, key: str, data: bytes, ttl: int, principal: str | None = None) -> bool:
        """Write a new record, unless the key is taken."""
        ends = self._connections.deadline()
        if random.random() < _SWEEPS:  # noqa: S311 - it guards nothing
            self._sweep_a_little()
        now = _now()
        row = _row(data, now + ttl, principal)
        if self._connections.insert(ends, self._sql.insert, id=key, **row):
            return True
        # Taken, but by a record that may have ended, or by this one before the connection dropped.
        return self._changed(ends, self._sql.take_over, key=key, now=now, **row) or self._has(ends, key, row["version"])

    def update(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None = None) -> bool:
        """Write a record that still has the version."""
        if not _is_version(version):
            # a driver would fail at some of what it can be
            return False
        ends, now = self._connections.deadline(), _now()
        row = _row(data, now + ttl, principal)
        changed = self._changed(ends, self._sql.update, key=key, now=now, known=version, **row)
        return changed or self._has(ends, key, row["version"])

    def touch(self, key: str, ttl: int) -> bool:
        """Let the record end ``ttl`` seconds from now."""
        now = _now()
        until = min(now + ttl, _LATEST)
        return self._changed(self._connections.deadline(), self._sql.touch, key=key, now=now, until=until)

    def delete(self, key: str) -> None:
        """Remove the record, if there is one."""
        if is_key(key):
            self._changed(self._connections.deadline(), self._sql.delete, key=key)

    def keys_of(self, principal: str) -> list[str]:
        """The keys of the principal's live records."""
        return [key for (key,) in self._rows(self._sql.keys_of, owner=_owner(principal), now=_now())]

    def count_expired(self) -> int:
        """How many expired records there are."""
        return int(self._rows(self._sql.count_expired, now=_now())[0][0])

    def sweep(self, batch: int = 1000) -> Iterator[int]:
        """Remove expired records, at most ``batch`` (and 900) with one statement.

        Yields:
            How many records each statement removed.
        """
        while (removed := self._swept(batch, self._connections.deadline())) is not None:
            yield removed

    def close(self) -> None:
        """Close the engine's connections, also where the engine was given to the store."""
        self._connections.close()

    def _sweep_a_little(self) -> None:
        try:
            # It must leave time for what it is done beside.
            self._swept(_SWEPT_AT_ONCE, self._connections.deadline(share=0.25))
        except StoreError as error:
            _logger.warning("expired sessions could not be removed: %s", error)

    def _swept(self, batch: int, ends: float) -> int | None:
        """How many expired records one statement has removed; None if there was none."""
        size = min(batch, _MOST_PARAMETERS)
        keys = [key for (key,) in self._connections.rows(ends, self._sql.find_expired, now=_now(), batch=size)]
        return self._connections.count(ends, self._sql.remove_expired, keys=keys, now=_now()) if keys else None

    def _has(self, ends: float, key: str, version: str) -> bool:
        return [version] == [found for (found,) in self._connections.rows(ends, self._sql.version, key=key)]

    def _rows(self, statement: Any, **parameters: Any) -> Any:
        return self._connections.rows(self._connections.deadline(), statement, **parameters)

    def _changed(self, ends: float, statement: Any, **parameters: Any) -> bool:
        return self._connections.count(ends, statement, **parameters) > 0


def _now() -> int:
    return int(time.time())


def _is_version(found: Any) -> bool:
    return isinstance(found, str) and re.fullmatch("[0-9a-f]{16}", found) is not None


def _row(data: bytes, expires: int, principal: str | None) -> dict[str, Any]:
    return {
        "data": data,
        "version": os.urandom(8).hex(),
        "expires": min(expires, _LATEST),
        "principal": None if principal is None else _owner(principal),
    }


def _owner(principal: str) -> str:
    return hashlib.sha256(principal.encode("utf-8", "surrogatepass")).hexdigest()
