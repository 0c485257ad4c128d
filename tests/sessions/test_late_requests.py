"""Requests with an id that ``regenerate_id()`` has just ended: they neither replace nor delete the new cookie."""

from __future__ import annotations

import logging

import pytest

from session_mw import MemoryStore, SessionManager, open_store
from support.stores import Recording
from support.tokens import KEY
from support.visitors import Client
from support.wsgi import ATTRIBUTES, PLAIN, VARY, added, guarded, page, visit

WAYS = {
    "written": lambda s: s.update(b=1),
    "written inside": lambda s: s.setdefault("cart", []).append("pear"),
    "modified set": lambda s: (s.update(b=1), setattr(s, "modified", True)),
    "principal set": lambda s: setattr(s, "principal", "42"),
    "lifetime and label set": lambda s: (setattr(s, "lifetime", 60), setattr(s, "label", "Firefox")),
    "permanent set": lambda s: setattr(s, "permanent", True),
    "cleared": lambda s: s.clear(),
    "invalidated": lambda s: s.invalidate(),
    "cleared and written": lambda s: (s.clear(), s.update(b=1)),
    "invalidated and written": lambda s: (s.invalidate(), s.update(b=1)),
    "written and cleared": lambda s: (s.update(b=1), s.clear()),
}
each_way = pytest.mark.parametrize("do", WAYS.values(), ids=WAYS)

DROPPED = "a session got a new id while this request was under way; what it changed is dropped"


class WithoutIndex:
    """A store that lists nothing, as memcached's."""

    def __init__(self):
        store = MemoryStore()
        for name in ("load", "create", "update", "touch", "delete", "close"):
            setattr(self, name, getattr(store, name))
        self.records = store


@pytest.fixture(params=["memory", "sqlite", "file", "without index"])
def inner(request, tmp_path):
    if request.param == "without index":
        yield WithoutIndex()
        return
    urls = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/sessions.db", "file": f"file://{tmp_path}/sessions"}
    store = open_store(urls[request.param])
    yield store
    store.close()


@pytest.fixture
def late(client):
    """A request of before the browser knew the new id."""
    old = client.other()
    client.do(lambda s: (s.regenerate_id(), s.update(user=42)))
    assert client.token != old.token
    client.sessions.store.calls.clear()
    return old


# Nothing of it is saved or sent


@each_way
def test_what_a_late_request_does_is_neither_saved_nor_sent(client, late, store, do, caplog):
    caplog.set_level(logging.INFO, "session_mw")
    answer = visit(guarded(page(do), sessions=client.sessions), cookie=late.cookie)
    assert answer.headers == [PLAIN, VARY]
    assert set(store.calls) == {"load"}
    assert client.data() == {"a": 1, "cart": ["apple"], "user": 42}
    (line,) = [record for record in caplog.records if record.getMessage() == DROPPED]
    assert line.levelno == logging.INFO
    assert max(record.levelno for record in caplog.records) == logging.INFO


@each_way
def test_over_https_on_a_host_with_parents_a_late_request_sends_no_deletion_either(client, late, do):
    app = guarded(page(do), sessions=client.sessions)
    answer = visit(app, "/a/b", late.cookie, https=True, HTTP_HOST="www.example.com")
    assert answer.headers == [PLAIN, VARY]


def test_a_late_request_sees_an_empty_session_that_nobody_has(client, late):
    session = late.open()
    assert (session.copy(), session.new, session.id, session.principal) == ({}, True, None, None)


def test_a_late_request_that_only_reads_says_nothing_of_changes(client, late, caplog):
    caplog.set_level(logging.INFO, "session_mw")
    session = late.open()
    assert session.get("user") is None
    assert client.sessions.commit(session) == [VARY]
    assert DROPPED not in [record.getMessage() for record in caplog.records]


def test_a_late_request_that_does_not_touch_its_session_asks_no_store(client, late, store):
    assert visit(guarded(page(), sessions=client.sessions), cookie=late.cookie).headers == [PLAIN]
    assert store.calls == []


def test_a_late_request_that_commits_twice_says_it_once(client, late, caplog):
    caplog.set_level(logging.INFO, "session_mw")
    session = late.open()
    for n in range(3):
        session[f"b{n}"] = n
        assert late.commit(session) == "kept"
    assert [record.getMessage() for record in caplog.records].count(DROPPED) == 1
    assert client.data() == {"a": 1, "cart": ["apple"], "user": 42}


