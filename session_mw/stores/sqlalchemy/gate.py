"""How many calls go on at once, and the connections that they leave to the next."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TypeVar

from sqlalchemy.pool import ConnectionPoolEntry, Pool

from session_mw.exceptions import StoreError

T = TypeVar("T")

# A place that was given back by somebody who was interrupted then wakes nobody.
_LOOKS_AGAIN = 0.05
_LOOKS_WHILE_CLOSED = 0.001

_SILENT = logging.Logger("session_mw.stores.sqlalchemy", logging.CRITICAL + 1)


class Call:
    """A call that has a place, or waits for one."""

    __slots__ = ("bell", "is_over", "may_go_on")

    def __init__(self) -> None:
        self.bell = threading.Lock()
        """Released to wake it."""
        self.bell.acquire()
        self.may_go_on = self.is_over = False


present: ContextVar[Call | None] = ContextVar("session_mw.stores.sqlalchemy.call", default=None)
"""The call of this thread or greenlet."""


class Gate:
    """Lets a number of calls in at once; the others wait in line, and are served in turn.

    All calls stand in one line, and those at its head are in. What interrupts a call (an exception set from outside, a
    killed greenlet) between any two instructions leaves it in one step of a dict: it keeps no place, and there is no
    lock that it could leave locked. A semaphore can do both: it counts, and it is unlocked in Python.

    Args:
        places: How many are in at once.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        # Only the keys count, in the order in which they came.
        self._line: dict[Call, None] = {}
        self._is_closed = False

    def close(self, ends: float) -> None:
        """Let nobody in any more, and wait until nobody is in, at most until ``ends`` (:func:`time.monotonic`).

        A place that is waited for like any other would be had by luck only beside threads that call all the time.
        """
        self._is_closed = True
        while any(call.may_go_on for call in list(self._line)) and time.monotonic() < ends:
            time.sleep(_LOOKS_WHILE_CLOSED)

    def open(self) -> None:
        """Let calls in again."""
        self._is_closed = False

    def run(self, work: Callable[[], T], ends: float, busy: str) -> T:
        """Wait for a place, and call ``work`` while it is held.

        Args:
            work: What to do.
            ends: When to give up waiting, on the clock of :func:`time.monotonic`.
            busy: What the ``StoreError`` says then.

        Raises:
            StoreError: No place was free in time.
        """
        call = Call()
        try:
            self._line[call] = None
            if not self._enter(call, ends):
                raise StoreError(busy)
            present.set(call)
            return work()
        finally:
            # First of all, and by one call in C: an exception from outside can come as soon as it has returned.
            call.is_over = True
            self._line.pop(call, None)
            self._ring()

    def _enter(self, call: Call, ends: float) -> bool:
        while True:
            # First said, then asked: who closes the gate meanwhile sees that this call goes on, or is seen by it.
            call.may_go_on = True
            is_in = len(self._line) <= self._places or list(self._line).index(call) < self._places
            if is_in and not self._is_closed:
                return True
            call.may_go_on = False
            left = ends - time.monotonic()
            if left <= 0:
                return False
            call.bell.acquire(timeout=min(left, _LOOKS_AGAIN))

    def _ring(self) -> None:
        """Wake those whose turn it is."""
        if len(self._line) >= self._places:
            for call in list(self._line)[: self._places]:
                with suppress(RuntimeError):  # it rings already, or its call goes on
                    call.bell.release()


class IdlePool(Pool):
    """Keeps idle connections, the last used on top; a :class:`Gate` bounds how many there are.

    SQLAlchemy's own pool of a bounded size counts its connections and has a lock that is released in
    Python: an exception that is set in a thread from outside can leave the count wrong and the lock
    held. Here all is one instruction of a deque.

    A call that was interrupted may leave a connection behind that nobody returns, and that SQLAlchemy
    keeps open for ever: it is closed before the next one is made.

    Args:
        creator: SQLAlchemy's.
        pool_size: How many are kept.
        others: SQLAlchemy's.
    """

    def __init__(self, creator: Any, pool_size: int = 5, **others: Any) -> None:
        super().__init__(creator, **others)
        # A pool tells of each dead connection with a traceback; the StoreError says it once. And an exception
        # from outside can leave the lock of a log handler held.
        self.logger = _SILENT
        self._size = pool_size
        self._idle: deque[ConnectionPoolEntry] = deque()
        self._used: dict[ConnectionPoolEntry, Call | None] = {}

    def _do_get(self) -> ConnectionPoolEntry:
        user = present.get()
        try:
            record = self._idle.pop()
        except IndexError:
            self._close_abandoned()
            record = self._create_connection()
        self._used[record] = user
        return record

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        if len(self._idle) < self._size:
            self._idle.append(record)
        else:
            record.close()
        self._used.pop(record, None)

    def _close_abandoned(self) -> None:
        for record in list(self._used):
            user = self._used.get(record)
            if user is not None and user.is_over and record not in self._idle:
                self._used.pop(record, None)
                record.close()

    @property
    def is_empty(self) -> bool:
        """Whether there is no idle connection."""
        return not self._idle

    def part_with_all(self, part_with: Callable[[Any], None]) -> None:
        """Forget the idle connections.

        Args:
            part_with: Called with the driver's connection of each.
        """
        with suppress(IndexError):
            while True:
                part_with(self._idle.pop().driver_connection)

    def dispose(self) -> None:
        """Close the idle connections."""
        self._close_abandoned()
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def recreate(self) -> IdlePool:
        """Make an empty pool like this one."""
        return type(self)(
            self._creator,
            pool_size=self._size,
            recycle=self._recycle,
            echo=self.echo,
            logging_name=self._orig_logging_name,
            reset_on_return=self._reset_on_return,
            pre_ping=self._pre_ping,
            _dispatch=self.dispatch,
            dialect=self._dialect,
        )

    def status(self) -> str:
        """What the pool holds, in words."""
        return f"{len(self._idle)} idle connections"
