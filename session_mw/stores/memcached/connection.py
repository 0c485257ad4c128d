"""A connection to memcached that gives up when the time for a call is over, whatever the server does."""

from __future__ import annotations

import os
import socket
import time
from typing import Any, TypeAlias

from session_mw.stores import host_names

host_names.prepare()

Address: TypeAlias = tuple[str, int] | str
"""Host and port, or the path of a Unix socket."""


class Connection:
    """Used by pymemcache as its socket, of which it calls only ``sendall``, ``recv`` and ``close``.

    A real socket's time-out begins anew with each packet, so a server that sends a byte now and
    then would be waited for without end.

    Args:
        address: Where to connect to; all addresses of a host are tried.
        ends: Time by ``time.monotonic()`` at which to give up connecting, and at which the first
            call gives up. The name is looked up by the system's resolver, which has limits of its own.

    Attributes:
        ends: Time by ``time.monotonic()`` at which a call gives up; set it before each one.

    Raises:
        OSError: The server cannot be reached.
    """

    def __init__(self, address: Address, ends: float) -> None:
        self.ends = ends
        self._process = os.getpid()
        addresses: list[tuple[Any, ...]] = (
            [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", address)]
            if isinstance(address, str)
            else list(socket.getaddrinfo(*address, type=socket.SOCK_STREAM))
        )
        for tried, (family, kind, protocol, _, place) in enumerate(addresses, start=1):
            opened = socket.socket(family, kind, protocol)
            try:
                # Each address gets its share: otherwise one that does not answer would leave no time for the others.
                opened.settimeout(_left(ends) / (len(addresses) - tried + 1))
                opened.connect(place)
                if not isinstance(address, str):
                    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._socket = opened
                return
            except BaseException as error:
                opened.close()
                if tried == len(addresses) or not isinstance(error, OSError):
                    raise
        raise OSError(f"{address[0]} has no address")

    def sendall(self, data: bytes) -> None:
        """Send everything."""
        self._socket.settimeout(_left(self.ends))
        self._socket.sendall(data)

    def recv(self, size: int) -> bytes:
        """Receive at most ``size`` bytes; an empty result if the server has closed the connection."""
        self._socket.settimeout(_left(self.ends))
        return self._socket.recv(size)

    def close(self) -> None:
        """Close it in this process."""
        self._socket.close()

    def is_reusable(self) -> bool:
        """Whether the next command may be sent: this process made the connection, it is open, and nothing is unread.

        An unread answer would be taken for the answer to the next command.
        """
        if self._process != os.getpid():
            # A fork copied it; the parent reads from the same socket.
            return False
        try:
            self._socket.settimeout(0)
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
