"""How many calls go on at once, and the connections that they leave to the next."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from typing import Any

from sqlalchemy.pool import ConnectionPoolEntry, Pool

from session_mw.stores.sqlalchemy import deadline
from session_mw.stores.sqlalchemy.deadline import Guard

# A place that was given back by the garbage collector wakes nobody.
_LOOKS_AGAIN = 0.05
_LOOKS_WHILE_CLOSED = 0.001

_SILENT = logging.Logger("session_mw.stores.sqlalchemy", logging.CRITICAL + 1)


class Place:
    """Held by a call while it goes on."""

    __slots__ = ("__weakref__",)


class Gate:
    """Lets a number of calls in at once; the others wait.

    A place is free again when it is given back, and also when its holder is gone: what interrupts
    a call (an exception set from outside, a killed greenlet) between any two instructions loses no place,
    and there is no lock that it could leave locked. A semaphore can do both: it counts, and it is
    unlocked in Python.

    Args:
        places: How many.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._held: weakref.WeakSet[Place] = weakref.WeakSet()
        self._waiting: deque[threading.Lock] = deque()
        self._is_closed = False

    def close(self, ends: float) -> None:
        """Let nobody in any more, and wait until nobody is in, at most until ``ends`` (:func:`time.monotonic`).

        A place that is waited for like any other would be had by luck only beside threads that call all the time.
        """
        self._is_closed = True
        while self._held and time.monotonic() < ends:
            time.sleep(_LOOKS_WHILE_CLOSED)

    def open(self) -> None:
        """Let calls in again."""
        self._is_closed = False

    def enter(self, ends: float) -> Place | None:
        """Wait for a place, until ``ends`` on the clock of :func:`time.monotonic`; None if there was none."""
        place = Place()
        while True:
            # First taken, then counted: of two that meet at the last place, one or both step back.
            self._held.add(place)
            if len(self._held) <= self._places and not self._is_closed:
                return place
            self._held.discard(place)
            left = ends - time.monotonic()
            if left <= 0:
                return None
            bell = threading.Lock()
            bell.acquire()
            self._waiting.append(bell)
            bell.acquire(timeout=min(left, _LOOKS_AGAIN))

    def leave(self, place: Place) -> None:
        """Give a place back."""
        self._held.discard(place)
        with suppress(IndexError):
            self._waiting.popleft().release()


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
        self._used: dict[ConnectionPoolEntry, weakref.ref[Guard]] = {}

    def _do_get(self) -> ConnectionPoolEntry:
        try:
            record = self._idle.pop()
        except IndexError:
            self._close_abandoned()
            record = self._create_connection()
        guard = deadline.current.get()
        if guard is not None:
            self._used[record] = weakref.ref(guard)
        return record

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        if len(self._idle) < self._size:
            self._idle.append(record)
        else:
            record.close()
        self._used.pop(record, None)

    def _close_abandoned(self) -> None:
        for record, user in list(self._used.items()):
            if user() is None and record not in self._idle:
                self._used.pop(record, None)
                record.close()

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
