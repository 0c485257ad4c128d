"""Sessions in a store: what a request asks of it, and what parallel requests, log-outs and outages leave."""

from __future__ import annotations

import hashlib
import itertools
import logging
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from session_mw import (
    ConfigurationError,
    FileStore,
    MemoryStore,
    NotSerializable,
    Session,
    SessionManager,
    SQLiteStore,
    StoreError,
)
from session_mw.backends import contention
from session_mw.csrf import csrf_token
from session_mw.stores.fork import PerProcess
from support.wsgi import KEY, Visitor, guarded, page, visit

DAY = 86400
PUBLIC = ("Cache-Control", "public")
METHODS = ("load", "create", "update", "touch", "delete")


class Recording:
    """Notes each call to a store, and can fail or be overtaken in it."""

    def __init__(self, store):
        self.inner = store
        self.calls = []
        self.before = {}

    def fail(self, *names):
        self.before.update(dict.fromkeys(names, down))

    def once(self, name, action):
        def act():
            del self.before[name]
            action()

        self.before[name] = act


def recording(store):
    """A recording store with an index where the store has one."""
    passed = {name: passing(name) for name in ("close", "keys_of") if hasattr(store, name)}
    noted = {name: noting(name) for name in METHODS}
    return type("RecordingStore", (Recording,), {**passed, **noted})(store)


def passing(name):
    return lambda self, *args: getattr(self.inner, name)(*args)


def noting(name):
    def call(self, *args, **kwargs):
        self.calls.append(name)
        if action := self.before.get(name):
            action()
        return getattr(self.inner, name)(*args, **kwargs)

    return call


def down():
    raise StoreError("the store is down")


@pytest.fixture(params=["memory", "sqlite", "file"])
def inner(request, tmp_path):
    if request.param == "memory":
        store = MemoryStore()
    elif request.param == "sqlite":
        store = SQLiteStore(tmp_path / "sessions.db")
    else:
        store = FileStore(tmp_path / "sessions")
    yield store
    store.close()


@pytest.fixture
def store(inner):
    return recording(inner)


@pytest.fixture
def sessions(store):
    return SessionManager(KEY, store=store, lifetime=10 * DAY)


class Client:
    """Sends requests to a manager and keeps the token."""

    def __init__(self, sessions, token=""):
        self.sessions, self.token = sessions, token

    def open(self) -> Session:
        return self.sessions.open({"HTTP_COOKIE": f"session={self.token}"} if self.token else {})

    def commit(self, session):
        """Returns what became of the cookie: "kept", "set" or "deleted"."""
        cookies = [value for name, value in self.sessions.commit(session) if name == "Set-Cookie"]
        if not cookies:
            return "kept"
        value = cookies[-1].partition(";")[0].partition("=")[2]
        self.token = value
        return "set" if value else "deleted"

    def do(self, change=lambda session: None):
        session = self.open()
        change(session)
        return self.commit(session)

    def data(self):
        return self.open().copy()

    @property
    def key(self):
        return hashlib.sha256(self.token.encode()).hexdigest()


@pytest.fixture
def client(sessions):
    """One who has the session {"a": 1, "cart": ["apple"]}."""
    client = Client(sessions)
    client.do(lambda s: s.update(a=1, cart=["apple"]))
    sessions.store.calls.clear()
    return client


