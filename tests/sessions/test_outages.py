"""A store that does not answer: a StoreError, never an empty session, and nothing promised to the visitor."""

from __future__ import annotations

import json
import logging

import pytest

from session_mw import SessionManager, StoreError
from support.stores import METHODS, unreachable
from support.tokens import KEY
from support.visitors import Client
from support.wsgi import PLAIN, Server, environ_of, guarded, page, visit

UNKNOWN = "session=" + "A" * 43


# Reading


def test_a_store_that_is_down_is_an_error_at_the_first_touch_and_at_every_other(client, store):
    store.fail("load")
    session = client.open()
    for touch in (len, dict, lambda s: s.update(a=1), lambda s: s.clear(), lambda s: s.invalidate()):
        with pytest.raises(StoreError):
            touch(session)
    assert client.commit(session) == "kept"
    store.before.clear()
    assert client.data() == {"a": 1, "cart": ["apple"]}


def test_a_failed_load_raises_at_every_touch_of_that_request_and_never_gives_an_empty_session(client, store):
    session = client.open()
    store.fail("load")
    for touch in (len, json.dumps, dict, lambda s: s.get("a"), lambda s: s.update(b=1)):
        with pytest.raises(StoreError, match="the store is down"):
            touch(session)
        assert session.accessed
    store.before.clear()
    assert client.open() == {"a": 1, "cart": ["apple"]}


def test_a_store_that_failed_is_not_asked_again_in_the_same_request(client, store):
    session = client.open()
    store.fail("load")
    with pytest.raises(StoreError, match="the store is down"):
        session.get("a")
    store.before.clear()
    store.calls.clear()
    assert repr(session) == "<session that could not be loaded: the store is down>"
    with pytest.raises(StoreError, match="the store is down"):
        session["a"] = 2
    assert store.calls == []
    assert client.data() == {"a": 1, "cart": ["apple"]}


def test_a_repr_of_a_session_whose_store_is_down_says_so_and_raises_nothing(client, store):
    session = client.open()
    store.fail("load")
    assert "could not be loaded: the store is down" in repr(session)


def test_a_store_that_is_down_is_an_error_and_nothing_is_sent():
    server = Server(guarded(page(dict), store=unreachable()), environ_of(cookie=UNKNOWN))
    with pytest.raises(StoreError):
        server.run()
    assert server.starts == []


def test_an_app_that_touches_no_session_runs_on_without_the_store(client, store):
    store.fail(*METHODS)
    answer = visit(guarded(page(), sessions=client.sessions), cookie=f"session={client.token}")
    assert (answer.status, answer.cookies) == ("200 OK", [])


# Saving


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        (lambda s: s.update(b=1), "update"),
        (lambda s: s.clear(), "delete"),
        (lambda s: s.invalidate(), "delete"),
        (lambda s: s.regenerate_id(), "create"),
        (lambda s: s.regenerate_id(), "update"),
        (lambda s: (s.clear(), s.update(b=1)), "create"),
    ],
)
def test_a_save_that_fails_sends_no_cookie(client, store, change, failing):
    store.fail(failing)
    with pytest.raises(StoreError):
        visit(guarded(page(change), sessions=client.sessions), cookie=f"session={client.token}")


@pytest.mark.parametrize("change", [lambda s: s.update(b=1), lambda s: s.regenerate_id(), lambda s: s.invalidate()])
@pytest.mark.parametrize("failing", ["update", "create", "delete"])
def test_a_failed_commit_can_be_made_again(client, store, change, failing):
    session = client.open()
    change(session)
    store.fail(failing)
    try:
        client.commit(session)
    except StoreError:
        store.before.clear()
        client.commit(session)
    store.before.clear()
    assert client.data() == session.copy()


def test_a_new_session_that_cannot_be_saved_is_announced_to_nobody(sessions, store):
    store.fail("create")
    with pytest.raises(StoreError):
        visit(guarded(page(lambda s: s.update(a=1)), sessions=sessions))


# A 503


def test_an_outer_middleware_can_make_an_outage_a_503():
    def outer(environ, start_response):
        try:
            return inner(environ, start_response)
        except StoreError:
            start_response("503 Service Unavailable", [PLAIN])
            return [b"later"]

    inner = guarded(page(lambda s: s.update(a=1)), store=unreachable())
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

    answer = visit(guarded(app, store=unreachable()), cookie=UNKNOWN)
    assert (answer.status, answer.headers) == ("503 Service Unavailable", [PLAIN, ("Vary", "Cookie")])


# What may fail


def test_a_touch_that_fails_is_a_warning(client, store, clock, caplog):
    clock.advance(2 * 86400)
    store.fail("touch")
    session = client.open()
    assert session["a"] == 1
    assert client.commit(session) == "kept"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert client.token not in record.getMessage()


def test_a_read_record_that_cannot_be_moved_to_the_current_key_is_a_warning(store, caplog):
    pytest.importorskip("cryptography")
    rotated = {"secret_key": KEY[::-1], "secret_key_fallbacks": [KEY], "store": store, "store_encryption": True}
    before = Client(SessionManager(KEY, store=store, store_encryption=True))
    before.do(lambda s: s.update(a=1))
    client = Client(SessionManager(**rotated), before.token)
    store.fail("update")
    session = client.open()
    assert session["a"] == 1
    assert client.commit(session) == "kept"
    assert "could not be written with the current key" in caplog.text
    store.before.clear()
    assert client.data() == {"a": 1}
