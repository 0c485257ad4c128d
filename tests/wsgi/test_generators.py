"""Apps that are generators, and bodies that stream."""

from __future__ import annotations

import sys

import pytest

from session_mw import MemoryStore, SessionManager, SessionMiddleware
from support.validators import between_validators
from support.wsgi import KEY, PLAIN, Server, Visitor, environ_of, guarded, read, token_of, visit


def behind(app, **settings):
    return SessionMiddleware(app, secret_key=KEY, **settings)


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


# Exceptions, and visitors who hang up


class Closing:
    """Parts, errors among them, and a count of close()."""

    def __init__(self, *parts):
        self.parts, self.closed = iter(parts), 0

    def __iter__(self):
        return self

    def __next__(self):
        part = next(self.parts)
        if isinstance(part, BaseException):
            raise part
        return part() if callable(part) else part

    def close(self):
        self.closed += 1


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


def stored(store, visitor):
    return SessionManager(KEY, store=store).open({"HTTP_COOKIE": visitor.cookie}).copy()


def late_app(do, parts=(b"part", b"end")):
    """Changes its session between two parts."""

    def stream(session):
        yield parts[0]
        do(session)
        yield parts[1]

    def app(environ, start_response):
        environ["session"].setdefault("cart", [])
        start_response("200 OK", [PLAIN])
        return stream(environ["session"])

    return app


@pytest.fixture
def store():
    return MemoryStore()


def known(app, store):
    """A visitor who has a session."""
    visitor = Visitor(guarded(app, store=store))
    visitor.jar = start(store)
    return visitor


def start(store, **data):
    sessions = SessionManager(KEY, store=store)
    session = sessions.open({})
    session.update({"cart": ["pear"], **data})
    cookie = sessions.commit(session)[1][1]
    return {"session": cookie.partition(";")[0].partition("=")[2]}


LATE = {
    "setitem": lambda s: s.__setitem__("cart", ["pear", "plum"]),
    "inside": lambda s: s["cart"].append("plum"),
}


@pytest.mark.parametrize("do", LATE.values(), ids=LATE)
def test_a_stored_session_is_saved_as_it_is_at_the_end_of_the_stream(do, store):
    visitor = known(late_app(do), store)
    assert visitor.get().cookies == []
    assert stored(store, visitor) == {"cart": ["pear", "plum"]}


def test_an_untouched_stored_session_can_be_touched_and_changed_while_it_streams(store):
    def stream(session):
        yield b"part"
        session["late"] = True

    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        return stream(environ["session"])

    visitor = known(app, store)
    visitor.get()
    assert stored(store, visitor) == {"cart": ["pear"], "late": True}


def test_a_generator_apps_late_change_of_a_stored_session_is_saved(store):
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        environ["session"]["a"] = 1
        yield b"part"
        environ["session"]["b"] = 2

    visitor = Visitor(guarded(app, store=store))
    visitor.get()
    assert stored(store, visitor) == {"a": 1, "b": 2}


def test_a_session_that_no_cookie_could_announce_is_not_stored(store):
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        yield b"part"
        environ["session"]["b"] = 2

    answer = visit(guarded(app, store=store))
    assert (answer.cookies, repr(store)) == ([], "<MemoryStore of 0 records>")


def test_a_refused_id_is_not_adopted_while_it_streams(store):
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        yield b"part"
        environ["session"]["b"] = 2

    visit(guarded(app, store=store), cookie="session=" + "A" * 43)
    assert repr(store) == "<MemoryStore of 0 records>"


def test_after_an_error_in_mid_stream_nothing_more_is_saved(store):
    def app(environ, start_response):
        environ["session"]["a"] = 1
        start_response("200 OK", [PLAIN])
        yield b"part"
        environ["session"]["a"] = 2
        raise ZeroDivisionError

    visitor = known(app, store)
    with pytest.raises(ZeroDivisionError):
        visitor.get()
    assert stored(store, visitor)["a"] == 1


def test_where_the_visitor_hangs_up_nothing_more_is_saved(store):
    def do(session):
        session["cart"] = ["half"]

    visitor = known(late_app(do, parts=(b"one", b"two")), store)
    Server(visitor.app, environ_of(cookie=visitor.cookie)).run(at_most=2)
    assert stored(store, visitor) == {"cart": ["pear"]}


def test_a_late_log_out_ends_the_session(store):
    visitor = known(late_app(lambda s: s.invalidate()), store)
    visitor.get()
    assert repr(store) == "<MemoryStore of 0 records>"


def test_a_late_log_out_and_what_follows_it_leave_no_record_that_nobody_knows(store):
    visitor = known(late_app(lambda s: (s.invalidate(), s.update(a=1))), store)
    visitor.get()
    assert repr(store) == "<MemoryStore of 0 records>"


def test_a_late_regenerate_id_does_not_take_the_session_from_the_visitor(store):
    visitor = known(late_app(lambda s: (s.update(user=42), s.regenerate_id())), store)
    visitor.get()
    assert stored(store, visitor) == {"cart": ["pear"], "user": 42}


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
        bodies.append(Closing(*([begin] if starts == "late" else []), *parts))
        return bodies[0]

    server = Server(behind(app, store=store_url))
    try:
        server.run(at_most)
    except ZeroDivisionError:
        assert parts
    assert bodies[0].closed == 1


def test_close_is_called_once_where_the_session_cannot_be_saved():
    body = Closing(lambda: None)

    def app(environ, start_response):
        def begin():
            start_response("200 OK", [PLAIN])
            return b"part"

        environ["session"]["a"] = object()
        body.parts = iter([begin])
        return body

    with pytest.raises(TypeError):
        Server(behind(app)).run()
    assert body.closed == 1


def test_an_error_in_close_passes_and_takes_nothing_back(store):
    class Raising(Closing):
        def close(self):
            raise ZeroDivisionError

    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        session = environ["session"]
        return Raising(b"part", lambda: session.update(a=1) or b"end")

    visitor = known(app, store)
    server = Server(behind(app, store=store), environ_of(cookie=visitor.cookie))
    with pytest.raises(ZeroDivisionError):
        server.run()
    assert stored(store, visitor) == {"cart": ["pear"], "a": 1}


def test_changes_that_close_makes_are_saved_too(store):
    class Changing(Closing):
        def close(self):
            self.session["closed"] = True

    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        body = Changing(b"part")
        body.session = environ["session"]
        return body

    visitor = known(app, store)
    visitor.get()
    assert stored(store, visitor)["closed"] is True


def test_a_body_that_is_closed_unread_runs_nothing_and_saves_nothing():
    store = MemoryStore()
    body = behind(streaming, store=store)(environ_of(), lambda *_: None)
    body.close()
    assert repr(store) == "<MemoryStore of 0 records>"


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


def test_a_permanent_session_that_a_stream_never_touches_is_refreshed(clock):
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        yield b"part"

    token = token_of({"_permanent": True})
    clock.advance(10)
    answer = visit(guarded(app), cookie=f"session={token}")
    assert (read(answer.token), answer.token != token) == ({"_permanent": True}, True)
