"""Opening and committing: lifetimes, refreshes, old keys, sizes; without any WSGI application."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_mw import ConfigurationError, CookieTooLarge, NotSerializable, Session, SessionManager
from session_mw.codecs.signed import SignedCodec
from session_mw.cookies import SessionCookie

KEY, OLD = "test-secret-key-0123456789abcdef", "an-old-secret-key-0123456789abcd"
NOW = 1700000000
DAY = 86400
VARY = [("Vary", "Cookie")]


@pytest.fixture(autouse=True)
def at(clock: Any) -> Any:
    """The clock; ``at.now`` is NOW."""
    clock.now = float(NOW)
    return clock


def written(data: dict[str, Any], signed_at: int = NOW, key: str = KEY) -> str:
    return SignedCodec(key).encode(json.dumps(data, separators=(",", ":")).encode(), signed_at, signed_at)


def opened(sessions: SessionManager, token: str, scheme: str = "http") -> Session:
    return sessions.open({"HTTP_COOKIE": f"session={token}", "wsgi.url_scheme": scheme})


def token_in(headers: list[tuple[str, str]]) -> str:
    (cookie,) = (value for name, value in headers if name == "Set-Cookie")
    return cookie.partition("=")[2].partition(";")[0]


def payload_in(headers: list[tuple[str, str]]) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(SignedCodec(KEY).decode(token_in(headers))[0])
    return payload


def noise(length: int) -> str:
    blocks = (hashlib.sha256(str(n).encode()).hexdigest() for n in range(length // 64 + 1))
    return "".join(blocks)[:length]


# Lifetimes


@pytest.mark.parametrize(("lifetime", "leeway"), [(1, 0), (3600, 60), (31 * DAY, 5)])
def test_a_session_is_valid_for_exactly_its_lifetime_and_leeway(lifetime, leeway, at):
    sessions = SessionManager(KEY, lifetime=lifetime, leeway=leeway)
    token = written({"a": 1})
    for moment, valid in (
        *[(NOW - leeway - 1, False), (NOW - leeway, True), (NOW, True)],
        *[(NOW + lifetime, True), (NOW + lifetime + 0.999, True), (NOW + lifetime + 1, False)],
    ):
        at.now = moment
        assert opened(sessions, token) == ({"a": 1} if valid else {})


def test_without_a_refresh_each_writing_begins_the_lifetime_again(at):
    sessions = SessionManager(KEY, lifetime=100)
    session = opened(sessions, written({"a": 1}))
    at.advance(100)
    session["b"] = 2
    token = token_in(sessions.commit(session))
    at.advance(100)
    assert opened(sessions, token) == {"a": 1, "b": 2}
    at.advance(1)
    assert opened(sessions, token) == {}


def test_an_absolute_lifetime_counts_from_the_creation_whatever_the_refreshes(at):
    sessions = SessionManager(KEY, lifetime=100, absolute_lifetime=250)
    session = sessions.open({})
    session.update(_permanent=True, a=1)
    headers = sessions.commit(session)
    for _ in range(5):
        at.advance(50)
        headers = sessions.commit(opened(sessions, token_in(headers)))
        assert payload_in(headers) == {"_created": NOW, "_permanent": True, "a": 1}
    assert at.now == NOW + 250
    assert f"Expires={_date(NOW + 250)};" in headers[1][1]
    at.advance(1)
    assert opened(sessions, token_in(headers)) == {}
    assert sessions.commit(opened(sessions, token_in(headers))) == []


def _date(moment: int) -> str:
    cookie = SessionCookie("s", domain=None, path="/", secure=False, httponly=True, samesite=None, partitioned=False)
    return cookie.set("", False, moment).partition("Expires=")[2].partition(";")[0]


def test_a_refresh_that_did_not_fit_is_not_sent_without_the_creation_at_the_next_commit():
    sessions = SessionManager(KEY, absolute_lifetime=3000)
    sizes = range(5000, 5500)
    tokens = [written({"_permanent": True, "x": noise(n)}) for n in sizes]
    token = max((token for token in tokens if len(token) <= 4096 - len("session")), key=len)
    session = opened(sessions, token)
    assert session.permanent
    assert [sessions.commit(session) for _ in range(2)] == [VARY, VARY]


def test_a_writing_does_not_move_an_absolute_lifetime_but_log_out_does(at):
    sessions = SessionManager(KEY, absolute_lifetime=100)
    session = opened(sessions, written({"_created": NOW, "a": 1}))
    at.advance(60)
    session["b"] = 2
    assert payload_in(sessions.commit(session))["_created"] == NOW
    for end, created in ((Session.clear, NOW), (Session.regenerate_id, NOW), (Session.invalidate, NOW + 60)):
        session = opened(sessions, written({"_created": NOW, "a": 1}))
        end(session)
        session["c"] = 3
        assert payload_in(sessions.commit(session))["_created"] == session.created == created


@pytest.mark.parametrize("touch", [lambda s: None, len, lambda s: s.__setitem__("a", 1)])
def test_a_token_without_its_creation_counts_from_its_timestamp_and_gets_it_when_sent(touch, at):
    sessions = SessionManager(KEY, absolute_lifetime=100)
    at.advance(60)
    session = opened(sessions, written({"_permanent": True, "a": 1}))
    touch(session)
    headers = sessions.commit(session)
    assert payload_in(headers) == {"_created": NOW, "_permanent": True, "a": 1}
    at.now = NOW + 100
    assert opened(sessions, token_in(headers)) == {"_permanent": True, "a": 1}
    at.now = NOW + 101
    assert opened(sessions, token_in(headers)) == {}


def test_the_creation_is_hidden_and_stays_where_no_absolute_lifetime_is_set_any_more(at):
    sessions = SessionManager(KEY)
    at.advance(1000)
    session = opened(sessions, written({"_created": NOW - 500, "a": 1}))
    assert session == {"a": 1}
    assert session.created == NOW - 500
    session["a"] = 2
    assert payload_in(sessions.commit(session)) == {"_created": NOW - 500, "a": 2}


def test_a_new_session_without_absolute_lifetime_holds_no_time():
    sessions = SessionManager(KEY)
    session = sessions.open({})
    session["a"] = 1
    assert payload_in(sessions.commit(session)) == {"a": 1}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 40), max_size=8), st.integers(1, 60), st.integers(1, 120))
def test_however_a_session_is_refreshed_it_ends_with_its_absolute_lifetime(at, pauses, lifetime, absolute):
    at.now = float(NOW)
    sessions = SessionManager(KEY, lifetime=lifetime, absolute_lifetime=absolute)
    session = sessions.open({})
    session.permanent = True
    token = token_in(sessions.commit(session))
    last = NOW
    for pause in pauses:
        at.advance(pause)
        headers = sessions.commit(opened(sessions, token))
        alive = at.now - last <= lifetime and at.now - NOW <= absolute
        assert bool(headers) == alive
        if not alive:
            return
        token, last = token_in(headers), int(at.now)


# Refreshes and old keys


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_permanent_session_is_sent_again_with_a_new_time_though_nobody_looked(scheme, at):
    sessions = SessionManager(KEY)
    at.advance(1000)
    session = opened(sessions, written({"_permanent": True, "a": 1}), scheme)
    secure = "; Secure" if scheme == "https" else ""
    headers = sessions.commit(session)
    assert headers == [
        ("Vary", "Cookie"),
        (
            "Set-Cookie",
            f"session={written({'_permanent': True, 'a': 1}, NOW + 1000)}; Expires={_date(NOW + 1000 + 31 * DAY)}"
            f"; Path=/{secure}; HttpOnly; SameSite=Lax",
        ),
    ]
    assert not session.accessed


def test_a_refresh_sends_the_payload_as_it_came():
    payload = b'{ "z":1, "_permanent" : true, "a":"\xc3\xa9" }'
    sessions = SessionManager(KEY)
    for touch in (lambda _: None, len, dict):
        session = opened(sessions, SignedCodec(KEY).encode(payload, 0, NOW - 5))
        touch(session)
        assert SignedCodec(KEY).decode(token_in(sessions.commit(session)))[0] == payload


@pytest.mark.parametrize("name", ["_permanent", "\\u005fpermanent", "_per\\u006danent", "\\u005F\\u0070ermanent"])
def test_permanent_is_found_in_any_spelling(name):
    token = SignedCodec(KEY).encode(b'{"%s":true}' % name.encode(), 0, NOW)
    sessions = SessionManager(KEY)
    assert len(sessions.commit(opened(sessions, token))) == 2


@pytest.mark.parametrize(
    "data", [{"a": 1}, {"_permanent": False}, {"_permanent": 1}, {"_permanent": "true"}, {"x": {"_permanent": True}}]
)
def test_what_is_not_permanent_is_not_sent_again(data):
    sessions = SessionManager(KEY)
    assert sessions.commit(opened(sessions, written(data))) == []
    session = opened(sessions, written(data))
    assert dict(session) == data
    assert sessions.commit(session) == VARY


@pytest.mark.parametrize("touch", [lambda s: None, len, lambda s: s.__setitem__("a", 1)])
def test_a_session_of_an_old_key_is_signed_anew_when_it_is_sent(touch):
    sessions = SessionManager(KEY, secret_key_fallbacks=[OLD])
    session = opened(sessions, written({"_permanent": True, "a": 1}, key=OLD))
    touch(session)
    assert payload_in(sessions.commit(session)) == {"_permanent": True, "a": 1}


def test_a_session_of_an_old_key_is_not_sent_for_that_alone():
    sessions = SessionManager(KEY, secret_key_fallbacks=[OLD])
    session = opened(sessions, written({"a": 1}, key=OLD))
    assert session == {"a": 1}
    assert sessions.commit(session) == VARY


def test_genuine_cookies_of_the_old_and_the_current_key_are_two():
    sessions = SessionManager(KEY, secret_key_fallbacks=[OLD])
    header = f"session={written({'a': 1})}; session={written({'a': 1}, key=OLD)}"
    assert sessions.open({"HTTP_COOKIE": header}) == {}


# What cannot be sent


@pytest.mark.parametrize("name", ["s", "session", "x" * 1000])
def test_a_cookie_of_4096_bytes_is_sent_and_a_longer_one_is_an_error(name):
    sessions = SessionManager(KEY, cookie_name=name)
    codec = SignedCodec(KEY)
    sent, refused = set(), set()
    for length in range(3000, 7500, 7):
        size = len(name) + len(codec.encode(b'{"a":"%s"}' % noise(length).encode(), NOW, NOW))
        session = sessions.open({})
        session["a"] = noise(length)
        if size <= 4096:
            assert len(name) + len(token_in(sessions.commit(session))) == size
            sent.add(size)
            continue
        with pytest.raises(CookieTooLarge) as caught:
            sessions.commit(session)
        assert (caught.value.size, caught.value.limit) == (size, 4096)
        refused.add(size)
    assert 4080 < max(sent) <= 4096 < min(refused) < 4112


def test_too_large_a_cookie_is_named_with_its_size_largest_keys_and_remedy():
    sessions = SessionManager(KEY)
    session = sessions.open({})
    session.update(small=1, text=noise(9000), cart=[noise(300)], name="Zoë", other=noise(200))
    with pytest.raises(CookieTooLarge) as caught:
        sessions.commit(session)
    message = str(caught.value)
    assert f"would be {caught.value.size} bytes; browsers drop one of more than 4096" in message
    assert "Largest keys, in bytes of JSON: 'text' 9009, 'cart' 311, 'other' 210." in message
    assert "store='sqlite:///sessions.db'" in message
    assert noise(9000)[:20] not in message
    assert isinstance(caught.value, ValueError)


def test_a_commit_that_failed_fails_again_until_the_cause_is_gone():
    sessions = SessionManager(KEY)
    session = opened(sessions, written({"a": 1}))
    for value, error in ((noise(9000), CookieTooLarge), (object(), NotSerializable)):
        session["big"] = value
        for _ in range(2):
            with pytest.raises(error):
                sessions.commit(session)
    del session["big"]
    assert payload_in(sessions.commit(session)) == {"a": 1}


def test_a_value_that_cannot_be_written_is_named():
    sessions = SessionManager(KEY)
    session = opened(sessions, written({"cart": [1]}))
    session["cart"].append({1, 2})
    with pytest.raises(NotSerializable, match=r"session\['cart'\]\[1\] cannot be saved: set is no type"):
        sessions.commit(session)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(), st.text() | st.binary(), max_size=4), st.sampled_from(["/", "/a,b"]))
def test_headers_are_printable_ascii_whatever_the_session_holds(data, path):
    sessions = SessionManager(KEY, cookie_path=path)
    session = sessions.open({})
    session.update({f"k{key}": value for key, value in data.items()}, _permanent=True)
    for _, text in sessions.commit(session):
        assert text.isascii()
        assert text.isprintable()


# One manager, many visitors


def test_an_environ_of_nothing_but_a_cookie_is_enough():
    sessions = SessionManager(KEY)
    assert sessions.open({"HTTP_COOKIE": f"session={written({'a': 1})}"}) == {"a": 1}
    assert sessions.open({}) == {}


def test_an_untouched_session_without_a_cookie_of_the_name_adds_nothing():
    sessions = SessionManager(KEY)
    for environ in ({}, {"HTTP_COOKIE": ""}, {"HTTP_COOKIE": "a=1; b=2"}, {"HTTP_COOKIE": "session=garbage"}):
        assert sessions.commit(sessions.open(environ)) == []


@pytest.mark.parametrize("method", ["sessions_of", "end", "end_all"])
def test_sessions_in_cookies_cannot_be_listed_or_ended_from_elsewhere(method):
    with pytest.raises(ConfigurationError, match="cookie"):
        getattr(SessionManager(KEY), method)("42")


def test_a_manager_says_where_its_sessions_are():
    assert repr(SessionManager(KEY)) == "<SessionManager cookie_name='session' sessions in: cookie>"
    assert repr(SessionManager()) == "<SessionManager cookie_name='session' sessions in: none>"


def test_threads_with_one_manager_never_see_each_others_data():
    sessions = SessionManager(KEY, absolute_lifetime=DAY)
    wrong: list[Any] = []

    def visit(number: int) -> None:
        token = written({"n": number, "_permanent": True})
        for count in range(60):
            session = opened(sessions, token, "https" if number % 2 else "http")
            if session["n"] != number or session.get("count", 0) != count:
                wrong.append(dict(session))
            session["count"] = count + 1
            headers = sessions.commit(session)
            if ("Secure" in headers[1][1]) != bool(number % 2):
                wrong.append(headers)
            token = token_in(headers)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# A whole response


def test_a_response_gets_the_sessions_headers_in_a_new_list():
    sessions = SessionManager(KEY)
    session = sessions.open({})
    session["a"] = 1
    theirs = [("Content-Type", "text/plain"), ("vary", "Accept"), ("Set-Cookie", "session=theirs; Path=/")]
    before = list(theirs)

    headers = sessions.respond(session, theirs)

    cookie = f"session={written({'a': 1})}; Path=/; HttpOnly; SameSite=Lax"
    assert headers == [("Content-Type", "text/plain"), ("Vary", "Accept, Cookie"), ("Set-Cookie", cookie)]
    assert theirs == before


def test_a_response_of_an_untouched_session_stays_as_it_is():
    sessions = SessionManager(KEY)
    theirs = [("Content-Type", "text/plain")]
    assert sessions.respond(sessions.open({}), theirs) == theirs


def test_a_change_after_the_response_is_warned_of(caplog):
    sessions = SessionManager(KEY)
    session = sessions.open({})
    sessions.respond(session, [])
    session["late"] = True
    assert "after the response's headers were sent" in caplog.text


def test_a_manager_knows_the_sessions_that_it_opened():
    sessions = SessionManager(KEY)
    assert sessions.opened(sessions.open({}))
    assert not sessions.opened(SessionManager(KEY).open({}))
    assert not sessions.opened({})
