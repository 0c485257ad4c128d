"""Whose session it is: ``session.principal``, the list of a principal's sessions, and ending them from elsewhere."""

from __future__ import annotations

import pytest

from session_mw import ConfigurationError, MemoryStore, SessionManager, StoreError
from support.tokens import KEY
from support.visitors import Client
from support.wsgi import DELETION, VARY

DAY = 86400


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


# The session's principal


def test_the_principal_is_kept_beside_the_data(any_sessions):
    client = Client(any_sessions)
    assert client.do(lambda s: setattr(s, "principal", "42")) == "set"
    session = client.open()
    assert (session.principal, dict(session), session.new) == ("42", {}, False)


def test_a_cookie_session_that_is_nobodys_and_empty_is_deleted():
    client = Client(SessionManager(KEY))
    client.do(lambda s: setattr(s, "principal", "42"))
    session = client.open()
    session.principal = None
    assert client.sessions.commit(session) == [VARY, DELETION]


@pytest.mark.parametrize("value", [42, "", b"42", 0, ["42"]])
def test_a_principal_is_a_non_empty_text(any_sessions, value):
    with pytest.raises(TypeError, match=r"a principal is a non-empty str.*write str\(user.id\)"):
        any_sessions.open({}).principal = value


# The list


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


def test_a_new_id_stays_listed_alone(sessions, devices):
    devices[0].do(lambda s: s.regenerate_id())
    assert {one.id for one in sessions.sessions_of("42")} == {device.key for device in devices[:3]}


def test_another_principal_leaves_the_list_of_the_former(sessions, devices):
    devices[0].do(lambda s: setattr(s, "principal", "43"))
    assert (len(sessions.sessions_of("42")), len(sessions.sessions_of("43"))) == (2, 2)
    devices[0].do(lambda s: setattr(s, "principal", None))
    assert len(sessions.sessions_of("43")) == 1


# Ending from elsewhere


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


def test_a_session_that_gets_a_new_id_meanwhile_does_not_survive_end_all_either(store, sessions, devices):
    store.once("delete", lambda: devices[0].do(lambda s: s.regenerate_id()))
    assert sessions.end_all("42", keep=devices[1].open()) >= 2
    assert [bool(device.data()) for device in devices] == [False, True, False, True]
    assert [one.id for one in sessions.sessions_of("42")] == [devices[1].key]


def test_end_all_says_so_where_sessions_keep_coming(store, sessions, devices):
    store.before["delete"] = lambda: Client(sessions).do(lambda s: setattr(s, "principal", "42"))
    with pytest.raises(StoreError, match="listed anew"):
        sessions.end_all("42")


# What is refused


@pytest.mark.parametrize("wrong", [42, None, "", b"42"])
def test_a_principal_that_is_not_a_str_is_refused_by_who_lists_and_ends(sessions, wrong):
    for use in (sessions.sessions_of, sessions.end_all):
        with pytest.raises(TypeError, match=r"a principal is a non-empty str, not .*write str\(user.id\)"):
            use(wrong)


def test_what_is_not_an_id_or_a_session_is_refused_by_who_ends(sessions, devices):
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


@pytest.mark.parametrize("call", [lambda m: m.sessions_of("42"), lambda m: m.end_all("42"), lambda m: m.end("0" * 64)])
def test_cookie_sessions_can_be_neither_listed_nor_ended_from_elsewhere(call):
    with pytest.raises(ConfigurationError, match="cookie"):
        call(SessionManager(KEY))