class Proxy:
    """As a wrapper for metrics or tracing makes it: everything is the store's."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)


def test_a_store_behind_a_proxy_is_a_store():
    """From Python 3.12 on isinstance() of a protocol does not see what __getattr__ gives."""
    sessions = SessionManager(KEY, store=Proxy(MemoryStore()))
    client = Client(sessions)
    client.do(lambda s: setattr(s, "principal", "42"))
    assert [one.id for one in sessions.sessions_of("42")] == [client.key]


# What a request asks of the store

CALLS = {
    "untouched": (lambda s: None, []),
    "asked whether it was touched": (lambda s: (s.accessed, s.modified), []),
    "read": (lambda s: s["a"], ["load"]),
    "read several times": (lambda s: (s["a"], list(s), s["cart"]), ["load"]),
    "written": (lambda s: s.update(b=1), ["load", "update"]),
    "changed inside": (lambda s: s["cart"].append("pear"), ["load", "update"]),
    "written as it was": (lambda s: s.update(a=1), ["load"]),
    "modified set by hand": (lambda s: setattr(s, "modified", True), ["load", "update"]),
    "changed and changed back": (lambda s: (s["cart"].append(1), s["cart"].pop()), ["load"]),
    "cleared": (lambda s: s.clear(), ["load", "delete"]),
    "invalidated": (lambda s: s.invalidate(), ["load", "delete"]),
    "cleared and filled": (lambda s: (s.clear(), s.update(b=1)), ["load", "delete", "create"]),
    "emptied key by key": (lambda s: (s.pop("a"), s.pop("cart")), ["load", "update"]),
    "new id": (lambda s: s.regenerate_id(), ["load", "create", "update", "delete"]),
    "new id twice": (lambda s: (s.regenerate_id(), s.regenerate_id()), ["load", "create", "update", "delete"]),
    "new id, then ended": (lambda s: (s.regenerate_id(), s.invalidate()), ["load", "delete"]),
}


@pytest.mark.parametrize(("change", "calls"), CALLS.values(), ids=CALLS)
def test_a_request_asks_no_more_of_the_store_than_it_must(client, store, change, calls):
    client.do(change)
    assert store.calls == calls


NEW = {
    "untouched": (lambda s: None, []),
    "read": (len, []),
    "written": (lambda s: s.update(a=1), ["create"]),
    "written and emptied": (lambda s: (s.update(a=1), s.pop("a")), []),
    "cleared": (lambda s: s.clear(), []),
    "new id": (lambda s: s.regenerate_id(), []),
    "written with a new id": (lambda s: (s.update(a=1), s.regenerate_id()), ["create"]),
    "modified set by hand": (lambda s: setattr(s, "modified", True), []),
}


@pytest.mark.parametrize(("change", "calls"), NEW.values(), ids=NEW)
def test_a_visitor_without_a_cookie_costs_nothing_before_something_is_kept(sessions, store, change, calls):
    Client(sessions).do(change)
    assert store.calls == calls


MALFORMED = ["x", "A" * 42, "A" * 44, "../../etc/passwd", "' OR 1=1--", "*", "x 0 0 1\r\n1", "x" * 5000, "A" * 42 + "é"]


@pytest.mark.parametrize("token", MALFORMED)
def test_a_malformed_id_never_reaches_the_store(sessions, store, token):
    client = Client(sessions, token)
    assert client.data() == {}
    assert store.calls == []


def test_an_id_that_the_server_did_not_issue_is_never_adopted(sessions, store):
    client = Client(sessions, "A" * 43)
    foreign = client.key
    assert client.do(lambda s: s.update(a=1)) == "set"
    assert client.token != "A" * 43
    assert store.load(foreign) is None
    assert client.data() == {"a": 1}


def test_the_store_knows_the_token_only_by_its_hash(client, inner):
    session = client.open()
    assert session.id == client.key
    record = inner.load(client.key)
    assert client.token.encode() not in record.data


def test_an_id_is_none_before_the_first_save(sessions):
    session = sessions.open({})
    session["a"] = 1
    assert session.id is None
    sessions.commit(session)
    assert len(session.id) == 64


# Time


def test_a_session_that_is_read_is_touched_at_each_tenth_of_its_lifetime(client, store, clock):
    for _ in range(3):
        clock.advance(DAY - 1)
        client.do(len)
        assert "touch" not in store.calls
        clock.advance(1)
        client.do(len)
        assert store.calls == ["load", "load", "touch"]
        store.calls.clear()


def test_a_session_in_use_lives_on_and_an_unused_one_ends(client, clock):
    for _ in range(4):
        clock.advance(9 * DAY)
        client.do(len)
    assert client.data() == {"a": 1, "cart": ["apple"]}
    clock.advance(10 * DAY)
    assert client.data() == {}


def test_an_untouched_session_is_not_extended(client, store, clock):
    clock.advance(9 * DAY)
    client.do()
    clock.advance(DAY)
    assert client.data() == {}
    assert "touch" not in store.calls


def test_a_touch_that_fails_is_a_warning(client, store, clock, caplog):
    clock.advance(2 * DAY)
    store.fail("touch")
    session = client.open()
    assert session["a"] == 1
    assert client.commit(session) == "kept"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert client.token not in record.getMessage()


def test_a_session_that_ended_before_its_touch_is_not_brought_back(client, sessions, store, clock):
    clock.advance(2 * DAY)
    key = client.key
    store.once("touch", lambda: store.inner.delete(key))
    assert client.do(len) == "kept"
    assert store.inner.load(key) is None


def test_an_absolute_lifetime_is_moved_by_nothing_but_invalidate(store, clock):
    client = Client(SessionManager(KEY, store=store, lifetime=10 * DAY, absolute_lifetime=15 * DAY))
    client.do(lambda s: s.update(a=1))
    for change in (lambda s: s.update(b=1), lambda s: s.regenerate_id(), len):
        clock.advance(5 * DAY - (change is len))
        client.do(change)
    assert client.data() == {"a": 1, "b": 1}
    clock.advance(2)
    assert client.data() == {}


def test_clear_does_not_start_an_absolute_lifetime_again_and_invalidate_does(store, clock):
    client = Client(SessionManager(KEY, store=store, absolute_lifetime=15 * DAY))
    for end, starts_again in ((lambda s: s.clear(), False), (lambda s: s.invalidate(), True)):
        client.do(lambda s: (s.invalidate(), s.update(a=1)))
        clock.advance(10 * DAY)
        client.do(lambda s, end=end: (end(s), s.update(b=1)))
        clock.advance(10 * DAY)
        assert bool(client.data()) is starts_again


def test_the_expires_of_a_permanent_session_ends_with_its_absolute_lifetime(store, clock):
    clock.now = 1700000000.0
    sessions = SessionManager(KEY, store=store, lifetime=10 * DAY, absolute_lifetime=12 * DAY)
    session = sessions.open({})
    session.permanent = True
    (cookie,) = (value for name, value in sessions.commit(session) if name == "Set-Cookie")
    assert "Expires=Fri, 24 Nov 2023 22:13:20 GMT" in cookie
    clock.advance(5 * DAY)
    again = sessions.open({"HTTP_COOKIE": cookie.partition(";")[0]})
    again["a"] = 1
    (cookie,) = (value for name, value in sessions.commit(again) if name == "Set-Cookie")
    assert "Expires=Sun, 26 Nov 2023 22:13:20 GMT" in cookie


# Log-out while another request is under way

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
    assert slow.commit(session) == "kept"
    assert store.inner.load(old) is None
    assert slow.data() == {}


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


# Parallel requests


def both(client, one, other):
    """Two requests that load the same and commit one after the other."""
    first, second = client.open(), client.open()
    one(first)
    other(second)
    client.commit(first)
    client.commit(second)
    return client.data()


def test_requests_that_changed_different_keys_both_win(client):
    assert both(client, lambda s: s.update(b=1), lambda s: s.update(c=2)) == {
        "a": 1,
        "b": 1,
        "c": 2,
        "cart": ["apple"],
    }


def test_on_the_same_key_the_last_one_wins(client):
    assert both(client, lambda s: s.update(a="first"), lambda s: s.update(a="second"))["a"] == "second"


def test_a_key_that_one_request_deleted_stays_deleted(client):
    assert both(client, lambda s: s.pop("a"), lambda s: s.update(b=1)) == {"b": 1, "cart": ["apple"]}
    assert both(client, lambda s: s.update(d=1), lambda s: s.pop("b")) == {"cart": ["apple"], "d": 1}


def test_a_change_inside_and_another_keys_change_both_win(client):
    found = both(client, lambda s: s.update(b=1), lambda s: s["cart"].append("pear"))
    assert found == {"a": 1, "b": 1, "cart": ["apple", "pear"]}


def test_a_request_that_only_read_erases_nobodys_change(client, store):
    reader, writer = client.open(), client.open()
    assert (reader["a"], reader["cart"]) == (1, ["apple"])
    writer["a"] = 2
    client.commit(writer)
    store.calls.clear()
    client.commit(reader)
    assert store.calls == []
    assert client.data()["a"] == 2


def test_a_value_that_was_set_as_it_was_does_not_undo_anothers_change(client):
    assert both(client, lambda s: s.update(a=2), lambda s: s.update(a=1, b=1)) == {"a": 2, "b": 1, "cart": ["apple"]}


def test_a_session_shows_what_others_saved_after_its_commit(client):
    first, second = client.open(), client.open()
    first["b"] = 1
    second["c"] = 1
    client.commit(first)
    client.commit(second)
    assert second.copy() == client.data()


def test_a_second_commit_saves_only_what_changed_since_the_first(client, store):
    session = client.open()
    session["b"] = 1
    client.commit(session)
    other = client.open()
    other["b"] = "theirs"
    client.commit(other)
    store.calls.clear()
    client.commit(session)
    assert "update" not in store.calls
    session["c"] = 1
    client.commit(session)
    assert client.data() == {"a": 1, "b": "theirs", "c": 1, "cart": ["apple"]}
    assert session.modified is True


def test_regenerate_id_carries_over_what_others_saved_meanwhile(client, sessions):
    slow, quick = client.open(), client.open()
    slow["user"] = 42
    slow.regenerate_id()
    quick["b"] = 1
    client.commit(quick)
    assert client.commit(slow) == "set"
    assert client.data() == {"a": 1, "b": 1, "cart": ["apple"], "user": 42}


def test_regenerate_id_carries_over_what_was_saved_at_the_last_moment(client, store, inner):
    slow, quick = client.open(), client.open()
    slow.regenerate_id()
    quick["b"] = 1
    store.once("create", lambda: client.commit(quick))
    assert client.commit(slow) == "set"
    assert client.data() == {"a": 1, "b": 1, "cart": ["apple"]}


def test_of_two_log_ins_at_once_one_wins_and_one_record_remains(client, sessions, inner):
    tokens = []
    opened = [client.open(), client.open()]
    for session in opened:
        session.principal = "42"
        session.regenerate_id()
    answers = [Client(sessions, client.token) for _ in opened]
    for answer, session in zip(answers, opened, strict=True):
        tokens.append((answer.commit(session), answer.data()))
    assert [outcome for outcome, _ in tokens] == ["set", "kept"]
    assert tokens[1][1] == {}


def test_a_new_id_drops_what_an_anonymous_session_could_have_planted(client):
    client.do(lambda s: s.update(_csrf_token="planted"))
    old = Client(client.sessions, client.token)
    client.do(lambda s: s.regenerate_id())
    assert client.data() == {"a": 1, "cart": ["apple"]}
    assert old.data() == {}


def test_a_session_that_keeps_changing_is_an_error_after_five_seconds(client, store, monkeypatch):
    """Another process saves before each of our tries; it has to end."""
    elsewhere = SessionManager(KEY, store=store.inner)
    others = itertools.count()
    ticks = itertools.count(step=0.5)

    def overtake():
        Client(elsewhere, client.token).do(lambda s: s.update(n=next(others)))

    session = client.open()
    session["b"] = 1
    store.before["update"] = overtake
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks))
    with pytest.raises(StoreError, match="kept changing"):
        client.commit(session)
    assert 1 < next(others) < 20


def test_an_overtaken_update_is_tried_again(client, store):
    other = client.open()
    other["c"] = 1
    store.once("update", lambda: client.commit(other))
    client.do(lambda s: s.update(b=1))
    assert client.data() == {"a": 1, "b": 1, "c": 1, "cart": ["apple"]}
    assert store.calls[:3] == ["load", "load", "update"]


# Outages


def test_a_store_that_is_down_is_an_error_at_the_first_touch_and_at_every_other(client, store):
    store.fail("load")
    session = client.open()
    for touch in (len, dict, lambda s: s.update(a=1), lambda s: s.clear(), lambda s: s.invalidate()):
        with pytest.raises(StoreError):
            touch(session)
    assert client.commit(session) == "kept"
    store.before.clear()
    assert client.data() == {"a": 1, "cart": ["apple"]}


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


def test_a_save_gives_way_to_one_that_is_tried_again(client, store, monkeypatch):
    monkeypatch.setattr(contention, "_COURTESY", 5)
    session = client.open()
    session["b"] = 2
    with ThreadPoolExecutor(1) as pool:
        with contention.Tries().turn(client.key):
            saving = pool.submit(client.commit, session)
            assert wait([saving], 0.05).not_done
            assert "update" not in store.calls
        assert saving.result(5) == "kept"


@pytest.mark.parametrize("refresh", [True, False])
def test_moving_a_read_record_to_the_current_key_is_no_more_than_a_refresh(store, refresh):
    pytest.importorskip("cryptography")
    kind = {"store": store, "store_encryption": True, "refresh_each_request": refresh}

    def names_sent(*others):
        visitor = Client(SessionManager(KEY, **kind))
        visitor.do(lambda s: s.update(a=1, _permanent=True))
        sessions = SessionManager(KEY[::-1], secret_key_fallbacks=[KEY], **kind)
        session = Client(sessions, visitor.token).open()
        assert session["a"] == 1
        return [name for name, _ in sessions.respond(session, [*others])]

    assert names_sent(PUBLIC) == ["Cache-Control", "Vary"]
    assert names_sent() == (["Vary", "Set-Cookie"] if refresh else ["Vary"])


@pytest.mark.parametrize("change", [lambda s: s.regenerate_id(), lambda s: s.invalidate()])
def test_a_new_id_after_a_refresh_in_the_same_request_is_not_left_out(sessions, clock, change):
    client = Client(sessions)
    client.do(lambda s: s.update(a=1, _permanent=True))
    clock.advance(2 * DAY)
    session = client.open()
    assert session["a"] == 1
    assert client.commit(session) == "set"
    change(session)
    assert [name for name, _ in sessions.respond(session, [PUBLIC])] == ["Cache-Control", "Vary", "Set-Cookie"]


def test_an_app_that_touches_no_session_runs_on_without_the_store(client, store):
    store.fail(*METHODS)
    answer = visit(guarded(page(), sessions=client.sessions), cookie=f"session={client.token}")
    assert (answer.status, answer.cookies) == ("200 OK", [])


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


def test_an_old_record_that_cannot_be_removed_is_dead_all_the_same(client, store, sessions, caplog):
    old = Client(sessions, client.token)
    store.fail("delete")
    assert client.do(lambda s: s.regenerate_id()) == "set"
    assert client.data() == {"a": 1, "cart": ["apple"]}
    assert old.data() == {}
    assert old.do(lambda s: s.update(evil=1)) == "set"
    assert client.data() == {"a": 1, "cart": ["apple"]}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_value_that_cannot_be_written_leaves_the_record_as_it_was(client, inner):
    before = inner.load(client.key)
    with pytest.raises(NotSerializable):
        client.do(lambda s: s.update(b=object()))
    assert inner.load(client.key).data == before.data


def test_a_key_that_is_no_str_is_named(client):
    with pytest.raises(NotSerializable, match=r"session\[5\] cannot be saved: its key is not a str; write str\(key\)"):
        client.do(lambda s: s.update({5: "five"}))


# Records that cannot be read


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{}",
        b'{"a":',
        pickle.dumps(Bomb()),
        b"\xff" * 50,
        b"1" * 12,
        b"ended?",
        b"000000000000P" + b"x" * 30,
    ],
)
def test_an_unreadable_record_is_an_empty_session_and_one_warning(client, inner, data, caplog):
    record = inner.load(client.key)
    assert inner.update(client.key, data, 1000, record.version)
    broken = client.key
    session = client.open()
    assert (session.copy(), session.new) == ({}, True)
    (line,) = caplog.records
    assert line.levelno == logging.WARNING
    assert broken[:8] in line.getMessage()
    assert broken not in line.getMessage()
    session["b"] = 1
    assert client.commit(session) == "set"
    assert client.key != broken
    assert client.data() == {"b": 1}


def test_a_record_that_was_copied_under_another_key_is_refused(client, sessions, inner):
    other = Client(sessions)
    other.do(lambda s: s.update(who="other"))
    mine, theirs = inner.load(client.key), inner.load(other.key)
    assert inner.update(client.key, theirs.data, 1000, mine.version)
    assert client.data() == {}


@pytest.mark.parametrize("settings", [{"salt": "other"}, {"cookie_name": "other"}])
def test_a_record_of_another_application_is_refused(client, store, settings):
    sessions = SessionManager(KEY, store=store, **settings)
    name = settings.get("cookie_name", "session")
    assert sessions.open({"HTTP_COOKIE": f"{name}={client.token}"}).copy() == {}


def test_an_encrypted_record_and_a_plain_one_are_not_taken_for_each_other(client, store):
    pytest.importorskip("cryptography")
    encrypting = SessionManager(KEY, store=store, store_encryption=True)
    assert Client(encrypting, client.token).data() == {}
    hidden = Client(encrypting)
    hidden.do(lambda s: s.update(secret="confidential"))
    assert hidden.data() == {"secret": "confidential"}
    assert b"confidential" not in store.inner.load(hidden.key).data
    assert Client(client.sessions, hidden.token).data() == {}


# Principals


@pytest.fixture
def devices(sessions, inner):
    """Three sessions of 42 and one of 43."""
    if not hasattr(inner, "keys_of"):
        pytest.skip("no index")
    clients = [Client(sessions) for _ in range(4)]
    for client, principal in zip(clients, ["42", "42", "42", "43"], strict=True):
        client.do(lambda s, principal=principal: (setattr(s, "principal", principal), s.update(a=1)))
    return clients


def test_the_sessions_of_a_principal_are_listed(clock, sessions, devices):
    clock.advance(2 * DAY)
    devices[1].do(len)
    listed = sessions.sessions_of("42")
    assert listed[0].id == devices[1].key
    assert {one.id for one in listed} == {device.key for device in devices[:3]}
    assert listed[0].last_used - listed[1].last_used == 2 * DAY
    assert sessions.sessions_of("nobody") == []


@pytest.mark.parametrize("wrong", [42, None, "", b"42"])
def test_a_principal_that_is_no_str_is_refused_by_who_lists_and_ends(sessions, wrong):
    for use in (sessions.sessions_of, sessions.end_all):
        with pytest.raises(TypeError, match=r"a principal is a non-empty str, not .*write str\(user.id\)"):
            use(wrong)


def test_what_is_no_id_or_session_is_refused_by_who_ends(sessions, devices):
    (listed, *_) = sessions.sessions_of("42")
    for wrong in (listed, devices[0].open(), None):
        with pytest.raises(TypeError, match="a session's id, a str, not an object of type"):
            sessions.end(wrong)
    with pytest.raises(TypeError, match="keep is a session"):
        sessions.end_all("42", keep=listed.id)
    assert all(device.data() for device in devices)


@pytest.mark.parametrize("text", ["", "../../etc/passwd", "x" * 64, "A" * 64])
def test_a_store_is_asked_to_end_nothing_but_keys(text, store, sessions, devices):
    store.calls.clear()
    sessions.end(text)
    assert store.calls == []
    assert all(device.data() for device in devices)


def test_one_session_is_ended_from_elsewhere(sessions, devices):
    sessions.end(devices[0].open().id)
    assert [bool(device.data()) for device in devices] == [False, True, True, True]


def test_all_sessions_of_a_principal_are_ended_but_the_one_to_keep(sessions, devices):
    assert sessions.end_all("42", keep=devices[1].open()) == 2
    assert [bool(device.data()) for device in devices] == [False, True, False, True]
    assert sessions.end_all("42") == 1
    assert sessions.end_all("42") == 0


def test_a_session_under_way_does_not_survive_end_all(sessions, devices):
    session = devices[0].open()
    session["b"] = 1
    sessions.end_all("42")
    assert devices[0].commit(session) == "kept"
    assert devices[0].data() == {}


def test_turns_are_taken_with_the_locks_that_the_server_has_put_there(monkeypatch):
    """A worker of gunicorn's makes threads greenlets after it has loaded the application."""
    made, lock = [], threading.RLock
    monkeypatch.setattr(contention, "_turns", PerProcess(dict))
    monkeypatch.setattr(threading, "RLock", lambda: made.append(lock()) or made[-1])
    with contention.Tries().turn("0" * 64), contention.Tries().turn("0" * 64):
        assert len(made) == 1


