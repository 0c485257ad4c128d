"""Requests of one visitor that overlap: which changes stay, and how long a save tries."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time

import pytest

from session_mw import MemoryStore, SessionManager, StoreError
from support.stores import Recording
from support.tokens import KEY
from support.visitors import Client
from support.wsgi import VARY, guarded, page, visit

# Changes are merged key by key


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


def test_a_value_that_was_set_as_it_was_does_not_undo_anothers_change(client):
    assert both(client, lambda s: s.update(a=2), lambda s: s.update(a=1, b=1)) == {"a": 2, "b": 1, "cart": ["apple"]}


def test_a_request_that_only_read_erases_nobodys_change(client, store):
    reader, writer = client.open(), client.open()
    assert (reader["a"], reader["cart"]) == (1, ["apple"])
    writer["a"] = 2
    client.commit(writer)
    store.calls.clear()
    assert client.sessions.commit(reader) == [VARY]
    assert store.calls == []
    assert client.data()["a"] == 2


def test_a_page_that_only_reads_does_not_erase_what_another_writes_while_it_runs(client):
    def reader(session):
        shown = session["a"], session["cart"]
        visit(guarded(page(lambda s: s.update(b=2)), sessions=client.sessions), cookie=client.cookie)
        return shown

    visit(guarded(page(reader), sessions=client.sessions), cookie=client.cookie)
    assert client.data() == {"a": 1, "b": 2, "cart": ["apple"]}


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


@pytest.mark.parametrize("first", ["principal", "data"])
def test_a_parallel_change_does_not_take_the_principal_back(client, first):
    one, other = client.open(), client.open()
    one.principal = "42"
    other["b"] = 1
    for session in (one, other) if first == "principal" else (other, one):
        client.commit(session)
    session = client.open()
    assert (session.principal, session["b"]) == ("42", 1)


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


# A save that is overtaken


def test_an_overtaken_update_is_tried_again(client, store):
    other = client.open()
    other["c"] = 1
    store.once("update", lambda: client.commit(other))
    client.do(lambda s: s.update(b=1))
    assert client.data() == {"a": 1, "b": 1, "c": 1, "cart": ["apple"]}
    assert store.calls[:3] == ["load", "load", "update"]


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


def test_a_save_gives_way_for_a_moment_to_one_that_was_overtaken():
    """The one that tries again stands still until the other has gone ahead, which it does, but not at once."""
    store = Recording(MemoryStore())
    client = Client(SessionManager(KEY, store=store))
    client.do(lambda s: s.update(a=1))
    overtaken, late = client.open(), client.open()
    overtaken["overtaken"] = late["late"] = True
    waited: list[float] = []
    retrying, gone_ahead = threading.get_ident(), threading.Event()

    def save_late():
        began = time.monotonic()

        def update():
            if threading.get_ident() != retrying:
                waited.append(time.monotonic() - began)
                gone_ahead.set()

        store.before["update"] = update
        client.other().commit(late)

    late_saver = threading.Thread(target=save_late)

    def try_again():
        late_saver.start()
        assert gone_ahead.wait(10)

    def overtake():
        client.other().do(lambda s: s.update(first=True))
        store.once("update", try_again)

    store.once("update", overtake)
    client.commit(overtaken)
    late_saver.join(10)
    assert 0.04 < waited[0] < 5
    assert client.data() == {"a": 1, "first": True, "late": True, "overtaken": True}


def test_a_save_goes_on_as_soon_as_the_one_that_was_overtaken_is_done():
    store = Recording(MemoryStore())
    client = Client(SessionManager(KEY, store=store))
    client.do(lambda s: s.update(a=1))
    for n in range(2):
        overtaken, late = client.open(), client.open()
        overtaken[f"overtaken{n}"] = late[f"late{n}"] = True
        late_saver = threading.Thread(target=client.other().commit, args=(late,))

        def try_again(late_saver=late_saver):
            late_saver.start()
            # long enough for it to have come to where it gives way
            late_saver.join(0.01)

        def overtake(n=n, try_again=try_again):
            client.other().do(lambda s: s.__setitem__(f"first{n}", True))
            store.once("update", try_again)

        store.once("update", overtake)
        client.commit(overtaken)
        late_saver.join(10)
    names = {f"{who}{n}" for who in ("first", "late", "overtaken") for n in range(2)}
    assert client.data() == {"a": 1, **dict.fromkeys(names, True)}


OVERTAKEN = """
import sys
import threading
from session_mw import MemoryStore, SessionManager

class Overtaken(MemoryStore):
    overtake = None

    def update(self, *args, **named):
        overtake, self.overtake = self.overtake, None
        if overtake is not None:
            overtake()
        return super().update(*args, **named)

def save(sessions, cookie, key):
    session = sessions.open({"HTTP_COOKIE": cookie})
    session[key] = True
    return dict(sessions.commit(session))

class Noted:
    acquired = []

    def __init__(self):
        self.lock = usual()
        self.release = self.lock.release

    def acquire(self, *args, **named):
        if sys._getframe(2).f_globals["__name__"] == "session_mw.backends.contention":
            self.acquired.append(self)
        return self.lock.acquire(*args, **named)

    __enter__ = acquire

    def __exit__(self, *_):
        self.release()

sessions = SessionManager(store=Overtaken())
usual, threading.RLock = threading.RLock, Noted
cookie = save(sessions, "", "begun")["Set-Cookie"].partition(";")[0]
for number in range(2):
    sessions.store.overtake = lambda: save(sessions, cookie, f"other{number}")
    save(sessions, cookie, f"mine{number}")
print(max(Noted.acquired.count(lock) for lock in Noted.acquired))
"""


def test_saves_take_turns_with_the_locks_that_the_server_has_put_there():
    """A worker of gunicorn's makes threads greenlets after it has loaded the application."""
    run = subprocess.run([sys.executable, "-c", OVERTAKEN], capture_output=True, text=True, timeout=60, check=True)
    assert int(run.stdout) >= 2
