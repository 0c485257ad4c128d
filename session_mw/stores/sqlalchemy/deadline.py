"""A limit of time on the client's side for calls into any driver.

Drivers have limits of their own, and each leaves something out: libpq (psycopg, psycopg2) has
none for a statement, whole seconds from 2 on for connecting, and these for each host that the
name stands for; PyMySQL and mysqlclient bound each packet, not the call; a limit on the server
does not help when the server hangs. Two means work for all of them:

- Once there is a connection, a thread waits for the deadline and shuts the socket down. The
  blocked call, be it in C, then returns with an error, as if the server had closed the connection.
- Before there is one, nothing can be shut down: the connection is made in a thread of its own,
  and one that comes too late is closed by that thread.
"""

from __future__ import annotations

import _socket
import _thread
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, copy_context
from typing import Any, Generic, TypeVar

from session_mw.stores import host_names
from session_mw.stores.sqlalchemy import errors

host_names.prepare()

T = TypeVar("T")


class Overdue(Exception):
    """The deadline passed before the database answered."""


class Guard:
    """Ends calls into a driver when their time is over; used in one ``with`` statement.

    Args:
        ends: On the clock of :func:`time.monotonic`.
        shuts: Whether the connections are shut down as well where the ``with`` statement is left by an error that is
            not the database's answer. What interrupts a call may leave a connection behind in the frames of its
            traceback; for as long as somebody keeps that, the database would count it.

    Attributes:
        fired: Whether the time was over.
    """

    def __init__(self, ends: float, *, shuts: bool) -> None:
        self.ends = ends
        self.fired = False
        self._shuts = shuts
        self._is_over = False
        self._copies: deque[int] = deque()
        self._watch = _watch_of_this_process()

    def __enter__(self) -> Guard:
        self._watch.arm(self)
        self._token = current.set(self)
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._is_over = True
        is_broken = self._shuts and error is not None and not errors.is_answer(error)
        self._end_each(_shut if is_broken else _socket.close)
        current.reset(self._token)
        self._watch.disarm(self)

    def add(self, connection: object) -> None:
        """Guard a driver's connection until the ``with`` statement ends; shut it down where that has ended."""
        # A copy of the descriptor: the driver may close its own within the call, and its number
        # may then be another thread's connection. In C, so that nothing comes between copying and keeping.
        self._copies.extend(map(_socket.dup, _descriptors(connection)))
        if self.fired or self._is_over:
            self.fire()

    def fire(self) -> None:
        """Shut the guarded sockets down."""
        self.fired = True
        self._end_each(_shut)

    def _end_each(self, end: Callable[[int], object]) -> None:
        # The thread that takes a copy out closes it, and no other: that needs no lock, which an
        # exception from outside could leave locked.
        with suppress(IndexError):
            any(map(end, iter(self._copies.pop, -1)))

    def in_time(self, work: Callable[[], T], discard: Callable[[T], object]) -> T:
        """Do something that has no socket yet.

        Args:
            work: Called in a thread, with this guard as the current one.
            discard: Called with what ``work`` returned when nobody waits for it any more.

        Raises:
            Overdue: The time is over. ``work`` goes on.
        """
        while True:
            errand = _Errand(work, discard)
            try:
                errand.start()
                errand.going.acquire(timeout=max(self.ends - time.monotonic(), 0))
            finally:
                finished = errand.leave()
            if errand.error is not None:
                raise errand.error
            if finished:
                return finished[0]
            if time.monotonic() >= self.ends:
                raise Overdue
            # It ended before it began: CPython gives a new thread its creator's number at first, and what
            # somebody set in this thread from outside was raised there.


current: ContextVar[Guard | None] = ContextVar("session_mw.stores.sqlalchemy.guard", default=None)
"""The guard under which a thread or greenlet connects."""


