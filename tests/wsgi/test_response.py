"""How a response passes through the middleware (PEP 3333)."""

from __future__ import annotations

import pytest

from session_mw import MemoryStore
from support.stores import Recording
from support.tokens import read
from support.visitors import Visitor
from support.wsgi import PLAIN, Body, Server, behind, environ_of, exc_info_of, guarded, visit

HTML = ("Content-Type", "text/html")


# What the app says is recorded until it has returned


def test_a_change_after_start_response_and_before_the_return_is_sent():
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        environ["session"]["a"] = 1
        return [b""]

    assert read(visit(guarded(app)).token) == {"a": 1}


def test_status_headers_and_body_pass_as_they_are():
    def app(environ, start_response):
        environ["session"]["a"] = 1
        start_response("418 I'm a teapot", [PLAIN, ("X-One", "1"), ("X-One", "2"), ("x-lower", "ä")])
        return [b"short", b"and", b"stout"]

    answer = visit(guarded(app))
    assert (answer.status, answer.body) == ("418 I'm a teapot", b"shortandstout")
    assert answer.headers[:4] == [PLAIN, ("X-One", "1"), ("X-One", "2"), ("x-lower", "ä")]


@pytest.mark.parametrize("do", [lambda s: None, lambda s: len(s), lambda s: s.update(a=1)])
def test_the_list_of_headers_that_the_server_gets_is_a_new_one(do):
    headers = [PLAIN]

    def app(environ, start_response):
        do(environ["session"])
        start_response("200 OK", headers)
        return [b""]

    server = Server(behind(app))
    server.run()
    assert type(server.starts[0][1]) is list
    assert server.starts[0][1] is not headers
    assert headers == [PLAIN]


def test_headers_are_those_of_the_call_whatever_becomes_of_the_list():
    headers = [PLAIN]

    def app(environ, start_response):
        start_response("200 OK", headers)
        headers.append(("X-Late", "1"))
        return [b""]

    assert visit(guarded(app)).headers == [PLAIN]


def test_a_start_response_without_exc_info_is_passed_on_without():
    server = Server(behind(lambda environ, start_response: start_response("200 OK", []) and []))
    server.run()
    assert len(server.starts) == 1
    assert not any(server.starts[0][2:])


def test_exc_info_can_be_given_by_position_or_by_name():
    def app(environ, start_response):
        start_response("200 OK", [PLAIN], None)
        start_response("500 Oops", [HTML], exc_info=exc_info_of(ZeroDivisionError()))
        return [b""]

    assert Server(behind(app)).run().status == "500 Oops"


def test_a_second_start_response_without_exc_info_is_an_error():
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        start_response("200 OK", [PLAIN])
        return [b""]

    with pytest.raises(AssertionError):
        Server(behind(app)).run()


def test_a_second_start_response_with_exc_info_replaces_the_first():
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        environ["session"]["error"] = True
        start_response("500 Oops", [HTML], exc_info_of(ZeroDivisionError()))
        return [b"sorry"]

    server = Server(guarded(app))
    answer = server.run()
    assert (answer.status, answer.headers[0], answer.body) == ("500 Oops", HTML, b"sorry")
    assert read(answer.token) == {"error": True}
    assert len(server.starts) == 1


def test_a_list_without_start_response_is_the_servers_to_complain_about():
    server = Server(behind(lambda environ, start_response: []))
    with pytest.raises(IndexError):
        server.run()
    assert server.starts == []


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_response_without_a_body_carries_the_cookie(status):
    def app(environ, start_response):
        environ["session"]["a"] = 1
        start_response(status, [])
        return []

    answer = visit(guarded(app))
    assert (answer.status, read(answer.token)) == (status, {"a": 1})


def test_head_carries_the_cookie():
    def app(environ, start_response):
        environ["session"]["a"] = 1
        start_response("200 OK", [PLAIN, ("Content-Length", "5")])
        return []

    answer = visit(guarded(app), REQUEST_METHOD="HEAD")
    assert (answer.all("Content-Length"), read(answer.token)) == (["5"], {"a": 1})


def test_an_error_page_of_the_app_saves_the_session():
    def app(environ, start_response):
        environ["session"]["a"] = 1
        start_response("500 Internal Server Error", [PLAIN])
        return [b"oops"]

    assert read(visit(guarded(app)).token) == {"a": 1}


# The iterable is returned as it is


@pytest.mark.parametrize("body", [[], [b"one"], [b"one", b"two"], (b"one",), type("L", (list,), {})([b"one"])])
@pytest.mark.parametrize("store", [None, "memory://"])
def test_a_list_or_tuple_is_returned_as_it_is(body, store):
    def app(environ, start_response):
        environ["session"]["a"] = 1
        start_response("200 OK", [PLAIN])
        return body

    assert behind(app, store=store)(environ_of(), lambda *_: None) is body


@pytest.mark.parametrize("store", [None, "memory://"])
def test_a_list_stays_a_list_for_a_visitor_who_has_a_session(store):
    body = [b"part"]

    def app(environ, start_response):
        environ["session"]["a"] = 1
        start_response("200 OK", [PLAIN])
        return body

    middleware = behind(app, store=store)
    visitor = Visitor(middleware)
    visitor.get()
    assert middleware(environ_of(cookie=visitor.cookie), lambda *_: None) is body


def test_one_list_can_be_the_body_of_all_responses():
    body = [b"same"]

    def app(environ, start_response):
        environ["session"]["a"] = 1
        start_response("200 OK", [PLAIN])
        return body

    middleware = behind(app)
    assert [Server(middleware).run().body for _ in range(3)] == [b"same"] * 3
    assert body == [b"same"]


