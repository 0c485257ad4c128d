"""``close()`` of what the app returned: called once, whatever happens."""

from __future__ import annotations

import pytest

from session_mw import MemoryStore
from support.tokens import read
from support.visitors import Visitor, stored
from support.wsgi import PLAIN, Body, Server, behind, environ_of, guarded, page


def streaming(environ, start_response):
    start_response("200 OK", [PLAIN])
    environ["session"]["a"] = 1
    yield b"one"
    yield b"two"


@pytest.mark.parametrize("store_url", [None, "memory://"])
@pytest.mark.parametrize("parts", [(b"one", b"two"), (b"one", ZeroDivisionError()), (ZeroDivisionError(),), ()])
@pytest.mark.parametrize("starts", ["early", "late"])
@pytest.mark.parametrize("at_most", [None, 1])
def test_close_is_called_once(store_url, parts, starts, at_most):
    bodies = []

    def app(environ, start_response):
        def begin():
            start_response("200 OK", [PLAIN])
            return b"first"

        if starts == "early":
            begin()
        environ["session"]["a"] = 1
        bodies.append(Body(*([begin] if starts == "late" else []), *parts))
        return bodies[0]

    server = Server(behind(app, store=store_url))
    try:
        server.run(at_most)
    except ZeroDivisionError:
        assert parts
    assert bodies[0].closed == 1


def test_an_error_in_the_apps_close_passes_after_the_session_was_sent():
    body = Body(b"part", at_close=ZeroDivisionError())

    def app(environ, start_response):
        environ["session"]["a"] = 1
        start_response("200 OK", [PLAIN])
        return body

    server = Server(behind(app))
    with pytest.raises(ZeroDivisionError):
        server.run()
    assert (read(server.answer().token), body.closed) == ({"a": 1}, 1)


def test_an_error_in_close_passes_and_takes_nothing_back():
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        session = environ["session"]
        return Body(b"part", lambda: session.update(a=1) or b"end", at_close=ZeroDivisionError())

    store = MemoryStore()
    visitor = Visitor(guarded(page(lambda s: s.update(cart=["pear"])), store=store))
    visitor.get()
    server = Server(behind(app, store=store), environ_of(cookie=visitor.cookie))
    with pytest.raises(ZeroDivisionError):
        server.run()
    assert stored(store, visitor) == {"cart": ["pear"], "a": 1}


def test_a_body_that_is_closed_unread_runs_nothing_and_saves_nothing():
    store = MemoryStore()
    body = behind(streaming, store=store)(environ_of(), lambda *_: None)
    body.close()
    assert repr(store) == "<MemoryStore of 0 records>"