def test_what_a_late_request_writes_while_its_page_streams_is_not_saved(client, late, store):
    def app(environ, start_response):
        start_response("200 OK", [PLAIN])

        def stream():
            yield b"part"
            environ["session"]["b"] = 1
            yield b"end"

        return stream()

    assert visit(guarded(app, sessions=client.sessions), cookie=late.cookie).cookies == []
    assert set(store.calls) == {"load"}


def test_under_store_encryption_it_is_the_same(tmp_path):
    pytest.importorskip("cryptography")
    client = Client(SessionManager(KEY, store=f"sqlite:///{tmp_path}/s.db", store_encryption=True))
    client.do(lambda s: (s.update(a=1), setattr(s, "principal", "42")))
    old = client.other()
    client.do(lambda s: s.regenerate_id())
    assert old.do(lambda s: s.update(b=1)) == "kept"
    assert client.data() == {"a": 1}
    assert [one.id for one in client.sessions.sessions_of("42")] == [client.key]
    client.sessions.close()


# Unless it changes the id itself

BEGINNINGS = {
    "new id, then written": lambda s: (s.regenerate_id(), s.update(user=7)),
    "written, then new id": lambda s: (s.update(user=7), s.regenerate_id()),
    "cleared, then new id": lambda s: (s.update(x=1), s.clear(), s.regenerate_id(), s.update(user=7)),
    "invalidated, then new id": lambda s: (s.invalidate(), s.update(user=7), s.regenerate_id()),
    "new id, then cleared": lambda s: (s.regenerate_id(), s.update(x=1), s.clear(), s.update(user=7)),
}


@pytest.mark.parametrize("do", BEGINNINGS.values(), ids=BEGINNINGS)
def test_a_late_request_that_regenerates_its_id_has_a_session_of_its_own(client, late, do, caplog):
    caplog.set_level(logging.INFO, "session_mw")
    answer = visit(guarded(page(do), sessions=client.sessions), "/a", late.cookie, HTTP_HOST="www.example.com")
    assert added(answer) == [VARY, ("Set-Cookie", f"session={answer.token}; {ATTRIBUTES}")]
    own = Client(client.sessions, answer.token)
    assert own.token not in (client.token, late.token)
    assert (own.data(), own.open().id) == ({"user": 7}, own.key)
    assert client.data() == {"a": 1, "cart": ["apple"], "user": 42}
    assert DROPPED not in [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    "do", [lambda s: s.regenerate_id(), lambda s: (s.regenerate_id(), s.update(a=1), s.invalidate())]
)
def test_a_late_request_that_regenerates_its_id_and_leaves_nothing_sends_nothing(client, late, store, do):
    assert visit(guarded(page(do), sessions=client.sessions), cookie=late.cookie).headers == [PLAIN, VARY]
    assert set(store.calls) == {"load"}


def test_a_session_that_a_late_request_began_is_saved_and_ended_like_any_other(client, late):
    session = late.open()
    session.regenerate_id()
    session["user"] = 7
    assert late.commit(session) == "set"
    session["b"] = 1
    assert late.commit(session) == "kept"
    assert late.data() == {"user": 7, "b": 1}
    session.invalidate()
    assert late.commit(session) == "deleted"


# For how long


def test_a_request_is_late_for_a_minute(clock, client):
    old = client.other()
    client.do(lambda s: s.regenerate_id())
    clock.advance(59)
    assert old.other().do(lambda s: s.update(b=1)) == "kept"
    clock.advance(1)
    assert old.other().do(lambda s: s.update(b=1)) == "set"


def test_a_request_that_read_the_session_before_does_not_make_it_longer(clock, client, store):
    """It moves the end of what it read, and what is left of the old record would count for days."""
    old = client.other()
    slow = client.open()
    clock.advance(2 * 86400)
    reading = old.open()
    assert (reading["a"], slow["a"]) == (1, 1)
    client.do(lambda s: s.regenerate_id())
    assert old.commit(reading) == "kept"
    assert "touch" in store.calls
    clock.advance(59)
    assert old.other().do(lambda s: s.update(b=1)) == "kept"
    clock.advance(1)
    assert old.data() == {}
    assert old.do(lambda s: s.update(b=1)) == "set"
    assert old.data() == {"b": 1}


def test_an_id_that_a_log_out_ended_is_unknown_at_once(client):
    old = client.other()
    client.do(lambda s: s.invalidate())
    assert old.do(lambda s: s.update(b=1)) == "set"


def test_beside_the_new_cookie_the_old_one_does_not_count(client, late):
    for header in (f"{late.cookie}; {client.cookie}", f"{client.cookie}; {late.cookie}"):
        session = client.sessions.open({"HTTP_COOKIE": header})
        assert (session["user"], session.new) == (42, False)
    session["b"] = 1
    assert client.sessions.commit(session) == [VARY]
    assert client.data() == {"a": 1, "cart": ["apple"], "user": 42, "b": 1}