def test_a_secret_that_is_planted_while_a_visitor_logs_in_does_not_come_with_him(sessions):
    planted = Client(sessions)
    planted.do(lambda s: s.update(lang="en"))
    login, attacker = Client(sessions, planted.token), Client(sessions, planted.token)
    session = login.open()
    session["user"] = "victim"
    attacker.do(csrf_token)
    secret = attacker.open()["_csrf_token"]
    session.regenerate_id()
    login.commit(session)
    assert login.data() == {"lang": "en", "user": "victim"}
    login.do(csrf_token)
    assert login.open()["_csrf_token"] != secret


def test_a_session_that_gets_a_new_id_meanwhile_does_not_survive_end_all_either(store, sessions, devices):
    store.once("delete", lambda: devices[0].do(lambda s: s.regenerate_id()))
    assert sessions.end_all("42", keep=devices[1].open()) >= 2
    assert [bool(device.data()) for device in devices] == [False, True, False, True]
    assert [one.id for one in sessions.sessions_of("42")] == [devices[1].key]


def test_end_all_says_so_where_sessions_keep_coming(store, sessions, devices):
    store.before["delete"] = lambda: Client(sessions).do(lambda s: setattr(s, "principal", "42"))
    with pytest.raises(StoreError, match="listed anew"):
        sessions.end_all("42")


