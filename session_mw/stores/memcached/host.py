"""One memcached server: its connections and its clock."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from pymemcache import Client, MemcacheClientError, MemcacheError, MemcacheServerError
from pymemcache.exceptions import MemcacheUnexpectedCloseError, MemcacheUnknownCommandError

from session_mw.exceptions import NotSerializable, StoreError
from session_mw.stores.memcached.connection import Address, Connection

_DROPPED = (ConnectionError, MemcacheUnexpectedCloseError)
# pymemcache raises the last four if the answer does not come from memcached (a wrong port, a proxy).
_DRIVER_ERRORS = (MemcacheError, OSError, ValueError, LookupError, TypeError, AssertionError)
_LONGEST_RELATIVE = 30 * 24 * 3600
"""memcached reads a greater number as a date (protocol.txt, "Expiration times")."""
_LATEST_DATE = 2**31 - 1
_CLOCK_IS_GOOD_FOR = 3600.0


class Host:
    """A memcached server.

    pymemcache's own clients for several hosts ask the other hosts for the keys of a host
    that is down. The sessions are not there, so they would seem to have ended. pymemcache's
    pool has a lock, which a fork may copy while it is held. So connections are kept here, in a
    deque, which needs no lock.

    A connection is put into the deque only after an answer was read to its end. If the answer
    may still come (the call timed out, or was interrupted by another thread, by
    ``gevent.Timeout`` or by the end of its greenlet), the connection is closed.

    Args:
        address: Host and port, or the path of a Unix socket.
        timeout: Seconds that all commands of a call may take together.
        connect_timeout: Seconds of these to wait for a connection, at most.
        max_idle: How many connections are kept while they are not in use.
    """

    def __init__(self, address: Address, timeout: float, connect_timeout: float, max_idle: int) -> None:
        self.name = address if isinstance(address, str) else "{}:{}".format(*address)
        self.address = address
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._max_idle = max_idle
        self._idle: deque[Any] = deque()
        self._clock: tuple[float, float] | None = None

    def deadline(self) -> float:
        """Time by ``time.monotonic()`` at which a call that begins now has to end."""
        return time.monotonic() + self._timeout

    def call(self, ends: float, method: str, *args: Any, **options: Any) -> Any:
        """Send one command. A dropped connection is tried again once, with a new one.

        Args:
            ends: Time by ``time.monotonic()`` at which to give up.
            method: What the command is called in pymemcache.
            args: Its arguments.
            options: Its named arguments.

        Raises:
            NotSerializable: The value is larger than the server keeps.
            StoreError: The server failed.
        """
        try:
            try:
                return self._send(self._idle_client() or self._connect(ends), ends, method, *args, **options)
            except _DROPPED:
                # A restarted server has dropped the other idle connections too.
                self.close()
                return self._send(self._connect(ends), ends, method, *args, **options)
        except TimeoutError as error:
            # A firewall that has forgotten this connection has forgotten the others too, and each would time out.
            self.close()
            raise self._failed(error) from error
        except MemcacheServerError as error:
            if "too large" not in str(error):
                raise self._failed(error) from error
            size = max(len(arg) for arg in args if isinstance(arg, bytes))
            raise NotSerializable(
                "", f"it is {size} bytes, which is more than the memcached server keeps (its option -I)"
            ) from error
        except _DRIVER_ERRORS as error:
            raise self._failed(error) from error

    def expiry(self, ttl: int, ends: float) -> int:
        """The expiry to send for ``ttl`` seconds, and one second more because memcached's clock counts whole seconds.

        More than 30 days have to be given as a date by the server's clock, so the server may be asked for its
        time, until ``ends``. A date that does not fit becomes 0, which means never. The record itself holds the
        exact second.
        """
        if ttl < _LONGEST_RELATIVE:
            return ttl + 1
        now = time.monotonic()
        if self._clock is None or now - self._clock[0] > _CLOCK_IS_GOOD_FOR:
            self._clock = now, float(self.call(ends, "stats").get(b"time", _LATEST_DATE))
        read_at, said = self._clock
        date = int(said + now - read_at) + ttl + 1
        return date if date <= _LATEST_DATE else 0

    def close(self) -> None:
        """Close the connections that are not in use."""
        while True:
            try:
                client = self._idle.pop()
            except IndexError:
                return
            client.close()

    def _idle_client(self) -> Any:
        """An idle connection that can be used; None if there is none."""
        while True:
            try:
                client = self._idle.pop()
            except IndexError:
                return None
            if client.sock.is_reusable():
                return client
            client.close()

    def _connect(self, ends: float) -> Any:
        client = Client(self.address, default_noreply=False, ignore_exc=False)
        client.sock = Connection(self.address, min(ends, time.monotonic() + self._connect_timeout))
        return client

    def _send(self, client: Any, ends: float, method: str, *args: Any, **options: Any) -> Any:
        try:
            client.sock.ends = ends
            answer = getattr(client, method)(*args, **options)
        except BaseException:
            # The answer may still come, and must not be read as the answer to another command.
            client.close()
            raise
        if len(self._idle) < self._max_idle:
            self._idle.append(client)
        else:
            client.close()
        return answer

    def _failed(self, error: Exception) -> StoreError:
        return StoreError(f"memcached failed at {self.name}: {type(error).__name__}, {_words_of(error)}")


def _words_of(error: Exception) -> str:
    """The system's or server's words for an error. The driver's are left out: they may quote a session's data."""
    if isinstance(error, MemcacheUnexpectedCloseError):
        return "the server closed the connection"
    if isinstance(error, MemcacheUnknownCommandError):
        return "the server does not know the command"
    if isinstance(error, (MemcacheServerError, MemcacheClientError)):
        said = error.args[0] if error.args else b""
        text = said.decode("ascii", "replace") if isinstance(said, bytes) else str(said)
        return "".join(char if char.isprintable() else "?" for char in text[:200])
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "the answer is not memcached's"
