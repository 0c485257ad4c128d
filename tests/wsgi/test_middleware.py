"""The middleware and its session: how they are made, found and kept apart."""

from __future__ import annotations

import gc

import pytest

from session_mw import (
    ConfigurationError,
    MissingSession,
    Session,
    SessionError,
    SessionManager,
    SessionMiddleware,
    get_session,
)
from support.tokens import KEY, OTHER_KEY, read
from support.validators import between_validators
from support.visitors import Visitor
from support.wsgi import PLAIN, Server, environ_of, guarded, page, visit


def count(session):
    session["visits"] = session.get("visits", 0) + 1
    return session["visits"]


@pytest.mark.parametrize("store", [None, "memory://"])
def test_a_session_survives_between_two_requests_of_a_visitor(store):
    visitor = Visitor(guarded(page(count), store=store, secret_key=KEY))
    assert [visitor.get().body for _ in range(3)] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("store", [None, "memory://"])
def test_two_visitors_have_sessions_of_their_own(store):
    app = guarded(page(count), store=store, secret_key=KEY)
    alice, bob = Visitor(app), Visitor(app)
    alice.get()
    assert (alice.get().body, bob.get().body) == (b"2", b"1")


def test_the_session_is_a_session():
    found = []
    visit(guarded(lambda environ, start: found.append(environ["session"]) or page()(environ, start)))
    assert isinstance(found[0], Session)


def test_the_session_stands_under_the_key_that_was_asked_for():
    def app(environ, start_response):
        assert "session" not in environ
        environ["my.session"]["a"] = 1
        start_response("200 OK", [PLAIN])
        return [b""]

    assert read(visit(guarded(app, environ_key="my.session")).token) == {"a": 1}


def test_a_middleware_shows_its_manager():
    made = SessionManager(KEY)
    assert SessionMiddleware(page(), sessions=made).sessions is made
    assert SessionMiddleware(page(), secret_key=KEY, cookie_name="s").sessions.cookie_name == "s"


@pytest.mark.parametrize(
    "arguments",
    [
        {"sessions": SessionManager(KEY), "secret_key": KEY},
        {"sessions": SessionManager(KEY), "lifetime": 60},
        {"secret_key": KEY, "environ_key": ""},
        {"secret_key": KEY, "environ_key": None},
        {"secret_key": KEY, "cookie_nam": "s"},
        {"secret_key": ""},
    ],
)
def test_a_wrong_argument_is_told_when_the_middleware_is_made(arguments):
    with pytest.raises(ConfigurationError):
        SessionMiddleware(page(), **arguments)


def test_a_key_in_the_place_of_the_app_is_told():
    with pytest.raises(ConfigurationError, match="callable"):
        SessionMiddleware(KEY)


@pytest.mark.parametrize("wrong", [SessionManager, "sqlite:///sessions.db", SessionMiddleware(page(count), KEY)])
def test_sessions_that_are_not_a_manager_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="sessions is a SessionManager, not"):
        SessionMiddleware(page(count), sessions=wrong)


def test_get_session_finds_the_session():
    seen = []

    def app(environ, start_response):
        seen.append((get_session(environ, "other"), environ["other"]))
        start_response("200 OK", [PLAIN])
        return []

    visit(guarded(app, environ_key="other"))
    assert seen[0][0] is seen[0][1]


@pytest.mark.parametrize("environ", [{}, {"session": {}}, {"session": None}])
def test_get_session_says_that_the_middleware_is_not_in_front(environ):
    with pytest.raises(MissingSession, match="SessionMiddleware") as caught:
        get_session(environ)
    assert isinstance(caught.value, LookupError)
    assert isinstance(caught.value, SessionError)


def test_get_session_looks_at_nothing():
    answer = visit(guarded(lambda environ, start: get_session(environ) is None or page()(environ, start)))
    assert answer.vary == []


# An app that tampers with the environ


@pytest.mark.parametrize(
    "tamper",
    [
        lambda environ: environ.pop("session"),
        lambda environ: environ.update(session={"a": "theirs"}),
        lambda environ: environ.update(session=None),
        lambda environ: environ.update(session=Session({"a": "theirs"})),
        lambda environ: environ.clear(),
    ],
)
def test_an_app_that_replaces_or_deletes_the_session_changes_nothing(tamper):
    def app(environ, start_response):
        environ["session"]["a"] = "ours"
        kept = dict(environ)
        tamper(environ)
        start_response("200 OK", [PLAIN])
        environ.update({name: value for name, value in kept.items() if name != "session"})
        return [b""]

    assert read(visit(guarded(app)).token) == {"a": "ours"}