def test_a_new_id_stays_listed_alone(sessions, devices):
    devices[0].do(lambda s: s.regenerate_id())
    assert {one.id for one in sessions.sessions_of("42")} == {device.key for device in devices[:3]}


def test_another_principal_leaves_the_list_of_the_former(sessions, devices):
    devices[0].do(lambda s: setattr(s, "principal", "43"))
    assert (len(sessions.sessions_of("42")), len(sessions.sessions_of("43"))) == (2, 2)
    devices[0].do(lambda s: setattr(s, "principal", None))
    assert len(sessions.sessions_of("43")) == 1


def test_a_log_out_leaves_the_list(sessions, devices):
    devices[0].do(lambda s: s.invalidate())
    assert len(sessions.sessions_of("42")) == 2


def test_a_principal_alone_is_worth_keeping(sessions, inner):
    client = Client(sessions)
    assert client.do(lambda s: setattr(s, "principal", "42")) == "set"
    session = client.open()
    assert (session.principal, dict(session)) == ("42", {})


def test_a_parallel_change_does_not_take_the_principal_back(client):
    one, other = client.open(), client.open()
    one.principal = "42"
    other["b"] = 1
    client.commit(one)
    client.commit(other)
    session = client.open()
    assert (session.principal, session["b"]) == ("42", 1)


