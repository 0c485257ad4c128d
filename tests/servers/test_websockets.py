"""WebSockets under real servers: what a handler does to a session is saved, or a warning tells that it cannot be."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("flask")
pytest.importorskip("flask_sock")
simple_websocket = pytest.importorskip("simple_websocket")

from support import served_websockets  # noqa: E402
from support.services import HOST, Service, free_port, scratch, wait_until  # noqa: E402
from support.sockets import ask  # noqa: E402

pytestmark = pytest.mark.heavy

GUNICORN = ["-m", "gunicorn", "--no-control-socket", "--bind", "{host}:{port}", "--threads", "4", "--worker-class"]
SERVERS = {
    "gunicorn gthread": [*GUNICORN, "gthread", "served_websockets:{app}"],
    "gunicorn gevent": [*GUNICORN, "gevent", "served_websockets:{app}"],
    "geventwebsocket": ["served_websockets.py", "{app}", "{port}"],
    "werkzeug": ["-m", "flask", "--app", "served_websockets:{app}", "run", "--port", "{port}"],
}
CASES = [
    ("gunicorn gthread", "behind"),
    ("gunicorn gthread", "alone"),
    ("gunicorn gevent", "behind"),
    ("gunicorn gevent", "alone"),
    ("gunicorn gevent", "handled"),
    ("geventwebsocket", "plain"),
    ("werkzeug", "behind"),
    ("werkzeug", "alone"),
]


@pytest.fixture(scope="module", params=CASES, ids=": ".join)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Service, Service]]:
    """The application with sessions in a store, and with sessions in the cookie."""
    server, app = request.param
    for module in server.split():
        if module != "gthread":
            pytest.importorskip(module)
    stored = serve(server, f"{app}_store")
    try:
        in_cookie = serve(server, f"{app}_cookie")
    except BaseException:
        stop(stored)
        raise
    yield stored, in_cookie
    stop(stored)
    stop(in_cookie)


def serve(server: str, app: str) -> Service:
    directory, port = scratch(), free_port()
    shutil.copy(Path(served_websockets.__file__), directory)
    argv = [part.format(host=HOST, port=port, app=app) for part in SERVERS[server]]
    return Service("http", port, [sys.executable, *argv], lambda port: ask(port, "/whole").status == 200, directory)


def stop(service: Service) -> None:
    service.process.terminate()
    service.process.wait(20)
    service.stop()


def speak(service: Service, path: str, cookie: str) -> None:
    """Open a WebSocket, have its handler change the session, and wait until it has."""
    if "handled" in str(service.argv):
        speak_plainly(service, path, cookie)
        return
    ws = simple_websocket.Client(f"ws://{HOST}:{service.port}{path}", headers={"Cookie": cookie})
    ws.send("go")
    assert ws.receive(timeout=10) == "done"
    with contextlib.suppress(simple_websocket.ConnectionClosed, OSError):  # the handler was quicker
        ws.close()


def speak_plainly(service: Service, path: str, cookie: str) -> None:
    lines = [f"GET {path} HTTP/1.1", "Host: x", "Upgrade: x", "Connection: Upgrade", f"Cookie: {cookie}", "", ""]
    with socket.create_connection((HOST, service.port), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode())
        got = b""
        while not got.endswith(b"done"):
            part = connection.recv(4096)
            assert part, got
            got += part


def data(service: Service, cookie: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(ask(service.port, "/whole", cookie).body)
    return found


def test_what_a_handler_writes_to_a_stored_session_is_there_in_the_next_request(
    served: tuple[Service, Service],
) -> None:
    site, _ = served
    cookie = ask(site.port, "/begin").cookie
    speak(site, "/ws/write", cookie)
    wait_until(lambda: data(site, cookie) == {"user": "ada", "said": "hello"}, "the change is not saved")


def test_a_handlers_log_out_ends_a_stored_session(served: tuple[Service, Service]) -> None:
    site, _ = served
    cookie = ask(site.port, "/begin").cookie
    speak(site, "/ws/leave", cookie)
    wait_until(lambda: data(site, cookie) == {}, "the session lives on")


def test_a_new_id_that_cannot_be_sent_leaves_the_old_one(served: tuple[Service, Service]) -> None:
    site, _ = served
    cookie = ask(site.port, "/begin").cookie
    speak(site, "/ws/new-id", cookie)
    wait_until(lambda: data(site, cookie) == {"user": "ada", "said": "hello"}, "the change is not saved")
    assert "over the socket (a WebSocket) changed the session, and no cookie can carry it: the id stays" in site.log()


@pytest.mark.parametrize("what", ["write", "leave"])
def test_what_cannot_be_kept_in_a_cookie_is_told(served: tuple[Service, Service], what: str) -> None:
    _, site = served
    cookie, before = ask(site.port, "/begin").cookie, site.log().count("what it did is lost")
    speak(site, f"/ws/{what}", cookie)
    wait_until(lambda: site.log().count("what it did is lost") == before + 1, "no warning")
    assert data(site, cookie) == {"user": "ada"}


def test_a_handler_that_only_listens_is_not_told_of(served: tuple[Service, Service]) -> None:
    for site in served:
        cookie, before = ask(site.port, "/begin").cookie, site.log().count("WARNING a handler")
        speak(site, "/ws/listen", cookie)
        assert data(site, cookie) == {"user": "ada"}
        assert site.log().count("WARNING a handler") == before


def test_nothing_else_is_logged(served: tuple[Service, Service]) -> None:
    """The server got what it knows: gunicorn's sentinel as the object that it is, flask-sock's StopIteration."""
    for site in served:
        assert "Traceback" not in site.log()


def test_a_view_that_returns_a_page_to_gevent_websocket_is_as_one_that_does_not(
    served: tuple[Service, Service],
) -> None:
    if "served_websockets.py" not in served[0].argv:
        pytest.skip("only gevent-websocket has the socket in the environ")
    site, in_cookie = served
    cookie = ask(site.port, "/begin").cookie
    speak(site, "/ws/new-id/start", cookie)
    wait_until(lambda: data(site, cookie) == {"user": "ada", "said": "hello"}, "the change is not saved")
    cookie, before = ask(in_cookie.port, "/begin").cookie, in_cookie.log().count("what it did is lost")
    speak(in_cookie, "/ws/write/start", cookie)
    wait_until(lambda: in_cookie.log().count("what it did is lost") == before + 1, "no warning")