@pytest.mark.parametrize("taken", [{}, None, "text", Session(), SessionManager(OTHER_KEY).open({})])
def test_a_key_that_something_else_has_taken_is_told_at_the_first_request(taken):
    environ = environ_of()
    environ["session"] = taken
    with pytest.raises(ConfigurationError, match="environ_key"):
        SessionMiddleware(page(), secret_key=KEY)(environ, lambda *_: None)


# Several middlewares


def test_of_two_middlewares_with_one_manager_the_outer_one_serves(caplog):
    sessions = SessionManager(KEY)
    inner = SessionMiddleware(page(count), sessions=sessions)
    answer = visit(between_validators(lambda app: SessionMiddleware(app, sessions=sessions), inner))
    assert read(answer.token) == {"visits": 1}
    assert answer.vary == ["Cookie"]
    assert not caplog.records


def test_two_middlewares_with_one_environ_key_and_two_managers_are_told():
    inner = SessionMiddleware(page(count), secret_key=KEY)
    with pytest.raises(ConfigurationError, match=r"wrapped in a SessionMiddleware already; .*another environ_key"):
        SessionMiddleware(inner, secret_key=OTHER_KEY, cookie_name="other")


def test_two_such_middlewares_with_another_one_between_them_are_told_at_the_first_request():
    inner = SessionMiddleware(page(count), secret_key=KEY)
    outer = SessionMiddleware(lambda *request: inner(*request), secret_key=OTHER_KEY, cookie_name="other")
    with pytest.raises(ConfigurationError, match="another SessionMiddleware is around this one"):
        Server(outer).run()


def test_two_middlewares_live_side_by_side(caplog):
    def app(environ, start_response):
        count(environ["one"])
        environ["two"]["b"] = "b"
        start_response("200 OK", [PLAIN])
        return [b""]

    one = {"secret_key": KEY, "environ_key": "one", "cookie_name": "one", "salt": "one"}
    two = {"secret_key": KEY, "environ_key": "two", "cookie_name": "two", "salt": "two"}
    stack = between_validators(
        lambda inner: SessionMiddleware(SessionMiddleware(inner, **two), **one), app, ["one", "two"]
    )
    visitor = Visitor(stack)
    visitor.get()
    answer = visitor.get()
    assert [cookie.partition("=")[0] for cookie in answer.cookies] == ["two", "one"]
    assert answer.vary == ["Cookie"]
    assert read(visitor.jar["one"], cookie_name="one", salt="one") == {"visits": 2}
    assert read(visitor.jar["two"], cookie_name="two", salt="two") == {"b": "b"}
    assert not caplog.records


def test_one_middleware_in_two_stacks_gives_each_request_one_session():
    sessions = SessionManager(KEY)
    app = SessionMiddleware(page(count), sessions=sessions)
    assert read(visit(SessionMiddleware(app, sessions=sessions)).token) == {"visits": 1}
    assert read(visit(app).token) == {"visits": 1}


def test_a_request_within_the_request_shares_its_session():
    """A dispatcher that asks its own stack for a part of the page, with a copy of its environ."""

    def app(environ, start_response):
        count(environ["session"])
        if environ["PATH_INFO"] == "/part":
            start_response("200 OK", [PLAIN])
            return [b"part"]
        part = Server(stack, dict(environ, PATH_INFO="/part")).run()
        assert part.headers == [PLAIN]
        start_response("200 OK", [PLAIN])
        return [part.body]

    stack = SessionMiddleware(app, secret_key=KEY)
    answer = visit(stack)
    assert (answer.body, read(answer.token)) == (b"part", {"visits": 2})


@pytest.mark.parametrize("store", [None, "memory://"])
def test_a_request_leaves_nothing_to_the_garbage_collector(store):
    app = SessionMiddleware(page(count), secret_key=KEY, store=store)
    visitor = Visitor(app)
    visitor.get()
    gc.collect()
    before = sessions_alive()
    gc.disable()
    try:
        visitor.get()
        assert sessions_alive() == before
    finally:
        gc.enable()


def sessions_alive():
    # By the type: isinstance() asks an object for its __class__, and Django's lazy settings then look for a project.
    return len([found for found in gc.get_objects() if issubclass(type(found), Session)])
