"""How long a session lasts: its lifetime, its absolute lifetime, the leeway between clocks, and when it was created."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_mw import MemoryStore, Session, SessionManager
from session_mw.codecs.signed import SignedCodec
from support.tokens import KEY, NOW, noise, signed, token_in, token_of
from support.visitors import Client
from support.wsgi import ATTRIBUTES, VARY, added, guarded, page, visit

pytestmark = pytest.mark.usefixtures("now")

DAY = 86400


def written(data: dict[str, Any], at: int = NOW, key: str = KEY) -> str:
    return SignedCodec(key).encode(json.dumps(data, separators=(",", ":")).encode(), at, at)


def opened(sessions: SessionManager, token: str) -> Session:
    return sessions.open({"HTTP_COOKIE": f"session={token}"})


def payload_in(headers: list[tuple[str, str]]) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(SignedCodec(KEY).decode(token_in(headers))[0])
    return payload


# The lifetime


@pytest.mark.parametrize(("lifetime", "leeway"), [(1, 0), (3600, 60), (31 * DAY, 5)])
def test_a_session_is_valid_for_exactly_its_lifetime_and_leeway(lifetime, leeway, now):
    sessions = SessionManager(KEY, lifetime=lifetime, leeway=leeway)
    token = written({"a": 1})
    for moment, valid in (
        *[(NOW - leeway - 1, False), (NOW - leeway, True), (NOW, True)],
        *[(NOW + lifetime, True), (NOW + lifetime + 0.999, True), (NOW + lifetime + 1, False)],
    ):
        now.now = moment
        assert opened(sessions, token) == ({"a": 1} if valid else {})


@pytest.mark.parametrize(("ahead", "shown"), [(1, b"{'a': 1}"), (60, b"{'a': 1}"), (61, b"{}")])
def test_a_clock_a_little_ahead_on_another_server_logs_nobody_out(ahead, shown):
    token = signed(b'{"a":1}', NOW + ahead)
    assert visit(guarded(page(dict)), cookie=f"session={token}").body == shown


def test_each_writing_begins_the_lifetime_again(any_settings, now):
    client = Client(SessionManager(**any_settings, lifetime=100))
    client.do(lambda s: s.update(a=1))
    for n in range(3):
        now.advance(99)
        client.do(lambda s, n=n: s.update(b=n))
    assert client.data() == {"a": 1, "b": 2}
    now.advance(101)
    assert client.data() == {}


def test_without_a_refresh_a_cookie_session_ends_a_lifetime_after_its_last_writing(now):
    sessions = SessionManager(KEY, lifetime=100)
    session = opened(sessions, written({"a": 1}))
    now.advance(100)
    session["b"] = 2
    token = token_in(sessions.commit(session))
    now.advance(100)
    assert opened(sessions, token) == {"a": 1, "b": 2}
    now.advance(1)
    assert opened(sessions, token) == {}


def test_a_stored_session_in_use_lives_on_and_an_unused_one_ends(client, now):
    client.do(lambda s: s.update(b=1))
    for _ in range(4):
        now.advance(9 * DAY)
        client.do(len)
    assert client.data() == {"a": 1, "b": 1, "cart": ["apple"]}
    now.advance(10 * DAY)
    assert client.data() == {}


def test_an_untouched_stored_session_is_not_extended(client, store, now):
    now.advance(9 * DAY)
    client.do()
    now.advance(DAY)
    assert client.data() == {}
    assert "touch" not in store.calls


def test_a_stored_session_that_is_read_is_touched_at_each_tenth_of_its_lifetime(client, store, now):
    for _ in range(3):
        now.advance(DAY - 1)
        client.do(len)
        assert "touch" not in store.calls
        now.advance(1)
        client.do(len)
        assert store.calls == ["load", "load", "touch"]
        store.calls.clear()


def test_a_hundred_reads_in_a_lifetime_make_nine_writes(client, store, now):
    for _ in range(100):
        client.do(lambda s: s["a"])
        now.advance(DAY // 10)
    assert (store.calls.count("touch"), store.calls.count("update")) == (9, 0)


def test_a_session_that_ended_before_its_touch_is_not_brought_back(client, store, now):
    now.advance(2 * DAY)
    key = client.key
    store.once("touch", lambda: store.inner.delete(key))
    assert client.do(len) == "kept"
    assert store.inner.load(key) is None


# The absolute lifetime


def test_an_absolute_lifetime_counts_from_the_creation_whatever_the_refreshes(now):
    sessions = SessionManager(KEY, lifetime=100, absolute_lifetime=250)
    session = sessions.open({})
    session.update(_permanent=True, a=1)
    headers = sessions.commit(session)
    for _ in range(5):
        now.advance(50)
        headers = sessions.commit(opened(sessions, token_in(headers)))
        assert payload_in(headers) == {"_created": NOW, "_permanent": True, "a": 1}
    assert now.now == NOW + 250
    expected = f"session={token_in(headers)}; Expires=Tue, 14 Nov 2023 22:17:30 GMT; {ATTRIBUTES}"
    assert headers == [VARY, ("Set-Cookie", expected)]
    now.advance(1)
    assert opened(sessions, token_in(headers)) == {}
    assert sessions.commit(opened(sessions, token_in(headers))) == []


def test_an_absolute_lifetime_is_moved_by_no_write_new_id_or_read(any_settings, now):
    client = Client(SessionManager(**any_settings, lifetime=10 * DAY, absolute_lifetime=15 * DAY))
    client.do(lambda s: s.update(a=1))
    for change in (lambda s: s.update(b=1), lambda s: s.regenerate_id(), len):
        now.advance(5 * DAY - (change is len))
        client.do(change)
    assert client.data() == {"a": 1, "b": 1}
    now.advance(2)
    assert client.data() == {}


@pytest.mark.parametrize(("end", "starts_again"), [(Session.clear, False), (Session.invalidate, True)])
def test_clear_does_not_start_an_absolute_lifetime_again_and_invalidate_does(any_settings, now, end, starts_again):
    client = Client(SessionManager(**any_settings, absolute_lifetime=15 * DAY))
    client.do(lambda s: s.update(a=1))
    now.advance(10 * DAY)
    client.do(lambda s: (end(s), s.update(b=1)))
    now.advance(10 * DAY)
    assert bool(client.data()) is starts_again


def test_the_creation_that_a_token_holds_is_moved_by_invalidate_alone(now):
    sessions = SessionManager(KEY, absolute_lifetime=100)
    session = opened(sessions, written({"_created": NOW, "a": 1}))
    now.advance(60)
    session["b"] = 2
    assert payload_in(sessions.commit(session))["_created"] == NOW
    for end, created in ((Session.clear, NOW), (Session.regenerate_id, NOW), (Session.invalidate, NOW + 60)):
        session = opened(sessions, written({"_created": NOW, "a": 1}))
        end(session)
        session["c"] = 3
        assert payload_in(sessions.commit(session))["_created"] == session.created == created


@pytest.mark.parametrize("touch", [lambda s: None, len, lambda s: s.__setitem__("a", 1)])
def test_a_token_without_its_creation_counts_from_its_timestamp_and_gets_it_when_sent(touch, now):
    sessions = SessionManager(KEY, absolute_lifetime=100)
    now.advance(60)
    session = opened(sessions, written({"_permanent": True, "a": 1}))
    touch(session)
    headers = sessions.commit(session)
    assert payload_in(headers) == {"_created": NOW, "_permanent": True, "a": 1}
    now.now = NOW + 100
    assert opened(sessions, token_in(headers)) == {"_permanent": True, "a": 1}
    now.now = NOW + 101
    assert opened(sessions, token_in(headers)) == {}


def test_a_refresh_that_did_not_fit_is_not_sent_without_the_creation_at_the_next_commit():
    sessions = SessionManager(KEY, absolute_lifetime=3000)
    sizes = range(5000, 5500)
    tokens = [written({"_permanent": True, "x": noise(n)}) for n in sizes]
    token = max((token for token in tokens if len(token) <= 4096 - len("session")), key=len)
    session = opened(sessions, token)
    assert session.permanent
    assert [sessions.commit(session) for _ in range(2)] == [[VARY], [VARY]]


def test_a_new_session_without_absolute_lifetime_holds_no_time():
    sessions = SessionManager(KEY)
    session = sessions.open({})
    session["a"] = 1
    assert payload_in(sessions.commit(session)) == {"a": 1}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 40), max_size=8), st.integers(1, 60), st.integers(1, 120))
def test_however_a_session_is_refreshed_it_ends_with_its_absolute_lifetime(now, pauses, lifetime, absolute):
    now.now = float(NOW)
    sessions = SessionManager(KEY, lifetime=lifetime, absolute_lifetime=absolute)
    session = sessions.open({})
    session.permanent = True
    token = token_in(sessions.commit(session))
    last = NOW
    for pause in pauses:
        now.advance(pause)
        headers = sessions.commit(opened(sessions, token))
        alive = now.now - last <= lifetime and now.now - NOW <= absolute
        assert bool(headers) == alive
        if not alive:
            return
        token, last = token_in(headers), int(now.now)


def test_an_absolute_lifetime_bounds_the_expires_of_a_refresh(now):
    token = token_of({"_permanent": True}, absolute_lifetime=100)
    now.advance(60)
    app = guarded(page(), absolute_lifetime=100, secret_key=KEY)
    answer = visit(app, cookie=f"session={token}")
    expected = f"session={answer.token}; Expires=Tue, 14 Nov 2023 22:15:00 GMT; {ATTRIBUTES}"
    assert added(answer) == [VARY, ("Set-Cookie", expected)]
    now.advance(41)
    assert added(visit(app, cookie=f"session={answer.token}")) == []


def test_the_expires_of_a_permanent_stored_session_ends_with_its_absolute_lifetime(store, now):
    sessions = SessionManager(KEY, store=store, lifetime=10 * DAY, absolute_lifetime=12 * DAY)
    session = sessions.open({})
    session.permanent = True
    headers = sessions.commit(session)
    token = token_in(headers)
    expected = f"session={token}; Expires=Fri, 24 Nov 2023 22:13:20 GMT; {ATTRIBUTES}"
    assert headers == [VARY, ("Set-Cookie", expected)]
    now.advance(5 * DAY)
    again = opened(sessions, token)
    again["a"] = 1
    expected = f"session={token}; Expires=Sun, 26 Nov 2023 22:13:20 GMT; {ATTRIBUTES}"
    assert sessions.commit(again) == [VARY, ("Set-Cookie", expected)]


# The creation


def test_created_is_when_a_token_was_signed_or_now(now):
    sessions = SessionManager(KEY)
    session = opened(sessions, written({"a": 1}))
    now.advance(100)
    assert session.created == NOW
    assert sessions.open({}).created == NOW + 100
    session.invalidate()
    assert session.created == NOW + 100


def test_a_stored_session_keeps_when_it_was_created(client, now):
    began = client.open().created
    now.advance(DAY)
    client.do(lambda s: s.update(b=1))
    assert client.open().created == began


def test_the_creation_is_hidden_and_stays_where_no_absolute_lifetime_is_set_any_more(now):
    sessions = SessionManager(KEY)
    now.advance(1000)
    session = opened(sessions, written({"_created": NOW - 500, "a": 1}))
    assert session == {"a": 1}
    assert session.created == NOW - 500
    session["a"] = 2
    assert payload_in(sessions.commit(session)) == {"_created": NOW - 500, "a": 2}


@pytest.mark.parametrize("store", [None, "memory"])
def test_what_is_kept_beside_the_data_is_hidden_from_the_dict(store):
    stored = MemoryStore() if store else None
    client = Client(SessionManager(KEY, store=stored, absolute_lifetime=DAY))
    client.do(lambda s: (setattr(s, "principal", "42"), s.update(a=1)))
    assert client.data() == {"a": 1}


@pytest.mark.parametrize(
    "created", ["NaN", "Infinity", "-Infinity", "1e308", "99999999999999", "true", '"1"', "null", "-1"]
)
def test_a_creation_that_is_not_an_integer_of_the_past_makes_no_session(created):
    token = signed(b'{"_created":%s,"a":1}' % created.encode())
    app = guarded(page(dict), absolute_lifetime=DAY, secret_key=KEY)
    assert visit(app, cookie=f"session={token}").body == b"{}"