@pytest.mark.parametrize("other", ["A" * 43, "junk"])
def test_beside_cookies_that_nobody_knows_a_request_is_late_too(client, late, other):
    session = client.sessions.open({"HTTP_COOKIE": f"session={other}; {late.cookie}"})
    session.clear()
    session["b"] = 1
    assert client.sessions.commit(session) == [VARY]


def test_a_chain_of_new_ids_makes_each_of_the_former_late(client):
    former = []
    for _ in range(3):
        former.append(client.other())
        client.do(lambda s: s.regenerate_id())
    assert [one.do(lambda s: s.update(b=1)) for one in former] == ["kept"] * 3
    assert client.data() == {"a": 1, "cart": ["apple"]}


def test_ending_the_old_id_from_elsewhere_leaves_the_new_one(client, late, sessions):
    sessions.end(late.key)
    assert client.data()["user"] == 42


# Lists


@pytest.fixture
def known(sessions):
    if not hasattr(sessions.store.inner, "keys_of"):
        pytest.skip("the store has no index")
    known = Client(sessions)
    known.do(lambda s: (s.update(a=1), setattr(s, "principal", "42")))
    return known


def test_what_is_left_of_an_old_id_is_in_no_list_and_not_counted(known, sessions):
    old = known.other()
    for _ in range(3):
        known.do(lambda s: s.regenerate_id())
    assert [one.id for one in sessions.sessions_of("42")] == [known.key]
    assert sessions.end_all("42") == 1
    assert (known.data(), sessions.end_all("42"), sessions.sessions_of("42")) == ({}, 0, [])
    assert old.do(lambda s: s.update(b=1)) == "kept"


def test_a_session_that_is_kept_may_have_a_new_id_pending(known, sessions):
    other = Client(sessions)
    other.do(lambda s: setattr(s, "principal", "42"))
    session = known.open()
    session.regenerate_id()
    assert session.id is None
    assert sessions.end_all("42", keep=session) == 1
    assert known.commit(session) == "set"
    assert (known.data(), other.data()) == ({"a": 1}, {})
    assert [one.id for one in sessions.sessions_of("42")] == [known.key] == [session.id]


def test_a_session_that_is_kept_may_get_a_new_id_later(known, sessions):
    session = known.open()
    assert sessions.end_all("42", keep=session) == 0
    session.regenerate_id()
    assert known.commit(session) == "set"
    assert known.data() == {"a": 1}


def test_what_a_late_request_keeps_is_nothing(known, sessions):
    old = known.other()
    known.do(lambda s: s.regenerate_id())
    assert sessions.end_all("42", keep=old.open()) == 1
    assert known.data() == {}


def test_end_all_finds_a_session_that_gets_its_new_id_meanwhile(known, sessions, store: Recording):
    session = known.open()
    session.regenerate_id()
    store.once("keys_of", lambda: store.once("load", lambda: known.commit(session)))
    assert sessions.end_all("42") == 1
    assert (known.data(), sessions.sessions_of("42")) == ({}, [])


# session.id


@pytest.mark.parametrize("do", [lambda s: s.regenerate_id(), lambda s: s.invalidate(), lambda s: s.clear()])
def test_the_id_is_unknown_from_the_change_until_it_is_saved(client, do):
    session = client.open()
    assert session.id == client.key
    do(session)
    assert session.id is None
    session["b"] = 1
    assert session.id is None
    client.commit(session)
    assert session.id == client.key


def test_the_id_is_unknown_before_the_first_save_and_in_a_cookie_always(cookie_sessions, sessions):
    client = Client(sessions)
    session = client.open()
    session["a"] = 1
    assert session.id is None
    client.commit(session)
    assert session.id == client.key
    in_cookie = Client(cookie_sessions)
    in_cookie.do(lambda s: s.update(a=1))
    assert in_cookie.open().id is None


def test_a_new_id_that_comes_too_late_for_a_cookie_leaves_the_old_one(client):
    seen = []

    def app(environ, start_response):
        start_response("200 OK", [PLAIN])
        session = environ["session"]

        def stream():
            yield session["cart"][0].encode()
            session.regenerate_id()
            session["b"] = 1
            yield b"end"

        seen.append(session)
        return stream()

    assert visit(guarded(app, sessions=client.sessions), cookie=client.cookie).cookies == []
    assert seen[0].id == client.key
    assert client.data() == {"a": 1, "cart": ["apple"], "b": 1}
