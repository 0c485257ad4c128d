"""Log-out: ``clear()`` and ``invalidate()`` end a session, and nothing brings it back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from session_mw import MemoryStore, Session, SessionManager, StoreError
from support.stores import Recording
from support.tokens import KEY, OTHER_KEY, token_of
from support.visitors import Client, Visitor, stored
from support.wsgi import (
    ATTRIBUTES,
    DELETED,
    DELETION,
    PLAIN,
    SECURE_ATTRIBUTES,
    VARY,
    added,
    answer_to,
    guarded,
    page,
    visit,
)

ENDINGS = {
    "clear": lambda s: s.clear(),
    "invalidate": lambda s: s.invalidate(),
    "written and cleared": lambda s: (s.update(b=2), s.clear()),
    "read and invalidated": lambda s: (dict(s), s.invalidate()),
    "ended twice": lambda s: (s.invalidate(), s.clear()),
    "new id, then ended": lambda s: (s.regenerate_id(), s.invalidate()),
}
each_ending = pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)


# The cookie is deleted


@each_ending
def test_log_out_deletes_the_cookie_and_varies(any_client, end):
    answer = visit(guarded(page(end), sessions=any_client.sessions), cookie=any_client.cookie)
    assert answer.headers == [PLAIN, VARY, DELETION]


@each_ending
def test_log_out_over_https_deletes_the_secure_cookie(any_client, end):
    answer = visit(guarded(page(end), sessions=any_client.sessions), cookie=any_client.cookie, https=True)
    assert added(answer) == [
        VARY,
        ("Set-Cookie", f"{DELETED}; {SECURE_ATTRIBUTES}; Partitioned"),
        ("Set-Cookie", f"{DELETED}; {SECURE_ATTRIBUTES}"),
    ]


@each_ending
def test_a_session_that_was_ended_is_empty_modified_and_deleted_once(any_client, end):
    session = any_client.open()
    end(session)
    assert session.modified
    assert session == {}
    assert any_client.sessions.commit(session) == [VARY, DELETION]
    assert any_client.sessions.commit(session) == [VARY]


@pytest.mark.parametrize("where", ["cookie", "store"])
def test_a_deletion_has_every_attribute_of_the_cookie(where):
    settings = {
        "cookie_domain": "example.com",
        "cookie_path": "/a",
        "cookie_samesite": "None",
        "cookie_partitioned": True,
        "store": MemoryStore() if where == "store" else None,
        "secret_key": KEY,
    }
    attributes = "Domain=example.com; Path=/a; Secure; HttpOnly; SameSite=None; Partitioned"
    begun = visit(guarded(page(lambda s: s.update(a=1)), **settings), "/a")
    assert added(begun) == [VARY, ("Set-Cookie", f"session={begun.token}; {attributes}")]
    ended = visit(guarded(page(lambda s: s.clear()), **settings), "/a", f"session={begun.token}")
    assert added(ended)[0] == VARY
    assert {name for name, _ in added(ended)[1:]} == {"Set-Cookie"}
    others = ("Path=/a", "Domain=example.com; Path=/a/", "Domain=example.com; Path=/", "Path=/", "Path=/a/")
    rest = "; Secure; HttpOnly; SameSite=None; Partitioned"
    assert sorted(ended.cookies[:-1]) == sorted(f"{DELETED}; {scope}{rest}" for scope in others)
    assert ended.cookies[-1] == f"{DELETED}; {attributes}"


@pytest.mark.parametrize("empty", [lambda s: s.pop("a"), lambda s: s.__delitem__("a"), lambda s: s.popitem()])
def test_a_cookie_session_that_is_emptied_key_by_key_is_deleted(empty):
    assert answer_to(empty, token_of({"a": 1})) == [VARY, DELETION]


def test_a_stored_session_that_is_emptied_key_by_key_goes_on_empty(client):
    token, key = client.token, client.key
    assert client.do(lambda s: (s.pop("a"), s.pop("cart"))) == "kept"
    assert (client.data(), client.open().new) == ({}, False)
    assert client.do(lambda s: s.update(b=1)) == "kept"
    assert (client.data(), client.token, client.key) == ({"b": 1}, token, key)


@pytest.mark.parametrize("cookie", [None, "other=1", "xsession=1; mysession"])
@each_ending
def test_where_no_cookie_of_the_name_came_nothing_is_deleted(any_sessions, cookie, end):
    answer = visit(guarded(page(end), sessions=any_sessions), cookie=cookie)
    assert answer.headers == [PLAIN, VARY]


@pytest.mark.parametrize(
    "token",
    ["", "junk", token_of({"a": 1}, OTHER_KEY), token_of({"a": 1}, salt="other"), "A" * 43],
    ids=["empty", "junk", "another key", "another salt", "unknown id"],
)
@each_ending
def test_a_log_out_deletes_the_cookie_that_came_though_it_was_not_accepted(any_sessions, token, end):
    answer = visit(guarded(page(end), sessions=any_sessions), cookie=f"session={token}")
    assert answer.headers == [PLAIN, VARY, DELETION]


# What follows


@each_ending
def test_what_is_written_after_a_log_out_begins_another_session(any_client, end):
    was = any_client.other()
    assert any_client.do(lambda s: (end(s), s.update(b=1))) == "set"
    assert any_client.data() == {"b": 1}
    if any_client.sessions.store is not None:
        assert any_client.token != was.token
        assert was.data() == {}


def test_a_cookie_session_that_was_emptied_and_filled_again_is_sent(now):
    token = token_of({"a": 1})
    now.advance(1)
    sent = f"session={token_of({'a': 1})}; {ATTRIBUTES}"
    assert answer_to(lambda s: (s.clear(), s.update(a=1)), token) == [VARY, ("Set-Cookie", sent)]


@each_ending
def test_after_a_deletion_was_committed_a_session_begins_anew(any_client, end):
    session = any_client.open()
    end(session)
    assert any_client.commit(session) == "deleted"
    session["b"] = 1
    assert any_client.commit(session) == "set"
    assert any_client.data() == {"b": 1}


def test_an_ended_session_that_the_app_fills_again_has_a_new_id(sessions):
    visitor = Visitor(guarded(page(lambda s: (s.invalidate(), s.update(a=1))), sessions=sessions))
    visitor.get()
    first = visitor.jar["session"]
    visitor.get()
    assert visitor.jar["session"] != first


@pytest.mark.parametrize("end", [Session.clear, Session.invalidate])
def test_log_out_forgets_the_principal(any_sessions, end):
    client = Client(any_sessions)
    client.do(lambda s: (setattr(s, "principal", "42"), s.update(a=1)))
    session = client.open()
    assert session.principal == "42"
    end(session)
    assert session.principal is None
    session["b"] = 1
    client.commit(session)
    assert (client.open().principal, client.data()) == (None, {"b": 1})


def test_a_log_out_leaves_the_list_of_the_principal(sessions, inner):
    if not hasattr(inner, "keys_of"):
        pytest.skip("no index")
    devices = [Client(sessions) for _ in range(2)]
    for device in devices:
        device.do(lambda s: setattr(s, "principal", "42"))
    devices[0].do(lambda s: s.invalidate())
    assert [one.id for one in sessions.sessions_of("42")] == [devices[1].key]


# Another request is under way

LEAVING = {
    "invalidate": lambda s: s.invalidate(),
    "clear": lambda s: s.clear(),
    "regenerate_id": lambda s: s.regenerate_id(),
}
WORKING = {
    "written": lambda s: s.update(b=1),
    "changed inside": lambda s: s["cart"].append("pear"),
    "modified set": lambda s: setattr(s, "modified", True),
    "new id": lambda s: s.regenerate_id(),
    "emptied key by key": lambda s: (s.pop("a"), s.pop("cart")),
}


@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING)
@pytest.mark.parametrize("work", WORKING.values(), ids=WORKING)
def test_a_log_out_during_a_slow_request_is_not_undone(client, sessions, store, leave, work):
    slow = Client(sessions, client.token)
    session = slow.open()
    work(session)
    old = client.key
    client.do(leave)
    store.calls.clear()
    left = store.inner.load(old)
    assert slow.commit(session) == "kept"
    assert store.inner.load(old) == left
    assert (slow.data(), slow.other().open().new) == ({}, True)


@pytest.mark.parametrize("work", WORKING.values(), ids=WORKING)
def test_a_request_whose_session_was_ended_saves_nothing_at_a_second_commit_either(client, sessions, store, work):
    slow = Client(sessions, client.token)
    session = slow.open()
    assert len(session) == 2
    work(session)
    client.do(lambda s: s.invalidate())
    slow.commit(session)
    session["c"] = 1
    store.calls.clear()
    assert slow.commit(session) == "kept"
    assert "create" not in store.calls


def test_a_slow_log_in_leaves_no_record_behind_where_the_session_was_ended(client, sessions, inner):
    slow = Client(sessions, client.token)
    session = slow.open()
    session.principal = "42"
    session.regenerate_id()
    client.do(lambda s: s.invalidate())
    assert slow.commit(session) == "kept"
    if hasattr(inner, "keys_of"):
        assert list(inner.keys_of("42")) == []


def test_a_log_out_between_the_load_and_the_update_wins(client, store):
    key = client.key
    store.once("update", lambda: store.inner.delete(key))
    assert client.do(lambda s: s.update(b=1)) == "kept"
    assert store.inner.load(key) is None


def test_a_slow_request_does_not_undo_a_log_out_that_comes_while_it_runs(client):
    def slow(session):
        shown = session["a"]
        session["b"] = 2
        visit(guarded(page(lambda s: s.invalidate()), sessions=client.sessions), cookie=client.cookie)
        return shown

    answer = visit(guarded(page(slow), sessions=client.sessions), cookie=client.cookie)
    assert (answer.body, answer.headers) == (b"1", [PLAIN, VARY])
    assert client.data() == {}


@pytest.mark.heavy
def test_a_log_out_wins_against_every_request_in_flight(shared_url: str) -> None:
    sessions = SessionManager(store=shared_url)
    for _ in range(15):
        client = Client(sessions)
        client.do(lambda s: s.update(begun=True))
        in_flight = [client.open() for _ in range(4)]
        for n, session in enumerate(in_flight):
            session[f"k{n}"] = n
        leaving = client.open()
        leaving.invalidate()
        commits: list[Callable[[], list[tuple[str, str]]]] = [
            lambda session=session: sessions.commit(session)  # type: ignore[misc]
            for session in (*in_flight[:2], leaving, *in_flight[2:])
        ]
        with ThreadPoolExecutor(5) as pool:
            headers = [future.result() for future in [pool.submit(commit) for commit in commits]]
        assert client.open().new
        assert [headers[n] for n in (0, 1, 3, 4)] == [[VARY]] * 4
    sessions.close()


# While a page streams


def ended_late(do, store):
    """A visitor whose session an app ends between two parts of its answer."""

    def stream(session):
        yield b"part"
        do(session)
        yield b"end"

    def app(environ, start_response):
        environ["session"].setdefault("cart", [])
        start_response("200 OK", [PLAIN])
        return stream(environ["session"])

    visitor = Visitor(guarded(page(lambda s: s.update(cart=["pear"])), store=store))
    visitor.get()
    visitor.app = guarded(app, store=store)
    return visitor


@pytest.mark.parametrize(
    "do", [lambda s: s.invalidate(), lambda s: s.clear(), lambda s: (s.invalidate(), s.update(a=1))]
)
def test_a_late_log_out_ends_the_session_and_leaves_no_record_that_nobody_knows(do):
    store = MemoryStore()
    visitor = ended_late(do, store)
    assert stored(store, visitor) == {"cart": ["pear"]}
    assert visitor.get().cookies == []
    assert stored(store, visitor) == {}
    assert repr(store) == "<MemoryStore of 0 records>"


# The store fails


@pytest.mark.parametrize("end", [Session.clear, Session.invalidate])
def test_a_log_out_that_the_store_could_not_do_is_an_error_and_can_be_done_again(client, store: Recording, end):
    session = client.open()
    end(session)
    store.fail("delete")
    with pytest.raises(StoreError, match="the store is down"):
        client.commit(session)
    store.before.clear()
    assert client.other().data() == {"a": 1, "cart": ["apple"]}
    key = client.key
    assert client.commit(session) == "deleted"
    assert store.inner.load(key) is None
