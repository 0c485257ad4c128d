"""One address that leads to another server for new connections: a managed Redis, HAProxy, a Kubernetes service."""

from __future__ import annotations

import contextlib
import socket
import threading

from support import services


class Address:
    """A TCP proxy whose target can be changed; connections that stand go on leading to the former one.

    Attributes:
        port: Where it listens.
        target: The port that new connections lead to.
        opened: How many connections came in.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.opened = 0
        self._is_silent: set[socket.socket] = set()
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server((services.HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://{services.HOST}:{self.port}"

    def forget_connections(self) -> None:
        """Pass nothing on any more over those that stand, and close none: a firewall that forgot them."""
        self._is_silent.update(self._ends)

    def close(self) -> None:
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.opened += 1
            server = socket.create_connection((services.HOST, self.target))
            self._ends += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if source not in self._is_silent:
                    sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
