"""Adds to redis-py's connections and pools: one time limit for an operation, and safety when a call is interrupted.

A call can be interrupted at any point: by a time-out, a signal handler, ``gevent.Timeout``, a killed greenlet, an
exception that another thread sets. redis-py then puts the connection back into its pool, even if its answer may still
come, or it has not logged in yet. The next command on it would be given the answer of the former one, and a visitor
another visitor's session. :class:`Guarded` and :class:`Timed` are mixed into redis-py's own connection classes, and
its pools are given the results as ``connection_class``.
"""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections import deque
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

from redis.connection import BlockingConnectionPool, ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.sentinel import SentinelConnectionPool

from session_mw.stores import host_names

host_names.prepare()

_LEAST_SECONDS = 0.001
"""A socket takes a time-out of 0 as "do not wait", and then raises BlockingIOError instead of TimeoutError."""

_SLACK_SECONDS = 0.02

deadline: ContextVar[float | None] = ContextVar("session_mw_redis_deadline", default=None)
"""When the present operation must end, by ``time.monotonic()``; None if the store sets no limit."""


def seconds_left(limit: float) -> float:
    """How long the next step may take: until the deadline, and at most ``limit``."""
    end = deadline.get()
    return limit if end is None else max(min(limit, end - time.monotonic()), _LEAST_SECONDS)


class NoPlaceError(RedisConnectionError):
    """All connections of a pool were in use until the deadline. This says nothing about the server."""


class Guarded:
    """Mixed into a connection: closes it before it is used again if an answer is missing, or it is half connected."""

    _owed = 0
    """How many answers have not been read to the commands that were sent."""
    _is_ready = False
    """Connected, logged in, and the database selected."""
    _is_greeting = False

    def connect(self) -> None:
        """Make sure that a command can be sent. A pool calls this whenever it hands out a connection."""
        if self._is_ready and not self._owed:
            return
        self.disconnect()
        self._is_greeting = True
        try:
            super().connect()  # type: ignore[misc]
        finally:
            self._is_greeting = False
        self._is_ready = True

    def disconnect(self, *args: Any, **named: Any) -> None:
        """Close the connection. Missing answers can no longer come."""
        # In this order: if this is interrupted, the next connect() closes the connection again.
        self._is_ready = False
        super().disconnect(*args, **named)  # type: ignore[misc]
        self._owed = 0

    def send_command(self, *args: Any, **named: Any) -> None:
        """Send a command."""
        if not (self._is_ready or self._is_greeting):
            self.connect()
        self._owed += 1
        super().send_command(*args, **named)  # type: ignore[misc]

    def pack_commands(self, commands: Iterable[Any]) -> Any:
        """Pack the commands of a pipeline, which are sent next."""
        commands = list(commands)
        if not (self._is_ready or self._is_greeting):
            self.connect()
        self._owed += len(commands)
        return super().pack_commands(commands)  # type: ignore[misc]

    def read_response(self, *args: Any, **named: Any) -> Any:
        """Read an answer."""
        try:
            answer = super().read_response(*args, **named)  # type: ignore[misc]
        except ResponseError:
            self._owed -= 1
            raise
        self._owed -= 1
        return answer


class Timed(Guarded):
    """Mixed into a connection: whatever it waits for, it waits no longer than until the deadline."""

    connect_seconds = 2.0
    read_seconds = 2.0

    @property
    def socket_connect_timeout(self) -> float:
        """How long connecting may take from now on."""
        return seconds_left(self.connect_seconds)

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, _: object) -> None:
        """Ignore the value that redis-py sets from its own arguments."""

    @property
    def socket_timeout(self) -> float:
        """How long reading and writing may take from now on, a TLS handshake too."""
        return seconds_left(self.read_seconds)

    @socket_timeout.setter
    def socket_timeout(self, _: object) -> None:
        """Ignore the value that redis-py sets from its own arguments."""

    def can_read(self, timeout: float = 0) -> bool:
        """Whether there is something to read; False without asking the system if no answer is missing.

        A pool calls this to find out whether a connection is in order before it hands it out. Asking the system would
        take a tenth of the time of a command, and a dropped connection is noticed anyway when it is used.
        """
        return bool(self._owed) and bool(super().can_read(timeout))  # type: ignore[misc]

    def _connect(self) -> Any:
        # Each of redis-py's kinds of connection makes its socket here. On a plain socket redis-py's parsers would wait
        # for the whole time-out anew at each piece of an answer.
        return TimedSocket(super()._connect(), self.read_seconds)  # type: ignore[misc]


