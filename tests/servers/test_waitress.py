"""The middleware under waitress, over real sockets."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from session_mw import SessionMiddleware
from support.services import HOST, waitress_server
from support.tokens import KEY, read, token_of
from support.wsgi import PLAIN

pytest.importorskip("waitress")


class Connection:
    """One socket, kept open from request to request."""

    def __init__(self, port):
        self.socket = socket.create_connection((HOST, port), timeout=10)
        self.file = self.socket.makefile("rb")

    def ask(self, *lines, path="/", method="GET", version="1.1"):
        head = [f"{method} {path} HTTP/{version}", "Host: example.com", *lines]
        return self.send("\r\n".join(head).encode("latin-1") + b"\r\n\r\n", method)

    def send(self, data, method="GET"):
        self.socket.sendall(data)
        status = self.file.readline().decode().strip()
        headers = []
        while line := self.file.readline().decode("latin-1").strip():
            name, _, value = line.partition(": ")
            headers.append((name, value))
        given = dict(headers)
        body = b"" if method == "HEAD" else self._body(given)
        cookies = [value for name, value in headers if name == "Set-Cookie"]
        return SimpleNamespace(status=status, headers=given, cookies=cookies, body=body)

    def _body(self, headers):
        if "Content-Length" in headers:
            return self.file.read(int(headers["Content-Length"]))
        if headers.get("Transfer-Encoding") == "chunked":
            return b"".join(iter(self._chunk, b""))
        return self.file.read()

    def _chunk(self):
        data = self.file.read(int(self.file.readline(), 16))
        self.file.readline()
        return data

    def is_open(self):
        self.socket.settimeout(0.2)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) != b""
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(10)

    def close(self):
        self.file.close()
        self.socket.close()


def ask_once(port, *lines):
    """Over a connection of its own: waitress closes it after a stream."""
    connection = Connection(port)
    try:
        return connection.ask(*lines)
    finally:
        connection.close()


@contextmanager
def served(app, **settings):
    with waitress_server(SessionMiddleware(app, secret_key=KEY, **settings)) as address:
        connection = Connection(address.port)
        try:
            yield connection
        finally:
            connection.close()


def listed(environ, start_response):
    session = environ["session"]
    session["visits"] = session.get("visits", 0) + 1
    start_response("200 OK", [PLAIN])
    return [b"visit %d" % session["visits"]]


def test_a_list_keeps_its_content_length_and_the_connection():
    with served(listed) as connection:
        for visits in (b"visit 1", b"visit 1"):
            answer = connection.ask()
            assert (answer.status, answer.headers["Content-Length"], answer.body) == ("HTTP/1.1 200 OK", "7", visits)
            assert "Connection" not in answer.headers
        assert connection.is_open()


@pytest.mark.parametrize("store", [None, "memory://"])
def test_a_list_keeps_http_1_0_connections_alive(store):
    """Without a Content-Length an HTTP/1.0 connection has to be closed."""
    with served(listed, store=store) as connection:
        first = connection.ask("Connection: Keep-Alive", version="1.0")
        cookie = first.cookies[0].partition(";")[0]
        second = connection.ask("Connection: Keep-Alive", f"Cookie: {cookie}", version="1.0")
        assert (first.headers["Connection"], second.headers["Connection"]) == ("Keep-Alive", "Keep-Alive")
        assert second.body == b"visit 2"


@pytest.mark.parametrize("store", [None, "memory://"])
def test_a_stream_has_its_cookie_before_its_first_part(store):
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        environ["session"]["a"] = 1
        yield b"one,"
        yield b"two"

    with served(app, store=store) as connection:
        answer = connection.ask()
        assert (answer.body, len(answer.cookies)) == (b"one,two", 1)
        assert answer.headers["Transfer-Encoding"] == "chunked"


class FileMarks:
    """Sees whether waitress took the path on which it sends a file by itself."""

    def __init__(self, app):
        self.app, self.bodies = app, []

    def __call__(self, environ, start_response):
        body = self.app(environ, start_response)
        self.bodies.append(type(body) is environ["wsgi.file_wrapper"])
        return body


@pytest.mark.parametrize("store", [None, "memory://"])
def test_a_file_is_left_to_the_server(tmp_path, store):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(300_000))

    def app(environ, start_response):
        environ["session"]["visits"] = environ["session"].get("visits", 0) + 1
        start_response("200 OK", [PLAIN])
        return environ["wsgi.file_wrapper"](open(path, "rb"), 32768)

    marks = FileMarks(SessionMiddleware(app, secret_key=KEY, store=store))
    with waitress_server(marks) as address:
        connection = Connection(address.port)
        first = connection.ask()
        second = connection.ask("Cookie: " + first.cookies[0].partition(";")[0])
        connection.close()
    assert first.body == second.body == path.read_bytes()
    assert first.headers["Content-Length"] == "300000"
    assert marks.bodies == [True, True]


def test_head_sends_the_cookie_and_no_body():
    with served(listed) as connection:
        answer = connection.ask(method="HEAD")
        assert read(answer.cookies[0].partition("=")[2].partition(";")[0]) == {"visits": 1}
        assert connection.ask().body == b"visit 1"


def test_not_modified_sends_the_cookie():
    def app(environ, start_response):
        environ["session"]["a"] = 1
        start_response("304 Not Modified", [])
        return []

    with served(app) as connection:
        answer = connection.ask(method="HEAD")
        assert (answer.status, len(answer.cookies)) == ("HTTP/1.1 304 Not Modified", 1)


def test_write_sends_the_cookie():
    def app(environ, start_response):
        write = start_response("200 OK", [PLAIN, ("Content-Length", "11")])
        environ["session"]["a"] = 1
        write(b"hello ")
        write(b"world")
        return []

    with served(app) as connection:
        answer = connection.ask()
        assert (answer.body, len(answer.cookies)) == (b"hello world", 1)


def test_an_error_before_the_answer_is_a_500_without_a_cookie(caplog):
    def app(environ, start_response):
        environ["session"]["a"] = object()
        start_response("200 OK", [PLAIN])
        return [b"never"]

    with served(app) as connection:
        answer = connection.ask()
        assert (answer.status, answer.cookies) == ("HTTP/1.1 500 Internal Server Error", [])
    assert b"never" not in answer.body


AUTHENTIC = token_of({"visits": 41})
HOSTILE = [
    "Cookie: " + ";" * 20_000,
    "Cookie: " + "=" * 20_000,
    "Cookie: session=" + "A" * 20_000,
    'Cookie: "' + "\\" * 20_000,
    "Cookie: session=\xff\xfe; \x80",
    "Cookie: " + "session=a.b.c; " * 1000,
    "Cookie: session=" + "." * 10_000,
    "Cookie: session=..; session=.a.b; session=" + "-" * 27,
    "Cookie: session",
    "Cookie: session=%00%0d%0a",
    "Cookie: $Version=1; session=x; $Path=/",
]


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("store", [None, "memory://"])
def test_a_hostile_header_is_an_empty_session(line, store):
    with served(listed, store=store) as connection:
        answer = connection.ask(line)
        assert (answer.status, answer.body) == ("HTTP/1.1 200 OK", b"visit 1")


@pytest.mark.parametrize(
    "line",
    [
        f"Cookie: session={AUTHENTIC}",
        f'Cookie: a="x; session={AUTHENTIC}; b=y"',
        f"Cookie: =;;; ; {{}}; session = {AUTHENTIC} ;",
        f"Cookie: \xa0session=1; session={AUTHENTIC}",
    ],
    ids=["alone", "in quotes", "among blanks", "behind another name"],
)
def test_an_authentic_cookie_in_a_strange_header_is_the_session(line):
    with served(listed) as connection:
        assert connection.ask(line).body == b"visit 42"


def test_a_hostile_host_writes_no_header():
    two = "; ".join(f"session={token_of({'n': n})}" for n in range(2))
    with served(listed) as connection:
        request = f"GET /%0d%0aX-Evil:1;a HTTP/1.1\r\nHost: a;b\xe9 c\r\nCookie: {two}\r\n\r\n"
        answer = connection.send(request.encode("latin-1"))
        assert answer.status == "HTTP/1.1 200 OK"
        assert "X-Evil" not in answer.headers
        assert all(cookie.isascii() and cookie.isprintable() for cookie in answer.cookies)


def test_a_late_change_of_a_stored_session_is_there_at_the_next_request():
    def app(environ, start_response):
        session = environ["session"]
        shown = repr(dict(session)).encode()
        session.setdefault("early", 1)
        start_response("200 OK", [PLAIN])
        yield shown
        session["late"] = 1

    with waitress_server(SessionMiddleware(app, secret_key=KEY, store="memory://")) as address:
        first = ask_once(address.port)
        second = ask_once(address.port, "Cookie: " + first.cookies[0].partition(";")[0])
    assert (first.body, second.body) == (b"{}", b"{'early': 1, 'late': 1}")
