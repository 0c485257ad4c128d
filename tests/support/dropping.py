"""Servers at their worst: one that hangs, and a connection that drops when the work is done and not yet told."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time

from session_mw.protocols import Store
from session_mw.testing.fixtures import loaded, new_key
from support import services


def hang(server: services.Service) -> None:
    """Freeze a server, and wait until all of its threads stand still."""
    server.freeze()
    for _ in range(100):
        if os.waitid(os.P_PID, server.process.pid, os.WSTOPPED | os.WNOWAIT | os.WNOHANG):
            return
        time.sleep(0.01)


class DroppingProxy:
    """Stands before a server and passes everything on, until it is told to drop an answer.

    Attributes:
        port: Where it listens.
        answers: How many pieces of answers were passed on.
        drop: Drop the connection instead of passing on the next answer; it is False again then.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server((services.HOST, 0))
        self.port = self._listener.getsockname()[1]
        self.answers = 0
        self.drop = False
        self._open: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        _shut(self._listener)
        self._accepting.join(5)
        for end in self._open:
            _shut(end)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection((services.HOST, self._server_port))
            self._open += [client, server]
            threading.Thread(target=self._pass_on, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(server, client, True), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        try:
            while data := source.recv(65536):
                if is_answer and self.drop:
                    self.drop = False
                    break
                self.answers += is_answer
                target.sendall(data)
        except OSError:
            pass
        _shut(source)
        _shut(target)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


def assert_writes_survive_lost_answers(proxy: DroppingProxy, store: Store) -> None:
    """Write twice, each time over a connection that drops before the answer comes."""
    key = new_key()
    proxy.drop = True
    assert store.create(key, b"a", 60)
    assert not proxy.drop
    version = loaded(store, key).version
    proxy.drop = True
    assert store.update(key, b"b", 60, version)
    assert not proxy.drop
    assert loaded(store, key).data == b"b"
