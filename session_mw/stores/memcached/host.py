"""One memcached server: its connections and its clock."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Any

from pymemcache import Client, MemcacheError, MemcacheServerError
from pymemcache.exceptions import MemcacheUnexpectedCloseError

from session_mw.exceptions import NotSerializable, StoreError

_DROPPED = (ConnectionError, MemcacheUnexpectedCloseError)
# pymemcache takes answers apart that may be no memcached's: a wrong port, a proxy.
_DRIVER_ERRORS = (MemcacheError, OSError, ValueError, LookupError, TypeError)
_LONGEST_RELATIVE = 30 * 24 * 3600
"""memcached reads a greater number as a date (protocol.txt, "Expiration times")."""
_LATEST_DATE = 2**31 - 1
_CLOCK_IS_GOOD_FOR = 3600.0


class Host:
    """A memcached server.

    pymemcache's own clients for several hosts hand the keys of a host that is down to
    the others, where the sessions are not: they would seem to have ended. Its pool has a
    lock, which a fork may copy while it is held. So connections are kept here: a deque
    needs no lock.

    Args:
        address: Host and port.
        timeout: Seconds to wait for an answer.
        connect_timeout: Seconds to wait for a connection.
        max_idle: How many connections are kept while they are not in use.
    """

    def __init__(self, address: tuple[str, int], timeout: float, connect_timeout: float, max_idle: int) -> None:
        self.name = "{}:{}".format(*address)
        self.address = address
        self._timeouts = {"timeout": timeout, "connect_timeout": connect_timeout}
        self._max_idle = max_idle
        self._idle: deque[Any] = deque()
        self._inherited: list[deque[Any]] = []
        self._process = os.getpid()
        self._clock: tuple[float, float] | None = None

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        """Send one command. A dropped connection is tried again once, with a new one.

        Raises:
            NotSerializable: The value is larger than the server keeps.
            StoreError: The server failed.
        """
        try:
            try:
                return self._send(self._take(), method, *args, **options)
            except _DROPPED:
                # The others are as old: a restarted server has dropped them all.
                self.close()
                return self._send(self._connect(), method, *args, **options)
        except MemcacheServerError as error:
            raise _refused(error, args) from error
        except _DRIVER_ERRORS as error:
            raise _failed(error) from error

    def expiry(self, ttl: int) -> int:
        """``ttl`` seconds from now in the words of memcached, a second of its clock's grain added.

        More than 30 days have to be a date by the server's clock; zero, for dates that do
        not fit, is never. The record itself tells the exact second.
        """
        if ttl < _LONGEST_RELATIVE:
            return ttl + 1
        date = self._server_time() + ttl + 1
        return date if date <= _LATEST_DATE else 0

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    def _server_time(self) -> int:
        now = time.monotonic()
        if self._clock is None or now - self._clock[0] > _CLOCK_IS_GOOD_FOR:
            self._clock = now, float(self.call("stats").get(b"time", _LATEST_DATE))
        read_at, said = self._clock
        return int(said + now - read_at)

    def _take(self) -> Any:
        if os.getpid() != self._process:
            self._leave_to_parent()
        try:
            return self._idle.pop()
        except IndexError:
            return self._connect()

    def _leave_to_parent(self) -> None:
        # Kept, not closed: the sockets are the parent's too.
        self._inherited.append(self._idle)
        self._idle = deque()
        self._process = os.getpid()

    def _connect(self) -> Any:
        return Client(self.address, no_delay=True, default_noreply=False, ignore_exc=False, **self._timeouts)

    def _send(self, client: Any, method: str, *args: Any, **options: Any) -> Any:
        try:
            answer = getattr(client, method)(*args, **options)
        except BaseException:
            # Its answer may still come: nobody else may read it.
            client.close()
            raise
        self._keep(client)
        return answer

    def _keep(self, client: Any) -> None:
        if len(self._idle) < self._max_idle:
            self._idle.append(client)
        else:
            client.close()


def _refused(error: Exception, args: tuple[Any, ...]) -> NotSerializable | StoreError:
    if "too large" not in str(error):
        return _failed(error)
    size = max(len(arg) for arg in args if isinstance(arg, bytes))
    return NotSerializable("", f"it is {size} bytes, which is more than the memcached server keeps (its option -I)")


def _failed(error: Exception) -> StoreError:
    return StoreError(f"memcached failed: {type(error).__name__}")
