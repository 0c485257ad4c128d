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
from sqlalchemy.exc import IntegrityError

from session_mw.exceptions import ConfigurationError, StoreError
from session_mw.protocols import Location, Record
from session_mw.stores import stand_in
from session_mw.stores.options import identifier, without_password
from session_mw.stores.session_ids import is_key, warn_of_foreign
from session_mw.stores.sqlalchemy.connections import Links
from session_mw.stores.sqlalchemy.table import Statements, session_table
from session_mw.stores.sqlalchemy.urls import engine_from_url

_logger = logging.getLogger("session_mw")
_LATEST = 2**63 - 1
_SWEEPS = 0.01
_SWEPT_AT_ONCE = 100
# SQLite before 3.32 takes no more parameters in one statement
_MOST_PARAMETERS = 900


class SQLAlchemyStore:
    """Sessions in a table, for any number of machines.

    Everything survives a restart of the database. Expired rows stay until they are swept:
    about one ``create`` in a hundred removes up to a hundred of them, and
    ``session-mw sweep`` removes all.

    Each operation is one statement in autocommit mode, one round trip; a writing that changed
    nothing asks once or twice more why. Where the database
    dropped the connection (it was restarted, say) the statement is sent once more; that is
    safe for writing too, because a write recognizes itself by its version.

    Args:
        engine: A ready engine, synchronous; the store uses its pool and closes it. Make it
            with ``hide_parameters=True``, or its error messages hold session data.
        table: The table's name; ASCII letters, digits and underscores.
        create: Create the table and its indexes at the first use, if they are not there.
            False if the database's user may not; then :meth:`create_table` or a migration does.

    Raises:
        ConfigurationError: The table's name is bad, or the engine is asyncio's.
    """

    def __init__(self, engine: Engine, table: str = "sessions", *, create: bool = True) -> None:
        if not isinstance(engine, Engine):
            raise ConfigurationError(f"a synchronous Engine is needed, not {type(engine).__name__}")
        try:
            self._table = session_table(identifier(table))
        except ValueError as problem:
            raise ConfigurationError(f"the table's name {table!r} {problem}") from None
        self._engine = engine
        self._links = Links(engine, self._table, create)
        self._sql = Statements(self._table)

    @classmethod
    def from_url(cls, url: str, *, create: bool = True) -> SQLAlchemyStore:
        """Make the store that a URL of SQLAlchemy names; it connects at the first use.

        ``postgresql+psycopg://user:password@host/database``, ``mysql+pymysql://…``,
        ``sqlite+pysqlite:////path.db``, …; ``postgres://`` is taken for ``postgresql://``.

        Options: ``table`` (``sessions``), ``create`` (``true``: create the table if it is not
        there), ``pool_size`` (5), ``timeout`` (5 seconds of waiting for a connection, and for
        SQLite's lock), ``pool_recycle`` (seconds). All others are the driver's;
        PostgreSQL's and MySQL's ``connect_timeout`` is 5 seconds where it is not given.
        A file of SQLite in which there is nothing yet gets write-ahead logging.

        Raises:
            ConfigurationError: The URL has a mistake, or its driver is not installed.
        """
        stand_in.refuse_missing(url, create)
        engine, options = engine_from_url(url)
        return cls(engine, options.get("table", "sessions"), create=create and options.get("create", True))

    def __repr__(self) -> str:
        url = self._engine.url
        place = URL.create(url.drivername, host=url.host, port=url.port, database=url.database)
        return f"<{type(self).__name__} {without_password(str(place))} table={self._table.name!r}>"

    def create_table(self) -> None:
        """Create the table and its indexes, if they are not there; several processes may do so at once.

        Raises:
            StoreError: The database refuses.
        """
        self._links.create_table()

    @classmethod
    def location_of(cls, url: str) -> Location:
        """Where the store is that a URL names."""
        return stand_in.in_url(url)

    def describe(self) -> Location:
        """As :meth:`session_mw.protocols.LocatedStore.describe`."""
        return stand_in.in_url(self._engine.url.render_as_string(hide_password=False))._replace(shown=repr(self))

    def load(self, key: str) -> Record | None:
        """Read a record."""
        for data, version, expires in self._links.rows(self._sql.load, key=key, now=_now()):
            # others can put values of any type into a table of SQLite
            if isinstance(data, (bytes, memoryview)) and _is_version(version) and isinstance(expires, int):
                return Record(bytes(data), version, expires)
            warn_of_foreign(key)
        return None

    def create(self, key: str, data: bytes, ttl: int, principal: str | None = None) -> bool:
        """Write a new record, unless the key is taken."""
        if random.random() < _SWEEPS:  # noqa: S311 - it guards nothing
            self._sweep_a_little()
        now = _now()
        row = _row(data, now + ttl, principal)
        try:
            self._links.count(self._sql.insert, id=key, **row)
            return True
        except IntegrityError:
            # Taken, but by a record that may have ended, or by this one before the connection dropped.
            return self._changed(self._sql.take_over, key=key, now=now, **row) or self._has(key, row["version"])

    def update(self, key: str, data: bytes, ttl: int, version: Any, principal: str | None = None) -> bool:
        """Write a record that still has the version."""
        if not _is_version(version):
            # a driver would fail at some of what it can be
            return False
        now = _now()
        row = _row(data, now + ttl, principal)
        changed = self._changed(self._sql.update, key=key, now=now, known=version, **row)
        return changed or self._has(key, row["version"])

    def touch(self, key: str, ttl: int) -> bool:
        """Let the record end ``ttl`` seconds from now."""
        now = _now()
        return self._changed(self._sql.touch, key=key, now=now, ends=min(now + ttl, _LATEST))

    def delete(self, key: str) -> None:
        """Remove the record, if there is one."""
        if is_key(key):
            self._changed(self._sql.delete, key=key)

    def keys_of(self, principal: str) -> list[str]:
        """The keys of the principal's live records."""
        return [key for (key,) in self._links.rows(self._sql.keys_of, owner=_owner(principal), now=_now())]

    def count_expired(self) -> int:
        """How many expired records there are."""
        return int(self._links.rows(self._sql.count_expired, now=_now())[0][0])

    def sweep(self, batch: int = 1000) -> Iterator[int]:
        """Remove expired records, at most ``batch`` (and 900) with one statement.

        Yields:
            How many records each statement removed.
        """
        size = min(batch, _MOST_PARAMETERS)
        while keys := [key for (key,) in self._links.rows(self._sql.find_expired, now=_now(), batch=size)]:
            yield self._links.count(self._sql.remove_expired, keys=keys, now=_now())

    def close(self) -> None:
        """Close the engine's connections, also where the engine was given to the store."""
        self._links.close()

    def _sweep_a_little(self) -> None:
        try:
            next(self.sweep(_SWEPT_AT_ONCE), None)
        except StoreError as error:
            _logger.warning("expired sessions could not be removed: %s", error)

    def _has(self, key: str, version: str) -> bool:
        return [version] == [found for (found,) in self._links.rows(self._sql.version, key=key)]

    def _changed(self, statement: Any, **parameters: Any) -> bool:
        return self._links.count(statement, **parameters) > 0


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
