"""One environ that is served twice, as by tests, retries and error pages: each time with a session of its own."""

from __future__ import annotations

import pytest

from session_mw import SessionMiddleware
from support.tokens import KEY, read
from support.wsgi import PLAIN, Server, environ_of, page


def count(session):
    session["visits"] = session.get("visits", 0) + 1
    return session["visits"]


def test_an_environ_that_is_served_twice_gives_two_sessions():
    app = SessionMiddleware(page(count), secret_key=KEY)
    environ = environ_of()
    first, second = Server(app, environ).run(), Server(app, environ).run()
    assert read(first.token) == read(second.token) == {"visits": 1}


def test_webob_can_ask_twice_with_one_request():
    webob = pytest.importorskip("webob")
    app = SessionMiddleware(page(count), secret_key=KEY)
    request = webob.Request.blank("/")
    answers = [request.get_response(app) for _ in range(2)]
    assert [answer.body for answer in answers] == [b"1", b"1"]
    assert all("session=" in answer.headers["Set-Cookie"] for answer in answers)


def raises(environ, start_response):
    raise ZeroDivisionError


def raises_while_streaming(environ, start_response):
    raise ZeroDivisionError
    yield b""


def raises_after_a_part(environ, start_response):
    start_response("200 OK", [PLAIN])
    yield b"part"
    raise ZeroDivisionError


def cannot_be_saved(environ, start_response):
    environ["session"]["a"] = object()
    start_response("200 OK", [PLAIN])
    return [b""]


def cannot_be_saved_while_streaming(environ, start_response):
    environ["session"]["a"] = object()
    start_response("200 OK", [PLAIN])
    yield b"part"


def starts_nothing(environ, start_response):
    return []


def starts_nothing_while_streaming(environ, start_response):
    return iter([])


FAILING = [
    raises,
    raises_while_streaming,
    raises_after_a_part,
    cannot_be_saved,
    cannot_be_saved_while_streaming,
    starts_nothing,
    starts_nothing_while_streaming,
]


@pytest.mark.parametrize("failing", FAILING)
@pytest.mark.parametrize("store", [None, "memory://"])
def test_after_a_failure_the_same_environ_can_be_served_again(failing, store):
    apps = iter([failing, page(count)])
    app = SessionMiddleware(lambda *args: next(apps)(*args), secret_key=KEY, store=store)
    environ = environ_of()
    with pytest.raises((ZeroDivisionError, TypeError, IndexError)):
        Server(app, environ).run()
    second = Server(app, environ).run()
    assert second.body == b"1"
    assert second.token


def test_after_a_stream_that_failed_and_was_not_closed_the_same_environ_can_be_served_again():
    def failing(environ, start_response):
        yield b"part" if 1 / 0 else b""

    apps = iter([failing, page(count)])
    app = SessionMiddleware(lambda *args: next(apps)(*args), secret_key=KEY)
    environ = environ_of()
    with pytest.raises(ZeroDivisionError):
        next(iter(app(environ, lambda *_: None)))
    assert Server(app, environ).run().token


def test_after_an_answer_that_nobody_read_the_same_environ_can_be_served_again():
    def streaming(environ, start_response):
        start_response("200 OK", [PLAIN])
        yield b"part"

    apps = iter([streaming, page(count)])
    app = SessionMiddleware(lambda *args: next(apps)(*args), secret_key=KEY)
    environ = environ_of()
    app(environ, lambda *_: None).close()
    assert Server(app, environ).run().token
