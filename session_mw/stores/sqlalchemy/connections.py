"""A database's connections: what is done when one is lost, too late, read only or busy."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from sqlalchemy import Table, inspect
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import QueuePool, SingletonThreadPool, StaticPool

from session_mw.exceptions import StoreError
from session_mw.stores import fork
from session_mw.stores.sqlalchemy import errors
from session_mw.stores.sqlalchemy.deadline import Guard, Overdue
from session_mw.stores.sqlalchemy.errors import Verdict
from session_mw.stores.sqlalchemy.gate import Gate, IdlePool
from session_mw.stores.sqlalchemy.sqlite_file import Disk, make_private

_BUSY = "session_mw: an answer may be unread"
_LONGEST_PAUSE = 0.05

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """Where the connections come from."""

    engine: Engine
    timeout: float
    """Seconds that a call may take in all."""
    places: int
    """How many calls may have a connection at once."""
    make: Callable[[], Engine] | None = None
    """Makes the engine anew, for a forked child; None for an engine that the application made."""
    disk: Disk | None = None
    """The disk of a file; None where there is no file, or its engine is the application's."""

    @property
    def is_file(self) -> bool:
        """Whether there are locks on a file, which no fork may carry over; what is in memory would go with its pool."""
        return self.is_sqlite and not isinstance(self.engine.pool, (SingletonThreadPool, StaticPool))

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"


class _Taken(Exception):
    """A row with this key is there."""


class Connections:
    """Runs statements on an engine's connections, each in a transaction of its own.

    Args:
        source: The engine; its pool is used, and closed.
        table: Created at the first statement, where it is not there.
        create: Whether that is so.

    Raises:
        StoreError: From every method: the database failed, or took too long.
    """

    def __init__(self, source: Source, table: Table, create: bool) -> None:
        self.engine = source.engine
        self._source = source
        self._table = table
        self._is_ready = not create
        self._inherited: list[Any] = []
        # Statements on a file take turns, so that a fork can wait until there is none.
        self._places = 1 if source.is_file else source.places
        self._gate = Gate(self._places)
        self._process = os.getpid()
        self._secrets = errors.secrets_of(source.engine.url)
        if source.is_file:
            fork.watch(self)

    def deadline(self, share: float = 1) -> float:
        """When an operation has to end that begins now, on the clock of :func:`time.monotonic`.

        Args:
            share: How much of the time-out it may take.
        """
        return time.monotonic() + share * self._source.timeout

    def count(self, ends: float, statement: Any, **parameters: Any) -> int:
        """Run a statement until the deadline ``ends``; how many rows it changed."""
        return self._write(ends, statement, parameters, is_new=False)

    def insert(self, ends: float, statement: Any, **parameters: Any) -> bool:
        """Run an INSERT until the deadline ``ends``; False if a row with the key is there already."""
        try:
            self._write(ends, statement, parameters, is_new=True)
        except _Taken:
            return False
        return True

    def rows(self, ends: float, statement: Any, **parameters: Any) -> Any:
        """Run a SELECT until the deadline ``ends``; every row."""
        return self._run(lambda connection: connection.execute(statement, parameters).all(), ends)

    def create_table(self) -> None:
        """Create the table and its indexes, if they are not there; several processes may do so at once."""
        self._is_ready = False
        self._run(lambda connection: None, self.deadline())

    def close(self) -> None:
        """Close the engine's connections."""
        self._leave_to_parent()
        self.engine.dispose()

    def before_fork(self) -> None:
        """Called by :mod:`session_mw.stores.fork`, for a file of SQLite: no connection may be carried over."""
        # A call ends within the time-out; a fork waits for no longer.
        self._gate.close(time.monotonic() + self._source.timeout)
        self.engine.dispose()

    def after_fork(self) -> None:
        """Called by :mod:`session_mw.stores.fork`."""
        if os.getpid() == self._process:
            self._gate.open()

    def _write(self, ends: float, statement: Any, parameters: dict[str, Any], *, is_new: bool) -> int:
        def work(connection: Connection) -> int:
            return int(connection.execute(statement, parameters).rowcount)

        disk = self._source.disk
        return self._run(work if disk is None else disk.writing(work, ends, is_new=is_new), ends)

    def _run(self, work: Callable[[Connection], T], ends: float) -> T:
        self._leave_to_parent()
        busy = f"no connection to the database was free for {self._source.timeout:g} s"
        return self._gate.run(lambda: self._persist(work, ends), ends, busy)

    def _persist(self, work: Callable[[Connection], T], ends: float) -> T:
        """Run a statement; again where that may help.

        A write may be sent twice though the first was done: each recognizes itself by its version.
        """
        may_reconnect, pause = True, 0.001
        while True:
            try:
                if not self._is_ready:
                    self._make_table(ends)
                return self._attempt(work, ends)
            except Overdue as late:
                # The other idle connections may be as dead: none of them may cost the next request its time.
                self._drop_idle()
                errors.scrub(late)
                raise StoreError(f"the database did not answer within {self._source.timeout:g} s") from late.__cause__
            except Exception as error:
                if not errors.is_of_database(error, self.engine):
                    raise
                verdict = self._judge(error)
                if verdict is Verdict.TAKEN:
                    raise _Taken from None
                if verdict in (Verdict.LOST, Verdict.READ_ONLY):
                    self._drop_idle()
                    if not may_reconnect:
                        raise self._failed(error) from error
                    may_reconnect = False
                elif verdict is not Verdict.AGAIN or time.monotonic() + pause > ends:
                    raise self._failed(error) from error
                else:
                    # Those that met each other should not meet again.
                    time.sleep(pause * random.SystemRandom().random())
                    pause = min(pause * 2, _LONGEST_PAUSE)

    def _judge(self, error: Exception) -> Verdict:
        verdict, disk = errors.judge(error, self._source.is_sqlite), self._source.disk
        return Verdict.LOST if verdict is Verdict.REFUSED and disk is not None and disk.was_exchanged() else verdict

    def _attempt(self, work: Callable[[Connection], T], ends: float) -> T:
        if self._source.is_sqlite:
            if self._source.disk is not None:
                self._source.disk.follow(cast("IdlePool", self.engine.pool))
            with self.engine.connect() as connection, _alone(connection):
                return work(connection)
        with Guard(ends, shuts=self._source.make is not None) as guard:
            connection = self._check_out(guard)
            try:
                pool = self.engine.pool
                with self._transaction(connection, guard):
                    result = work(connection)
                if self.engine.pool is not pool:
                    # Another thread has dropped the pool meanwhile: this one would be closed by nobody.
                    connection.invalidate()
                return result
            except Exception as error:
                if guard.fired:
                    raise Overdue from error
                raise
            finally:
                if self._source.make is not None:
                    connection.close()
                else:
                    # What interrupts this thread must not meet the locks of the application's pool.
                    guard.in_time(connection.close, lambda _: None)

    def _check_out(self, guard: Guard) -> Connection:
        try:
            if self._source.make is not None:
                # Our own pool never waits; its connections are made in time by in_time() as well.
                connection = self.engine.connect()
            else:
                # The application's pool may wait, for a place or for a ping.
                connection = guard.in_time(self.engine.connect, _close_for_good)
        except Overdue:
            raise
        except Exception as error:
            if guard.fired:
                raise Overdue from error
            raise
        if connection.info.get(_BUSY):
            # Its last user was interrupted: the next answer on it would be that of another statement.
            connection.invalidate()
        return connection

    @contextmanager
    def _transaction(self, connection: Connection, guard: Guard) -> Iterator[None]:
        """One transaction, after which the connection is as it was before, or gone."""
        raw = connection.connection.driver_connection
        guard.add(raw)
        info = connection.info
        info[_BUSY] = True
        try:
            with _unprepared(raw), _alone(connection):
                yield
        except BaseException as error:
            if guard.fired or not errors.is_answer(error):
                connection.invalidate(error)
            else:
                del info[_BUSY]
            raise
        del info[_BUSY]

    def _make_table(self, ends: float) -> None:
        if self._source.is_file:
            make_private(self.engine.url.database)
        try:
            self._attempt(self._table.metadata.create_all, ends)
        except Overdue:
            raise
        except Exception:
            # Another process may have been faster.
            if not self._attempt(self._has_table, ends):
                raise
        self._is_ready = True

    def _has_table(self, connection: Connection) -> bool:
        return bool(inspect(connection).has_table(self._table.name))

    def _failed(self, error: Exception) -> StoreError:
        said = errors.words(error, self._secrets) + errors.advice(error, self._table.name)
        errors.scrub(error)
        return StoreError(f"the database failed: {said}")

    def _drop_idle(self) -> None:
        pool = self.engine.pool
        # Where all are in use (by the application too), waiting for one says nothing of them.
        if not self._source.is_sqlite and not (isinstance(pool, QueuePool) and pool.checkedin() == 0):
            self.engine.dispose()

    def _leave_to_parent(self) -> None:
        """In a forked child: begin anew, with locks that no other thread held at the fork.

        The process is asked each time, for not every fork tells Python (uWSGI's does not).
        """
        if os.getpid() == self._process:
            return
        # Kept, not closed: a driver would say good-bye over the parent's socket.
        self._inherited += [self.engine, self.engine.pool, self._gate]
        if self._source.make is None:
            self.engine.dispose(close=False)
        else:
            self.engine = self._source.make()
        self._gate = Gate(self._places)
        self._process = os.getpid()


