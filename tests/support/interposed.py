"""Stands between a client and a server: sees the commands, and forgets connections as a firewall does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from support import services


class Interposed:
    """Passes everything on.

    Attributes:
        port: Where it listens.
        connections: How many clients have connected.
        before: Called with each piece of a client's before it is passed on; None: nothing is.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server((services.HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self.connections = 0
        self.before: Callable[[bytes], object] | None = None
        self._generation = 0
        self._open: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def forget(self) -> None:
        """Pass nothing on any more between those that are connected now; neither of them is told."""
        self._generation += 1

    def close(self) -> None:
        for end in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._accepting.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection((services.HOST, self._server_port))
            self.connections += 1
            self._open += [client, server]
            for source, target in ((client, server), (server, client)):
                arguments = (source, target, source is client, self._generation)
                threading.Thread(target=self._pass_on, args=arguments, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_request: bool, generation: int) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if generation != self._generation:
                    continue
                if is_request and self.before is not None:
                    self.before(data)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Told:
    """A server that says what it is told to say.

    Args:
        answer: Called with a connection for each piece that was received on it.
    """

    def __init__(self, answer: Callable[[socket.socket, bytes], object]) -> None:
        self._answer = answer
        self._listener = socket.create_server((services.HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                self._answer(connection, data)
