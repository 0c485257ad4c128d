"""The same behaviour under every server, over real sockets."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import served
from support.services import HOST, Service, free_port, scratch
from support.sockets import ask

pytestmark = pytest.mark.heavy

GUNICORN = ["-m", "gunicorn", "--no-control-socket", "--bind", "{host}:{port}", "--worker-class"]
SERVERS = {
    "waitress": ["-m", "waitress", "--listen={host}:{port}", "served:{app}"],
    "gunicorn sync": [*GUNICORN, "sync", "served:{app}"],
    "gunicorn gthread": [*GUNICORN, "gthread", "--threads", "2", "served:{app}"],
    "cheroot": ["-m", "cheroot", "--bind", "{host}:{port}", "served:{app}"],
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Service]:
    yield from serve(request.param, "in_cookie")


@pytest.fixture(scope="module", params=SERVERS)
def server_with_store(request: pytest.FixtureRequest) -> Iterator[Service]:
    yield from serve(request.param, "in_store")


def serve(name: str, app: str) -> Iterator[Service]:
    pytest.importorskip(name.partition(" ")[0])
    directory, port = scratch(), free_port()
    shutil.copy(Path(served.__file__), directory)
    argv = [part.format(host=HOST, port=port, app=app) for part in SERVERS[name]]
    service = Service("http", port, [sys.executable, *argv], lambda port: ask(port, "/whole").status == 200, directory)
    yield service
    service.process.terminate()
    service.process.wait(20)
    service.stop()


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/whole", 200, b"1"),
        ("/early", 200, b"1 1"),
        ("/generator", 200, b"1 streamed"),
        ("/written", 200, b"1 written and returned"),
        ("/file", 200, b"1 in a file"),
        ("/restarted", 503, b"1 restarted"),
    ],
)
def test_every_way_to_answer_sends_one_cookie_that_the_server_accepts(
    server: Service, path: str, status: int, body: bytes
) -> None:
    answer = ask(server.port, path)
    assert (answer.status, answer.body, answer.complete) == (status, body, True)
    assert len(answer.all("Set-Cookie")) == 1
    assert answer.all("Vary") == ["Cookie"]
    assert ask(server.port, "/whole", answer.cookie).body == b"2"


def test_a_body_in_one_part_keeps_its_length(server: Service) -> None:
    assert ask(server.port, "/file").all("Content-Length") == ["11"]


def test_a_list_keeps_the_length_that_waitress_finds(server: Service) -> None:
    if "waitress" not in server.argv:
        pytest.skip("other servers look at the application's header only")
    assert ask(server.port, "/whole").all("Content-Length") == ["1"]


def test_an_error_page_leaves_nothing_of_the_page_before_it(server: Service) -> None:
    assert ask(server.port, "/restarted").all("X-First") == []


def test_an_error_page_after_the_headers_repeats_the_same_cookie(server: Service) -> None:
    answer = ask(server.port, "/restarted_generator")
    # gunicorn sends the headers with the empty part, and can then only break off.
    assert (answer.status, answer.body) == ((200, b"") if "gunicorn" in server.argv else (503, b"1"))
    assert ask(server.port, "/whole", answer.cookie).body == b"2"


def test_what_went_with_the_headers_stays_where_the_body_breaks_off(server: Service) -> None:
    answer = ask(server.port, "/broken")
    assert (answer.status, answer.body, answer.complete) == (200, b"1", False)
    assert ask(server.port, "/whole", answer.cookie).body == b"2"


def test_an_app_that_raises_is_the_servers_500_without_a_cookie(server: Service) -> None:
    answer = ask(server.port, "/raising")
    assert answer.status == 500
    assert answer.all("Set-Cookie") == []


@pytest.mark.parametrize("path", ["/whole", "/early", "/generator", "/written", "/file", "/restarted", "/broken"])
def test_a_stored_session_counts_each_request_once(server_with_store: Service, path: str) -> None:
    port = server_with_store.port
    cookie = ask(port, path).cookie
    again = ask(port, path, cookie)
    assert again.body.startswith(b"2")
    assert again.all("Set-Cookie") == []
    assert ask(port, "/whole", cookie).body == b"3"


def test_a_stored_session_is_as_it_was_after_a_failure(server_with_store: Service) -> None:
    port = server_with_store.port
    cookie = ask(port, "/whole").cookie
    assert ask(port, "/raising", cookie).status == 500
    assert ask(port, "/whole", cookie).body == b"2"


def test_visitors_that_come_at_once_do_not_see_each_other(server: Service) -> None:
    alice, bob = ask(server.port, "/whole").cookie, ask(server.port, "/early").cookie
    assert ask(server.port, "/whole", alice).body == b"2"
    assert ask(server.port, "/generator", ask(server.port, "/early", bob).cookie).body == b"3 streamed"