def _close_for_good(connection: Connection) -> None:
    """Its pool may have been dropped meanwhile, and would close nothing."""
    connection.invalidate()
    connection.close()


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """A transaction for one statement.

    In autocommit mode a statement is one: no BEGIN and COMMIT around it. Not so with pg8000, which
    sends a statement in three parts: behind PgBouncer in transaction mode each part could reach
    another server connection, unless a transaction holds them together.
    """
    is_autocommit = _is_autocommit(connection)
    if connection.dialect.driver != "pg8000":
        if not is_autocommit:
            # The pool takes it back when the connection is returned.
            connection.execution_options(isolation_level="AUTOCOMMIT")
        yield
    elif not is_autocommit:
        with connection.begin():
            yield
    else:
        connection.exec_driver_sql("BEGIN")
        try:
            yield
        except Exception as error:
            if errors.is_answer(error):
                connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")


def _is_autocommit(connection: Connection) -> bool:
    default = getattr(connection.dialect, "_on_connect_isolation_level", None)
    return connection.get_execution_options().get("isolation_level", default) == "AUTOCOMMIT"


@contextmanager
def _unprepared(raw: Any) -> Iterator[None]:
    """See that psycopg prepares no statement by name, on an application's connection too.

    A pooler in transaction mode gives the next transaction another server connection, where that name is
    missing or is another statement.
    """
    threshold = getattr(raw, "prepare_threshold", None)
    if threshold is None:
        yield
        return
    raw.prepare_threshold = None
    try:
        yield
    finally:
        raw.prepare_threshold = threshold
