"""The invariants that ``session_mw/state.py`` states, at any moment of any sequence of what can happen to a session.

The only file of tests that looks at private fields: the invariants are about them.
"""

from __future__ import annotations

import copy
import json
import time
from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from session_mw import CookieTooLarge, MemoryStore, NotSerializable, SessionManager, StoreError
from session_mw.lazy_dict import OPEN, OVER, SENT, UNTOUCHED
from session_mw.state import END, KEEP, RENEW
from support.clock import Clock
from support.stores import METHODS, Recording
from support.tokens import KEY
from support.visitors import Client

KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from([0, 1, True, None, "x", [1], {"n": [1]}])


class Requests(RuleBasedStateMachine):
    """One visitor's requests, one after the other, with parallel writers and a store that fails now and then."""

    def make(self):
        return SessionManager(KEY, lifetime=1000)

    @initialize()
    def begin(self):
        self.clock = Clock(1_700_000_000.0)
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(time, "time", lambda: self.clock.now)
        self.store = None
        self.sessions = self.make()
        self.client = Client(self.sessions)
        self.outcomes = []
        self.open()

    def teardown(self):
        if hasattr(self, "patch"):
            self.patch.undo()

    # What can happen

    @rule()
    def open(self):
        self.session = self.client.open()
        self.opened_with = self.fixed()
        self.phase = OPEN
        self.intent, self.gone, self.is_saved_since = KEEP, False, False

    @rule(key=KEYS)
    def read(self, key):
        self.touch(lambda: self.session.get(key))

    @rule(look=st.sampled_from([len, dict, repr, copy.copy, json.dumps, list, lambda s: s.permanent, lambda s: s.id]))
    def look(self, look):
        self.touch(lambda: look(self.session))

    @rule(key=KEYS, value=VALUES)
    def write(self, key, value):
        self.touch(lambda: self.session.__setitem__(key, copy.deepcopy(value)))

    @rule(key=KEYS)
    def change_inside(self, key):
        def change():
            found = self.session.get(key)
            if isinstance(found, list):
                found.append(len(found))

        self.touch(change)

    @rule(key=KEYS)
    def pop(self, key):
        self.touch(lambda: self.session.pop(key, None))

    @rule(value=st.booleans())
    def permanent(self, value):
        self.touch(lambda: setattr(self.session, "permanent", value))

    @rule(value=st.sampled_from(["42", "7", None]))
    def principal(self, value):
        self.touch(lambda: setattr(self.session, "principal", value))

    @rule(value=st.sampled_from([5, 2000, None]))
    def lifetime(self, value):
        self.touch(lambda: setattr(self.session, "lifetime", value))

    @rule()
    def discard(self):
        self.session.modified = False
        self.intent = KEEP

    @rule()
    def force(self):
        self.session.modified = True

    @rule()
    def regenerate(self):
        self.touch(self.session.regenerate_id)

    @rule()
    def clear(self):
        self.touch(self.session.clear)

    @rule()
    def invalidate(self):
        self.touch(self.session.invalidate)

    @rule(seconds=st.sampled_from([1, 59, 60, 150, 999, 1001]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def write_what_cannot_be_saved(self):
        self.touch(lambda: self.session.__setitem__("bad", object()))

    @rule()
    def take_it_away(self):
        self.touch(lambda: self.session.pop("bad", None))

    @rule()
    def respond(self):
        self.commit(lambda: self.sessions.respond(self.session, []))

    @rule()
    def save(self):
        def save():
            outcome = self.sessions.save(self.session)
            self.outcomes.append((outcome, outcome.headers, outcome.refresh_only))
            return [*outcome.headers]

        self.commit(save)

    @rule()
    def copy(self):
        if self.session._failure is None and self.store_is_up():
            assert type(copy.deepcopy({"s": self.session})["s"]) is dict

    # How it is done

    def store_is_up(self):
        return self.store is None or not self.store.before

    def touch(self, do):
        try:
            do()
        except StoreError:
            assert not self.store_is_up() or self.session._failure is not None
        except TypeError:
            assert "bad" in self.session

    def commit(self, save):
        state = self.session._state
        before = state and (state.token, state.payload, getattr(state, "key", ""))
        try:
            headers = save()
        except (StoreError, NotSerializable, CookieTooLarge) as error:
            state = self.session._state
            if isinstance(error, NotSerializable) and before:
                assert before == (state.token, state.payload, getattr(state, "key", ""))
            if before and self.store is not None and state.token:
                assert before[0] == state.token
            return
        if state is not None and not self.session._changes:
            assert state.intent == KEEP or self.store is None
        self.intent = KEEP if state is None else state.intent
        cookies = [value for name, value in headers if name == "Set-Cookie"]
        assert [name for name, _ in headers].count("Vary") <= 1
        if cookies:
            self.client.token = cookies[-1].partition(";")[0].partition("=")[2]
        if state is not None and state.token and not getattr(state, "gone", False) and self.session._phase < SENT:
            assert self.client.token == state.token

    def fixed(self):
        session = self.session
        return session._backend, session._header, session._https, session._place

    # What holds

    @invariant()
    def the_invariants_hold(self):
        session = self.session
        state = session._state
        # 1
        raw = {id(key) for key in dict.keys(session)}
        placeholders = {id(key) for key in UNTOUCHED}
        assert (state is None) == bool(raw & placeholders)
        # 2
        assert self.fixed() == self.opened_with
        # 3
        assert self.phase <= session._phase <= OVER
        self.phase = session._phase
        if state is None:
            return
        # 4
        if not state.token:
            assert (state.id, state.payload, getattr(state, "record", None)) == (None, b"", None)
        # 5
        assert state.intent in (KEEP, RENEW, END)
        assert state.intent >= self.intent
        self.intent = state.intent
        # 7
        gone = getattr(state, "gone", False)
        assert gone or not self.gone
        self.gone = gone
        assert not gone or (state.token, state.id) == ("", None)
        # 9
        assert all((one.headers, one.refresh_only) == (headers, only) for one, headers, only in self.outcomes)


class StoredRequests(Requests):
    """The same in a store."""

    def make(self):
        self.store = Recording(MemoryStore())
        return SessionManager(KEY, store=self.store, lifetime=1000)

    @rule(names=st.sets(st.sampled_from(METHODS), min_size=1))
    def fail(self, names):
        self.store.fail(*names)

    @rule()
    def recover(self):
        self.store.before.clear()

    @precondition(lambda self: self.store_is_up())
    @rule(key=KEYS, value=VALUES)
    def write_in_parallel(self, key, value):
        if self.client.token:
            other = self.client.other()
            other.do(lambda s: s.__setitem__(key, copy.deepcopy(value)) if not s.new else None)

    @precondition(lambda self: self.store_is_up())
    @rule()
    def log_out_in_parallel(self):
        self.client.other().do(lambda s: s.invalidate() if not s.new else None)

    @precondition(lambda self: self.store_is_up())
    @rule()
    def regenerate_in_parallel(self):
        self.client.other().do(lambda s: s.regenerate_id() if not s.new else None)


class EncryptedRequests(Requests):
    """The same in an encrypted cookie, with an absolute lifetime."""

    def make(self):
        return SessionManager(KEY, encrypt=True, lifetime=1000, absolute_lifetime=5000)


class RevocableRequests(StoredRequests):
    """The same in a cookie, where it is remembered in a store which sessions have ended."""

    def make(self):
        self.store = Recording(MemoryStore())
        return SessionManager(KEY, revocations=self.store, lifetime=1000)


QUICK = settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TestSigned = Requests.TestCase
TestSigned.settings = QUICK
TestStored = StoredRequests.TestCase
TestStored.settings = QUICK
TestRevocable = RevocableRequests.TestCase
TestRevocable.settings = QUICK
TestEncrypted = EncryptedRequests.TestCase
TestEncrypted.settings = QUICK
TestEncrypted = pytest.mark.skipif(find_spec("cryptography") is None, reason="cryptography is missing")(TestEncrypted)


def test_a_second_save_of_what_failed_saves_all():
    """Invariant 8, where another request has written meanwhile, and the store failed between."""
    store = Recording(MemoryStore())
    client = Client(SessionManager(KEY, store=store))
    client.do(lambda s: s.update(a=1))
    session = client.open()
    session["b"] = 2
    client.other().do(lambda s: s.update(c=3))
    store.once("update", lambda: store.once("load", lambda: store.fail("update")))
    with pytest.raises(StoreError):
        client.commit(session)
    store.before.clear()
    client.other().do(lambda s: s.update(d=4))
    assert client.commit(session) == "kept"
    assert client.data() == {"a": 1, "b": 2, "c": 3, "d": 4}
