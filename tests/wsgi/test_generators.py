"""Apps that are generators, and bodies that stream."""

from __future__ import annotations

import sys

import pytest

from session_mw import MemoryStore, SessionMiddleware
from support.tokens import KEY, read
from support.validators import between_validators
from support.wsgi import PLAIN, Server, behind, environ_of, guarded, visit


def streaming(environ, start_response):
    start_response("200 OK", [PLAIN])
    environ["session"]["a"] = 1
    yield b"one"
    yield b"two"


def test_a_generators_changes_before_its_first_part_are_sent():
    server = Server(guarded(streaming))
    answer = server.run()
    assert (answer.body, read(answer.token), len(server.starts)) == (b"onetwo", {"a": 1}, 1)


def test_a_generator_is_not_run_ahead():
    ran = []

    def app(environ, start_response):
        ran.append("started")
        start_response("200 OK", [PLAIN])
        yield b"one"
        ran.append("after one")
        yield b"two"

    body = behind(app)(environ_of(), lambda *_: None)
    assert ran == []
    parts = iter(body)
    assert (next(parts), ran) == (b"one", ["started"])
    assert (next(parts), ran) == (b"two", ["started", "after one"])


def test_the_headers_are_out_before_the_first_part_is_given_to_the_server():
    server = Server(behind(streaming))
    body = server.app(server.environ, server.start_response)
    assert server.starts == []
    assert next(iter(body)) == b"one"
    assert len(server.starts) == 1


def test_an_empty_first_part_is_a_part():
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        environ["session"]["a"] = 1
        yield b""
        environ["session"]["b"] = "late"
        yield b"end"

    answer = visit(guarded(app))
    assert (answer.body, read(answer.token)) == (b"end", {"a": 1})


def test_a_generator_without_parts_sends_its_headers():
    def app(environ, start_response):
        start_response("204 No Content", [])
        environ["session"]["a"] = 1
        return
        yield b""

    answer = visit(guarded(app))
    assert (answer.status, answer.body, read(answer.token)) == ("204 No Content", b"", {"a": 1})


def test_an_iterator_that_starts_late_is_waited_for():
    class App:
        def __init__(self, environ, start_response):
            self.environ, self.start, self.parts = environ, start_response, [b"one", b"two"]

        def __iter__(self):
            return self

        def __next__(self):
            if len(self.parts) == 2:
                self.environ["session"]["a"] = 1
                self.start("200 OK", [PLAIN])
            if not self.parts:
                raise StopIteration
            return self.parts.pop(0)

    answer = visit(guarded(App))
    assert (answer.body, read(answer.token)) == (b"onetwo", {"a": 1})


def test_an_iterable_that_starts_in_iter_is_waited_for():
    class App:
        def __init__(self, environ, start_response):
            self.environ, self.start = environ, start_response

        def __iter__(self):
            self.start("200 OK", [PLAIN])
            self.environ["session"]["a"] = 1
            return iter([b"part"])

    answer = visit(guarded(App))
    assert (answer.body, read(answer.token)) == (b"part", {"a": 1})


def test_a_generator_can_write():
    def app(environ, start_response):
        write = start_response("200 OK", [PLAIN])
        environ["session"]["a"] = 1
        write(b"written,")
        yield b"yielded"

    server = Server(guarded(app))
    answer = server.run()
    assert (answer.body, read(answer.token), len(server.starts)) == (b"written,yielded", {"a": 1}, 1)


def test_a_generator_that_never_starts_leaves_the_complaint_to_the_server():
    def app(environ, start_response):
        environ["session"]["a"] = 1
        yield b"part"

    server = Server(behind(app))
    with pytest.raises(AssertionError, match="data before start_response"):
        server.run()


def test_two_streams_at_once_keep_apart():
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        environ["session"]["who"] = environ["PATH_INFO"]
        yield b"one"
        yield environ["session"]["who"].encode()

    middleware = behind(app)
    servers = [Server(middleware, environ_of(path)) for path in ("/alice", "/bob")]
    bodies = [iter(server.app(server.environ, server.start_response)) for server in servers]
    for _ in range(2):
        for server, body in zip(servers, bodies, strict=True):
            server.write(next(body))
    assert [read(server.answer().token)["who"] for server in servers] == ["/alice", "/bob"]
    assert [server.parts[1] for server in servers] == [b"/alice", b"/bob"]


def test_two_generators_of_two_middlewares_wait_for_each_other():
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        environ["one"]["a"] = 1
        environ["two"]["b"] = 2
        yield b"part"

    def stack(inner):
        two = SessionMiddleware(inner, secret_key=KEY, environ_key="two", cookie_name="two", salt="two")
        return SessionMiddleware(two, secret_key=KEY, environ_key="one", cookie_name="one", salt="one")

    answer = visit(between_validators(stack, app, ["one", "two"]))
    assert [cookie.partition("=")[0] for cookie in answer.cookies] == ["two", "one"]


# exc_info


def error_page(environ, start_response):
    start_response("200 OK", [PLAIN])
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        environ["session"]["error"] = True
        start_response("500 Oops", [PLAIN], sys.exc_info())
    yield b"sorry"


def test_a_generators_error_page_replaces_its_first_answer():
    server = Server(guarded(error_page))
    answer = server.run()
    assert (answer.status, answer.body, read(answer.token)) == ("500 Oops", b"sorry", {"error": True})
    assert len(server.starts) == 1


def test_a_generators_late_error_page_raises_in_it():
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        environ["session"]["a"] = 1
        yield b"part"
        try:
            raise ZeroDivisionError("the app's")
        except ZeroDivisionError:
            start_response("500 Oops", [PLAIN], sys.exc_info())
        yield b"never"

    server = Server(guarded(app))
    with pytest.raises(ZeroDivisionError, match="the app's"):
        server.run()
    assert (server.parts, len(server.starts)) == ([b"part"], 1)


# Exceptions


def raising_before_the_first_part(environ, start_response):
    start_response("200 OK", [PLAIN])
    environ["session"]["a"] = 1
    raise ZeroDivisionError
    yield b""


@pytest.mark.parametrize("store", [None, "memory://"])
def test_a_generator_that_raises_before_its_first_part_saves_nothing(store):
    server = Server(guarded(raising_before_the_first_part, store=store, secret_key=KEY))
    with pytest.raises(ZeroDivisionError):
        server.run()
    assert server.starts == []


def test_a_generator_that_raises_before_its_first_part_leaves_the_store_empty():
    store = MemoryStore()
    with pytest.raises(ZeroDivisionError):
        visit(guarded(raising_before_the_first_part, store=store))
    assert repr(store) == "<MemoryStore of 0 records>"


def test_an_error_in_mid_stream_passes_and_what_was_sent_stays():
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        environ["session"]["a"] = 1
        yield b"part"
        raise ZeroDivisionError

    server = Server(guarded(app))
    with pytest.raises(ZeroDivisionError):
        server.run()
    assert (server.parts, read(server.answer().token)) == ([b"part"], {"a": 1})