class TimedSocket:
    """A socket that waits until the deadline, in however many pieces the data comes."""

    def __init__(self, socket: Any, limit: float) -> None:
        self._socket = socket
        self._limit = limit
        self._waits = True
        self._set = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def settimeout(self, seconds: float | None) -> None:
        """Obey only 0, with which redis-py asks if there is something to read; otherwise the deadline counts."""
        self._waits = seconds != 0
        if not self._waits:
            self._set = 0.0
            self._socket.settimeout(0)

    def recv(self, size: int) -> bytes:
        self._wait()
        return self._socket.recv(size)  # type: ignore[no-any-return]

    def recv_into(self, buffer: Any, *args: Any) -> int:
        self._wait()
        return self._socket.recv_into(buffer, *args)  # type: ignore[no-any-return]

    def sendall(self, data: bytes) -> None:
        self._wait()
        self._socket.sendall(data)

    def _wait(self) -> None:
        if self._waits:
            left = seconds_left(self._limit)
            # Setting it is a system call, and most commands end before it would make a difference.
            if abs(left - self._set) > _SLACK_SECONDS:
                self._socket.settimeout(left)
                self._set = left


@functools.cache
def guarded(connection_class: type) -> type:
    """The class of connections with :class:`Guarded` mixed in."""
    if issubclass(connection_class, Guarded):
        return connection_class
    return type(f"Guarded{connection_class.__name__}", (Guarded, connection_class), {})


def timed(connection_class: type, connect_seconds: float, read_seconds: float) -> type:
    """The class of connections with :class:`Timed` mixed in and these limits."""
    limits = {"connect_seconds": connect_seconds, "read_seconds": read_seconds}
    return type(f"Timed{connection_class.__name__}", (Timed, connection_class), limits)


class _Ticket:
    """A thread or greenlet that waits for a place."""

    def __init__(self) -> None:
        # Looked up at the call, because gevent may replace threading.Lock after the application was loaded.
        self.given = threading.Lock()
        self.given.acquire()
        self.connection: Any = None