class _Errand(Generic[T]):
    """Work in another thread. What it brings belongs to the thread that takes it out of a deque: this one or that."""

    def __init__(self, work: Callable[[], T], discard: Callable[[T], object]) -> None:
        self._work, self._discard = work, discard
        self._is_left = False
        self._results: deque[T] = deque()
        self.going = threading.Lock()
        """Released when the thread has ended, however it does."""
        self.going.acquire()
        self.error: BaseException | None = None

    def start(self) -> None:
        # Not threading.Thread, whose start can be interrupted in the middle. Under gevent it is a greenlet.
        _thread.start_new_thread(copy_context().run, (self._run, _Ending(self.going)))

    def _run(self, ending: _Ending) -> None:
        # An error's traceback holds this frame, and must not hold this as well.
        del ending
        try:
            self._results.append(self._work())
            if self._is_left:
                for result in self._taken():
                    self._discard(result)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self.error = error

    def leave(self) -> list[T]:
        """Wait no longer; the result, if there is one."""
        self._is_left = True
        return self._taken()

    def _taken(self) -> list[T]:
        with suppress(IndexError):
            return [self._results.pop()]
        return []


class _Ending:
    """Held by a thread alone; releases a lock when it goes."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __del__(self) -> None:
        self._lock.release()


class _Watch:
    """The thread that waits for the deadlines of one process. It ends when there are none.

    It has to be a thread of the system under gevent too: a driver in C (psycopg2, mysqlclient)
    blocks the hub, and no greenlet would ever run.
    """

    def __init__(self) -> None:
        self.process = os.getpid()
        self._bell = _native("allocate_lock")()
        self._bell.acquire()
        self._guards: set[Guard] = set()
        self._is_running = False
        self._wakes = 0.0

    def arm(self, guard: Guard) -> None:
        self._guards.add(guard)
        if not self._is_running:
            # Several threads may come here at once: a second one that waits does no harm.
            _native("start_new_thread")(self._run, ())
        elif guard.ends < self._wakes:
            with suppress(RuntimeError):  # it rings already
                self._bell.release()

    def disarm(self, guard: Guard) -> None:
        self._guards.discard(guard)

    def _run(self) -> None:
        while True:
            self._is_running = True
            self._fire_those_due()
            self._wakes = self._next()
            # Asked again after it was told to others: a guard that was armed meanwhile has not rung.
            waits = min(self._wakes, self._next()) - time.monotonic()
            if waits < threading.TIMEOUT_MAX:
                self._bell.acquire(True, max(waits, 0))
                continue
            self._is_running = False
            if not self._guards:
                return

    def _fire_those_due(self) -> None:
        now = time.monotonic()
        for guard in list(self._guards):
            if guard.ends <= now:
                self._guards.discard(guard)
                guard.fire()

    def _next(self) -> float:
        return min((guard.ends for guard in list(self._guards)), default=math.inf)


_watches: list[_Watch] = []


def _watch_of_this_process() -> _Watch:
    """The watch; another one in a forked child, where the parent's has no thread and perhaps a locked lock."""
    if not _watches or _watches[-1].process != os.getpid():
        _watches.append(_Watch())
    return _watches[-1]


def _native(name: str) -> Callable[..., Any]:
    """A function of :mod:`_thread` as it was before gevent replaced it."""
    monkey = sys.modules.get("gevent.monkey")
    function: Callable[..., Any] = getattr(_thread, name)
    if monkey is not None:
        function = monkey.get_original("_thread", name)
    return function


def _shut(copy: int) -> None:
    """Shut a socket down, whoever else has it, and close this copy."""
    with suppress(OSError):
        # The C type: gevent's would switch the driver's socket to non-blocking mode.
        end = _socket.socket(fileno=copy)
        try:
            end.shutdown(_socket.SHUT_RDWR)
        finally:
            end.close()


def _descriptors(connection: Any) -> list[int]:
    """The socket of a driver's connection; nothing where it cannot be told.

    psycopg, psycopg2 and mysqlclient have ``fileno``; PyMySQL holds the socket as ``_sock``, pg8000 as
    ``_usock``, mysql-connector as ``_socket.sock``.
    """
    inner = getattr(connection, "_socket", None)
    for holder in (connection, getattr(connection, "_sock", None), getattr(connection, "_usock", None), inner):
        with suppress(Exception):  # a connection that is closed says so in the driver's own words
            number = getattr(holder, "sock", holder).fileno()  # type: ignore[union-attr]
            if isinstance(number, int) and number >= 0:
                return [number]
    return []