@pytest.mark.parametrize("call", [lambda m: m.sessions_of("42"), lambda m: m.end_all("42"), lambda m: m.end("0" * 64)])
def test_cookie_sessions_can_be_neither_listed_nor_ended_from_elsewhere(call):
    with pytest.raises(ConfigurationError, match="cookie"):
        call(SessionManager(KEY))


# Through the middleware


def test_an_ended_session_that_the_app_fills_again_has_a_new_id(sessions):
    visitor = Visitor(guarded(page(lambda s: (s.invalidate(), s.update(a=1))), sessions=sessions))
    visitor.get()
    first = visitor.jar["session"]
    visitor.get()
    assert visitor.jar["session"] != first


def test_created_is_when_the_session_began_and_survives_a_new_id(client, clock):
    began = client.open().created
    clock.advance(DAY)
    client.do(lambda s: s.regenerate_id())
    assert client.open().created == began
    client.do(lambda s: (s.invalidate(), s.update(a=1)))
    assert client.open().created == int(clock.now)


def test_the_times_that_are_kept_are_hidden_from_the_dict(client):
    assert set(client.data()) == {"a", "cart"}


# Lists and dicts that the application holds


@pytest.mark.parametrize(
    ("theirs", "found"),
    [
        (lambda s: s.update(other=1), {"cart": ["a", "late"], "inner": {"k": 1, "l": [1, "late"]}, "other": 1}),
        (lambda s: s["cart"].append("b"), {"cart": ["a", "b", "late"], "inner": {"k": 1, "l": [1, "late"]}}),
        (lambda s: s["inner"].update(k=2), {"cart": ["a", "late"], "inner": {"k": 2, "l": [1, "late"]}}),
        (lambda s: s["inner"].update(k=True), {"cart": ["a", "late"], "inner": {"k": True, "l": [1, "late"]}}),
        (lambda s: s["inner"]["l"].append(2), {"cart": ["a", "late"], "inner": {"k": 1, "l": [1, 2, "late"]}}),
        (lambda s: s.update(cart=5), {"cart": 5, "inner": {"k": 1, "l": [1, "late"]}}),
    ],
)
def test_what_was_taken_out_before_a_merge_is_the_sessions_afterwards(client, theirs, found):
    client.do(lambda s: s.update(cart=["a"], inner={"l": [1], "k": 1}))
    session = client.open()
    cart, inner = session["cart"], session["inner"]["l"]
    session["mine"] = True
    client.do(theirs)
    client.commit(session)
    cart.append("late")
    inner.append("late")
    client.commit(session)
    assert repr(sorted(client.data().items())) == repr(sorted((found | {"a": 1, "mine": True}).items()))