class Places:
    """The queue of a ``BlockingConnectionPool``: last in, first out, each place with an idle connection or without one.

    Those that wait are served in turn, until their deadline. Each step is one call into C, so no lock is held that
    other threads would wait for if an exception interrupts a step, or the process forks. ``queue.LifoQueue`` holds a
    lock while Python code runs. ``queue.SimpleQueue`` can let one thread wait for ever while others take the places.

    Attributes:
        queue: The free places: a connection each, or None. redis-py looks for idle connections here.
    """

    def __init__(self, maxsize: int) -> None:
        self.queue: list[Any] = []
        self._size = maxsize
        self._waiting: deque[_Ticket] = deque()
        self._is_abandoned = False

    def put_nowait(self, connection: Any) -> None:
        """Give a place back, with its connection or without one.

        Raises:
            queue.Full: All places are free already.
        """
        if self._is_abandoned:
            if connection is not None:
                connection.disconnect()
            return
        if len(self.queue) >= self._size:
            raise queue.Full
        self.queue.append(connection)
        self._match()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take a place.

        Returns:
            The connection of the place; None if the place has no connection yet.

        Raises:
            NoPlaceError: No place became free in time.
        """
        if not self._waiting:
            try:
                return self.queue.pop()
            except IndexError:
                pass  # no place is free
        ticket = _Ticket()
        self._waiting.append(ticket)
        # After the ticket was added. Otherwise a place that is given back in between would be missed: its giver would
        # not see the ticket, and this thread would not see the place.
        self._match()
        if self._is_abandoned or ticket.given.acquire(timeout=_wait(timeout) if block else 0):
            return ticket.connection
        try:
            self._waiting.remove(ticket)
        except ValueError:  # a place was given to it at the last moment
            if ticket.given.acquire(timeout=_LEAST_SECONDS):
                return ticket.connection
        raise NoPlaceError("all connections were in use for too long")

    def disconnect_idle(self) -> None:
        """Close the idle connections; their places stay."""
        taken = []
        while self.queue:
            # Taken out before they are closed, so that no other thread uses one meanwhile.
            taken.append(self._pop(self.queue))
        for connection in taken:
            if connection is not None:
                connection.disconnect()
            self.put_nowait(connection)

    def abandon(self) -> None:
        """Close the idle connections now and the others when they come back, and let nobody wait any longer."""
        self._is_abandoned = True
        while self.queue:
            self.put_nowait(self._pop(self.queue))
        while self._waiting:
            ticket = self._pop(self._waiting)
            if ticket is not None:
                ticket.given.release()

    def _match(self) -> None:
        while self._waiting:
            try:
                connection = self.queue.pop()
            except IndexError:
                return
            try:
                ticket = self._waiting.popleft()
            except IndexError:
                # The one that waited has given up. Look again: another one may have come while the place was taken.
                self.queue.append(connection)
                continue
            ticket.connection = connection
            ticket.given.release()

    @staticmethod
    def _pop(several: Any) -> Any:
        try:
            return several.pop()
        except IndexError:  # another thread took the last one
            return None


def _wait(limit: float | None) -> float:
    """How many seconds to wait for a lock; -1 means for ever."""
    end = deadline.get()
    left = -1.0 if end is None else max(end - time.monotonic(), 0)
    if limit is None:
        return left
    return limit if left < 0 else min(limit, left)


class MasterPool(BlockingConnectionPool, SentinelConnectionPool):
    """redis-py's pool for the master that Sentinels name, made to wait for a place as its blocking pool does."""

    def __init__(self, service_name: str, sentinel_manager: Any, **named: Any) -> None:
        super().__init__(service_name=service_name, sentinel_manager=sentinel_manager, **named)  # type: ignore[no-untyped-call]

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections. Before its version 7 redis-py's blocking pool always closes those in use, too."""
        if inuse_connections:
            super().disconnect()
        else:
            self.pool.disconnect_idle()


def fresh_pool(pool: Any) -> Any:
    """A pool with the settings of a ready client's pool, with guarded connections, and empty.

    Returns:
        The new pool; ``pool`` itself if it cannot be copied, because it has client-side caching, or a provider of
        credentials that knows it, or its class is not redis-py's.
    """
    kind, named = type(pool), dict(pool.connection_kwargs)
    is_plain = kind in (ConnectionPool, BlockingConnectionPool, SentinelConnectionPool)
    if not is_plain or named.get("credential_provider") is not None or getattr(pool, "cache", None) is not None:
        return pool
    named.update(connection_class=guarded(pool.connection_class), max_connections=pool.max_connections)
    if kind is BlockingConnectionPool:
        named.update(timeout=pool.timeout, queue_class=Places)
    if kind is SentinelConnectionPool:
        del named["connection_pool"]
        named.update(service_name=pool.service_name, sentinel_manager=pool.sentinel_manager)
        named.update(is_master=pool.is_master, check_connection=pool.check_connection)
    return kind(**named)


def abandon(pool: Any) -> None:
    """Close a pool's idle connections now, and those in use when they come back or are garbage-collected."""
    places = getattr(pool, "pool", None)
    if isinstance(places, Places):
        places.abandon()