def test_another_iterable_is_returned_as_it_is_where_start_response_was_called():
    body = Body(b"one")

    def app(environ, start_response):
        environ["session"]["a"] = 1
        start_response("200 OK", [PLAIN])
        return body

    assert behind(app)(environ_of(), lambda *_: None) is body


def test_with_a_store_an_iterable_is_returned_as_it_is_where_the_visitor_has_no_session():
    body = Body(b"one")

    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        return body

    assert behind(app, store=MemoryStore())(environ_of(), lambda *_: None) is body


class FileWrapper:
    def __init__(self, file, size=8192):
        self.file = file

    def __iter__(self):
        return iter(self.file)


def file_wrapper(file, size=8192):
    """As mod_wsgi and uWSGI have it: a function, not a class."""
    return FileWrapper(file, size)


@pytest.mark.parametrize("wrapper", [FileWrapper, file_wrapper])
def test_what_the_servers_file_wrapper_made_is_returned_as_it_is(wrapper):
    made = []

    def app(environ, start_response):
        environ["session"]["a"] = 1
        start_response("200 OK", [PLAIN])
        made.append(environ["wsgi.file_wrapper"]([b"file"], 4096))
        return made[0]

    middleware = behind(app, store=MemoryStore())
    answered = []
    for _ in range(2):
        visitor = Visitor(middleware)
        visitor.get(**{"wsgi.file_wrapper": wrapper})
        environ = environ_of(cookie=visitor.cookie, **{"wsgi.file_wrapper": wrapper})
        made.clear()
        answered.append(middleware(environ, lambda *_: None) is made[0])
    assert answered == [True, True]


# write()


def writing(environ, start_response):
    write = start_response("200 OK", [PLAIN])
    environ["session"]["a"] = 1
    write(b"one,")
    write(b"two,")
    return [b"three"]


def test_write_sends_the_headers_at_its_first_call():
    server = Server(guarded(writing))
    answer = server.run()
    assert (answer.body, read(answer.token)) == (b"one,two,three", {"a": 1})
    assert len(server.starts) == 1


def test_a_write_reaches_the_server_at_once():
    seen = []

    def app(environ, start_response):
        write = start_response("200 OK", [PLAIN])
        write(b"part")
        seen.extend(server.parts)
        return []

    server = Server(guarded(app))
    server.run()
    assert seen == [b"part"]


# After the headers are out


def test_a_start_response_with_exc_info_before_the_first_byte_sends_our_headers_again():
    """Headers are out of our hands, but not yet out of the server's."""

    def app(environ, start_response):
        environ["session"]["a"] = 1
        start_response("200 OK", [PLAIN])
        return late(environ, start_response)

    def late(environ, start_response):
        environ["session"]["b"] = "late"
        start_response("500 Oops", [HTML], exc_info_of(ZeroDivisionError()))
        yield b"sorry"

    server = Server(guarded(app))
    answer = server.run()
    first, second = (dict(start[1]) for start in server.starts)
    assert first["Set-Cookie"] == second["Set-Cookie"]
    assert first["Vary"] == second["Vary"] == "Cookie"
    assert (answer.status, answer.headers[0], len(answer.cookies)) == ("500 Oops", HTML, 1)


@pytest.mark.parametrize("kind", ["cookie", "store"])
def test_a_second_start_response_with_exc_info_saves_once_and_sends_one_cookie(kind):
    store = Recording(MemoryStore()) if kind == "store" else None

    def app(environ, start_response):
        environ["session"]["count"] = environ["session"].get("count", 0) + 1
        start_response("200 OK", [PLAIN])
        return late(start_response)

    def late(start_response):
        start_response("500 Oops", [PLAIN], exc_info_of(ZeroDivisionError()))
        yield b"sorry"

    server = Server(guarded(app, store=store))
    answer = server.run()
    assert (answer.status, len(answer.cookies)) == ("500 Oops", 1)
    assert len(server.starts) == 2
    assert server.starts[0][1] == server.starts[1][1] == answer.headers
    assert store is None or store.calls == ["create"]


def test_a_start_response_with_exc_info_saves_nothing_again():
    store = Recording(MemoryStore())

    def app(environ, start_response):
        environ["session"]["a"] = 1
        write = start_response("200 OK", [PLAIN])
        write(b"")
        environ["session"]["b"] = 2
        before = list(store.calls)
        with pytest.raises(ZeroDivisionError):
            start_response("500 Oops", [HTML], exc_info_of(ZeroDivisionError()))
        assert store.calls == before == ["create"]
        return []

    Server(guarded(app, store=store)).run()


def test_a_start_response_with_exc_info_after_the_first_byte_raises_the_apps_error():
    def app(environ, start_response):
        environ["session"]["a"] = 1
        start_response("200 OK", [PLAIN])(b"part")
        start_response("500 Oops", [HTML], exc_info_of(ZeroDivisionError("the app's")))
        return [b"never"]

    server = Server(guarded(app))
    with pytest.raises(ZeroDivisionError, match="the app's"):
        server.run()
    assert (server.parts, len(server.starts)) == ([b"part"], 1)


def test_a_second_start_response_without_exc_info_after_the_headers_is_an_error():
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])(b"part")
        start_response("200 OK", [PLAIN])
        return []

    with pytest.raises(AssertionError):
        Server(behind(app)).run()


# An exception of the app


@pytest.mark.parametrize("error", [ZeroDivisionError, StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("started", [False, True])
def test_an_exception_of_the_app_passes_and_nothing_is_saved(error, started):
    store = Recording(MemoryStore())

    def app(environ, start_response):
        environ["session"]["a"] = 1
        if started:
            start_response("200 OK", [PLAIN])
        raise error

    server = Server(behind(app, store=store))
    with pytest.raises(error):
        server.run()
    assert (server.starts, store.calls) == ([], [])
