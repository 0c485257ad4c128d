"""A server that is none of the kind: a wrong port, a proxy. It is an outage, never an empty session or an end."""

from __future__ import annotations

import socket
import threading

import pytest

from session_mw import SessionManager, StoreError, open_store

KEY = "a" * 64
CALLS = {
    "load": lambda store: store.load(KEY),
    "touch": lambda store: store.touch(KEY, 60),
    "delete": lambda store: store.delete(KEY),
}


@pytest.fixture
def answering():
    """Starts servers that give one answer to whatever they hear."""
    listeners = []

    def serve(answer: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=_answer, args=(listener, answer), daemon=True).start()
        return int(listener.getsockname()[1])

    yield serve
    for listener in listeners:
        listener.close()


def _answer(listener: socket.socket, answer: bytes) -> None:
    try:
        while True:
            threading.Thread(target=_repeat, args=(listener.accept()[0], answer), daemon=True).start()
    except OSError:
        return


def _repeat(connection: socket.socket, answer: bytes) -> None:
    with connection:
        try:
            while connection.recv(65536):
                connection.sendall(answer)
        except OSError:
            return


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "answer",
    [b":abc\r\n", b"$abc\r\n", b":5\r\n", b"*1\r\n:5\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR no\r\n"],
)
def test_what_redis_would_not_answer_is_a_store_error(answering, answer, call):
    pytest.importorskip("redis")
    store = open_store(f"redis://127.0.0.1:{answering(answer)}/0?timeout=1")
    with pytest.raises(StoreError):
        CALLS[call](store)
    store.close()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "answer",
    [
        b"VALUE foo\r\n",
        b"VALUE other 0 1 7\r\nx\r\nEND\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"-ERR unknown command\r\n",
        b"STORED\r\n",
    ],
)
def test_what_memcached_would_not_answer_is_a_store_error(answering, answer, call):
    pytest.importorskip("pymemcache")
    store = open_store(f"memcached://127.0.0.1:{answering(answer)}?timeout=1")
    with pytest.raises(StoreError):
        CALLS[call](store)
    store.close()


def test_a_log_out_that_no_memcached_confirmed_is_an_error(answering):
    pytest.importorskip("pymemcache")
    sessions = SessionManager(store=f"memcached://127.0.0.1:{answering(b'STORED' + bytes([13, 10]))}?timeout=1")
    with pytest.raises(StoreError):
        sessions.end(KEY)
    sessions.close()
