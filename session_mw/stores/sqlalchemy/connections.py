"""A database's connections: each statement alone, again where one was dropped, none carried over a fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from sqlalchemy import Table, inspect
from sqlalchemy.engine import CursorResult, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from session_mw.exceptions import StoreError
from session_mw.stores import fork


class Links:
    """Runs statements on an engine's connections, in autocommit mode.

    Args:
        engine: Its pool is used, and closed.
        table: Created at the first statement, where it is not there.
        create: Whether that is so.

    Raises:
        StoreError: From every method: the database failed.
    """

    def __init__(self, engine: Engine, table: Table, create: bool) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._table = table
        self._is_ready = not create
        self._process = os.getpid()
        self._inherited: list[Any] = []
        self._turn = threading.RLock() if _is_sqlite_file(engine) else None
        if self._turn is not None:
            fork.watch(self)

    def count(self, statement: Any, **parameters: Any) -> int:
        """Run a statement; how many rows it changed.

        Raises:
            IntegrityError: The row is there already.
        """
        return int(self._run(statement, parameters, lambda result: result.rowcount))

    def rows(self, statement: Any, **parameters: Any) -> Any:
        """Run a SELECT; every row."""
        return self._run(statement, parameters, lambda result: result.all())

    def create_table(self) -> None:
        """Create the table and its indexes, if they are not there; several processes may do so at once."""
        with self._turn or nullcontext():
            self._leave_to_parent()
            try:
                self._table.metadata.create_all(self._engine)
            except SQLAlchemyError as error:
                # Another process may have been faster.
                if not self._has_table():
                    raise _failed(error) from error
            self._is_ready = True

    def close(self) -> None:
        """Close the engine's connections."""
        self._leave_to_parent()
        self._engine.dispose()

    def before_fork(self) -> None:
        """Called by :mod:`session_mw.stores.fork`, for a file of SQLite."""
        if self._turn is not None:
            self._turn.acquire()
            self._engine.dispose()

    def after_fork(self) -> None:
        """Called by :mod:`session_mw.stores.fork`."""
        if self._turn is not None:
            self._turn.release()

    def _run(self, statement: Any, parameters: dict[str, Any], read: Callable[[CursorResult[Any]], Any]) -> Any:
        """Run a statement; once more on a new connection, if the database has dropped the old one."""
        with self._turn or nullcontext():
            return self._run_now(statement, parameters, read)

    def _run_now(self, statement: Any, parameters: dict[str, Any], read: Callable[[CursorResult[Any]], Any]) -> Any:
        self._leave_to_parent()
        if not self._is_ready:
            self.create_table()
        try:
            try:
                return self._run_once(statement, parameters, read)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            return self._run_once(statement, parameters, read)
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise _failed(error) from error

    def _run_once(self, statement: Any, parameters: dict[str, Any], read: Callable[[CursorResult[Any]], Any]) -> Any:
        with self._engine.connect() as connection:
            return read(connection.execute(statement, parameters))

    def _has_table(self) -> bool:
        try:
            return bool(inspect(self._engine).has_table(self._table.name))
        except SQLAlchemyError:
            return False

    def _leave_to_parent(self) -> None:
        if os.getpid() != self._process:
            # Kept, not closed: a driver would say good-bye over the parent's socket.
            self._inherited.append(self._engine.pool)
            self._engine.dispose(close=False)
            self._process = os.getpid()


def _is_sqlite_file(engine: Engine) -> bool:
    """Whether there are locks on a file, which no fork may carry over; what is in memory would go with its pool."""
    return engine.dialect.name == "sqlite" and not isinstance(engine.pool, (SingletonThreadPool, StaticPool))


def _failed(error: Exception) -> StoreError:
    return StoreError(f"the database failed: {type(error).__name__}")
