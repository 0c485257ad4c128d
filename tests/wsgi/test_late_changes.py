"""Changes after the headers are out: told in the log, and saved where a store has the visitor's session."""

from __future__ import annotations

import logging

import pytest

from session_mw import MemoryStore
from support.tokens import read, token_of
from support.visitors import Visitor, stored
from support.wsgi import PLAIN, Body, Server, environ_of, guarded, page, visit

# They are told


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


def test_a_change_after_the_headers_is_not_lost_in_silence(caplog):
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        yield b"part"
        environ["session"]["a"] = 1

    visit(guarded(app))
    assert f"{__file__}:{app.__code__.co_firstlineno + 3}" in caplog.text


def writing(*, change_after=False):
    def app(environ, start_response):
        write = start_response("200 OK", [PLAIN])
        environ["session"]["a"] = 1
        write(b"one,")
        if change_after:
            environ["session"]["b"] = 2
        write(b"two,")
        return [b"three"]

    return app


def test_a_change_after_write_is_late(caplog):
    answer = visit(guarded(writing(change_after=True)))
    assert read(answer.token) == {"a": 1}
    assert "after the response's headers were sent" in caplog.text


# A stored session that the visitor has is saved


@pytest.fixture
def store():
    return MemoryStore()


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


def known(app, store):
    """A visitor who has the stored session {"cart": ["pear"]}."""
    visitor = Visitor(guarded(page(lambda s: s.update(cart=["pear"])), store=store))
    visitor.get()
    visitor.app = guarded(app, store=store)
    return visitor


KEPT = {
    "setitem": lambda s: s.__setitem__("cart", ["pear", "plum"]),
    "inside": lambda s: s["cart"].append("plum"),
    "update": lambda s: s.update(cart=["pear", "plum"]),
    "|=": lambda s: s.__ior__({"cart": ["pear", "plum"]}),
}


@pytest.mark.parametrize("do", KEPT.values(), ids=KEPT)
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


def test_changes_that_close_makes_are_saved_too(store):
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        session = environ["session"]
        return Body(b"part", at_close=lambda: session.update(closed=True))

    visitor = known(app, store)
    visitor.get()
    assert stored(store, visitor)["closed"] is True


def test_with_a_store_a_change_after_write_is_saved_where_the_visitor_has_the_session():
    visitor = Visitor(guarded(writing(change_after=True), store=(store := MemoryStore())))
    visitor.get()
    assert stored(store, visitor) == {"a": 1, "b": 2}


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_with_a_store_a_change_between_write_and_the_return_is_saved(kind):
    def app(environ, start_response):
        session = environ["session"]
        cart = session.setdefault("cart", [])
        start_response("200 OK", [PLAIN])(b"part")
        cart.append("pear")
        session["late"] = session.get("late", 0) + 1
        return kind([b"end"])

    visitor = Visitor(guarded(app, store=(store := MemoryStore())))
    visitor.get()
    assert stored(store, visitor) == {"cart": ["pear"], "late": 1}
    visitor.get()
    assert stored(store, visitor) == {"cart": ["pear", "pear"], "late": 2}


# What is not saved


def test_a_session_that_no_cookie_could_announce_is_not_stored(store):
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        yield b"part"
        environ["session"]["b"] = 2

    answer = visit(guarded(app, store=store))
    assert (answer.cookies, repr(store)) == ([], "<MemoryStore of 0 records>")


def test_a_rejected_id_is_not_adopted_while_it_streams(store):
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
