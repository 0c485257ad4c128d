"""A session that cannot be saved, and a change that comes too late."""

from __future__ import annotations

import logging
import random
import sys

import pytest

from session_mw import CookieTooLarge, MemoryStore, NotSerializable, SessionMiddleware, StoreError
from support.responding import Body, behind, exc_info_of, stored
from support.wsgi import KEY, PLAIN, Server, Visitor, environ_of, guarded, read, token_of, visit

HTML = ("Content-Type", "text/html")


class Broken(MemoryStore):
    """A store whose server is down."""

    def create(self, *args, **kwargs):
        raise StoreError("down")

    load = update = touch = delete = create


# A commit that fails


def too_large(session):
    session["a"] = random.Random(1).randbytes(9000).hex()


def not_serializable(session):
    session["a"] = {"b": object()}


UNSAVED = [
    pytest.param(too_large, CookieTooLarge, lambda: None, id="too large"),
    pytest.param(not_serializable, NotSerializable, lambda: None, id="not serializable"),
    pytest.param(lambda session: session.update(a=1), StoreError, Broken, id="store is down"),
]


@pytest.mark.parametrize(("change", "error", "store"), UNSAVED)
@pytest.mark.parametrize("kind", [list, tuple, lambda parts: Body(*parts), iter])
def test_where_the_session_cannot_be_saved_nothing_is_sent(change, error, store, kind):
    def app(environ, start_response):
        change(environ["session"])
        start_response("200 OK", [PLAIN])
        return kind([b"part"])

    server = Server(guarded(app, secret_key=KEY, store=store()))
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

    server = Server(guarded(app, secret_key=KEY, store=store()))
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

    server = Server(guarded(app, secret_key=KEY, store=store()))
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

    middleware = SessionMiddleware(app, KEY)
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

    server = Server(guarded(app, secret_key=KEY, store=store()))
    with pytest.raises(error):
        server.run()
    assert server.starts == []


def test_an_outer_middleware_can_make_an_outage_a_503():
    def outer(environ, start_response):
        try:
            return inner(environ, start_response)
        except StoreError:
            start_response("503 Service Unavailable", [PLAIN])
            return [b"later"]

    def app(environ, start_response):
        environ["session"]["a"] = 1
        start_response("200 OK", [PLAIN])
        return [b""]

    inner = guarded(app, store=Broken())
    answer = visit(outer)
    assert (answer.status, answer.headers) == ("503 Service Unavailable", [PLAIN])


def test_an_app_can_make_an_outage_a_503():
    def app(environ, start_response):
        try:
            environ["session"]["a"] = 1
        except StoreError:
            start_response("503 Service Unavailable", [PLAIN])
            return [b"later"]
        raise AssertionError("no error")

    answer = visit(guarded(app, store=Broken()), cookie="session=" + "A" * 43)
    assert (answer.status, answer.cookies, answer.vary) == ("503 Service Unavailable", [], ["Cookie"])


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


# Late changes are told


def late(change):
    """The body runs after the headers are out; ``line`` is where it changes the session."""

    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        return stream(environ["session"])

    def stream(session):
        yield b"part"
        change(session)
        yield b"end"

    return app


LATE = {
    "setitem": lambda s: s.__setitem__("a", 2),
    "delitem": lambda s: s.__delitem__("a"),
    "pop": lambda s: s.pop("a"),
    "popitem": lambda s: s.popitem(),
    "setdefault": lambda s: s.setdefault("b", 2),
    "update": lambda s: s.update(a=2),
    "ior": lambda s: s.__ior__({"a": 2}),
    "clear": lambda s: s.clear(),
    "invalidate": lambda s: s.invalidate(),
    "regenerate_id": lambda s: s.regenerate_id(),
    "permanent": lambda s: setattr(s, "permanent", True),
    "principal": lambda s: setattr(s, "principal", "42"),
    "modified": lambda s: setattr(s, "modified", True),
}


@pytest.mark.parametrize("change", LATE.values(), ids=LATE)
def test_a_late_change_is_logged_with_the_place_that_made_it(change, caplog):
    answer = visit(guarded(late(change)), cookie=f"session={token_of({'a': 1})}")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{__file__}:{change.__code__.co_firstlineno}" in record.getMessage()
    assert answer.cookies == []


READINGS = [lambda s: s.get("a"), lambda s: s.pop("none", None), lambda s: s.setdefault("a")]


@pytest.mark.parametrize("read_late", READINGS)
def test_a_late_reading_is_not_logged_as_a_change(read_late, caplog):
    visit(guarded(late(read_late)), cookie=f"session={token_of({'a': 1})}")
    assert "changed" not in caplog.text


def test_a_late_change_shows_no_data_of_the_session(caplog):
    visit(guarded(late(lambda s: s.update(secret="confidential"))), cookie=f"session={token_of({'a': 1})}")
    assert "confidential" not in caplog.text
