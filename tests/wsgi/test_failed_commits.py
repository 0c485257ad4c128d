"""What the server sees where the session cannot be saved: nothing of the response."""

from __future__ import annotations

import sys

import pytest

from session_mw import CookieTooLarge, MemoryStore, NotSerializable, StoreError
from support.stores import unreachable
from support.tokens import noise, read
from support.visitors import Visitor, stored
from support.wsgi import PLAIN, Body, Server, behind, environ_of, exc_info_of, guarded

HTML = ("Content-Type", "text/html")


def too_large(session):
    session["a"] = noise(18_000)


def not_serializable(session):
    session["a"] = {"b": object()}


UNSAVED = [
    pytest.param(too_large, CookieTooLarge, lambda: None, id="too large"),
    pytest.param(not_serializable, NotSerializable, lambda: None, id="not serializable"),
    pytest.param(not_serializable, NotSerializable, MemoryStore, id="not serializable in a store"),
    pytest.param(lambda session: session.update(a=1), StoreError, unreachable, id="store is down"),
]


@pytest.mark.parametrize(("change", "error", "store"), UNSAVED)
@pytest.mark.parametrize("kind", [list, tuple, lambda parts: Body(*parts), iter])
def test_where_the_session_cannot_be_saved_nothing_is_sent(change, error, store, kind):
    def app(environ, start_response):
        change(environ["session"])
        start_response("200 OK", [PLAIN])
        return kind([b"part"])

    server = Server(guarded(app, store=store()))
    with pytest.raises(error):
        server.run()
    assert (server.starts, server.parts) == ([], [])


@pytest.mark.parametrize(("change", "error", "store"), UNSAVED)
def test_where_the_session_cannot_be_saved_the_apps_iterable_is_closed_once(change, error, store):
    body = Body(b"part")

    def app(environ, start_response):
        change(environ["session"])
        start_response("200 OK", [PLAIN])
        return body

    with pytest.raises(error):
        Server(behind(app, store=store())).run()
    assert body.closed == 1


@pytest.mark.parametrize(("change", "error", "store"), UNSAVED)
def test_where_the_session_cannot_be_saved_write_raises(change, error, store):
    def app(environ, start_response):
        change(environ["session"])
        start_response("200 OK", [PLAIN])(b"part")
        return []

    server = Server(guarded(app, store=store()))
    with pytest.raises(error):
        server.run()
    assert (server.starts, server.parts) == ([], [])


@pytest.mark.parametrize(("change", "error", "store"), UNSAVED)
def test_an_app_whose_write_raised_can_send_an_error_page(change, error, store):
    def app(environ, start_response):
        write = start_response("200 OK", [PLAIN])
        change(environ["session"])
        try:
            write(b"part")
        except error:
            start_response("503 Service Unavailable", [HTML], sys.exc_info())
        return [b"sorry"]

    server = Server(guarded(app, store=store()))
    answer = server.run()
    assert (answer.status, answer.body, answer.cookies) == ("503 Service Unavailable", b"sorry", [])
    assert len(server.starts) == 1


def test_after_the_error_page_of_a_failed_write_a_change_is_late_and_the_environ_can_be_served_again(caplog):
    def app(environ, start_response):
        session = environ["session"]
        if "again" in environ:
            session["saved"] = True
            start_response("200 OK", [PLAIN])
            return [b"second"]
        session["a"] = object()
        write = start_response("200 OK", [PLAIN])
        try:
            write(b"part")
        except NotSerializable:
            start_response("500 Oops", [HTML], sys.exc_info())(b"sorry")
        del session["a"]
        return []

    middleware = behind(app)
    environ = environ_of()
    assert Server(middleware, environ).run().status == "500 Oops"
    assert "the session was changed after the response's headers were sent" in caplog.text
    environ["again"] = "yes"
    assert read(Server(middleware, environ).run().token) == {"saved": True}


def test_an_app_whose_write_raised_can_mend_its_session_and_write_again():
    def app(environ, start_response):
        write = start_response("200 OK", [PLAIN])
        environ["session"]["a"] = object()
        with pytest.raises(NotSerializable):
            write(b"part")
        environ["session"]["a"] = "mended"
        write(b"")
        start_response("500 Oops", [HTML], exc_info_of(ZeroDivisionError()))
        return [b"sorry"]

    app_server = Later(guarded(app))
    answer = app_server.run()
    assert (answer.status, read(answer.token)) == ("500 Oops", {"a": "mended"})


class Later(Server):
    """A server that keeps its headers back until there is data."""

    def write(self, data):
        if data:
            super().write(data)


def test_after_a_mended_write_a_stored_session_is_saved_at_the_end_of_the_stream():
    store = MemoryStore()

    def app(environ, start_response):
        session = environ["session"]
        write = start_response("200 OK", [PLAIN])
        session["a"] = object()
        with pytest.raises(NotSerializable):
            write(b"part")
        session["a"] = "mended"
        write(b"part")
        yield b"end"
        session["late"] = True

    visitor = Visitor(guarded(app, store=store))
    visitor.get()
    assert stored(store, visitor) == {"a": "mended", "late": True}


@pytest.mark.parametrize(("change", "error", "store"), UNSAVED)
def test_an_app_that_goes_on_after_a_failed_write_sends_no_page_either(change, error, store):
    def app(environ, start_response):
        write = start_response("200 OK", [PLAIN])
        change(environ["session"])
        with pytest.raises(error):
            write(b"part")
        return [b"as if nothing had been"]

    server = Server(guarded(app, store=store()))
    with pytest.raises(error):
        server.run()
    assert server.starts == []


def test_a_server_that_refuses_the_headers_sees_the_iterable_closed():
    body = Body(b"part")

    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        return body

    def refuse(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        behind(app)(environ_of(), refuse)
    assert body.closed == 1


def test_close_is_called_once_where_a_late_start_cannot_be_saved():
    def app(environ, start_response):
        def begin():
            start_response("200 OK", [PLAIN])
            return b"part"

        environ["session"]["a"] = object()
        bodies.append(Body(begin))
        return bodies[0]

    bodies = []
    with pytest.raises(NotSerializable):
        Server(behind(app)).run()
    assert bodies[0].closed == 1
