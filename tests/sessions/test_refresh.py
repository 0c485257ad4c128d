"""Permanent sessions are refreshed: their cookie is sent again, so that the browser keeps it on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_mw import SessionManager
from session_mw.codecs.signed import SignedCodec
from session_mw.tagged_json import TaggedJSON
from support.tokens import KEY, NOW, OTHER_KEY, deflated, noise, read, signed, token_in, token_of
from support.visitors import Client, Visitor
from support.wsgi import ATTRIBUTES, SECURE_ATTRIBUTES, VARY, added, answer_to, guarded, page, visit

pytestmark = pytest.mark.usefixtures("now")

MONTH = 31 * 86400
PERMANENT = "eyJfcGVybWFuZW50Ijp0cnVlfQ.ZVPxAA.LEWtzHkuCGew8JHsTNoRCuSvC8w"
FORGED = "eyJhIjoxfQ.ZVPxAA.AAAAAAAAAAAAAAAAAAAAAAAAAAA"
NO_READS = {"accessed": lambda s: s.accessed, "modified": lambda s: s.modified, "nothing": lambda s: None}
READS = {
    "in": lambda s: "a" in s,
    "len": len,
    "get": lambda s: s.get("a"),
    "items": lambda s: s.items(),
    "dict": dict,
    "repr": repr,
    "permanent": lambda s: s.permanent,
    "new": lambda s: s.new,
    "created": lambda s: s.created,
    "id": lambda s: s.id,
    "principal": lambda s: s.principal,
    "pop of a missing key": lambda s: s.pop("none", None),
}
PUBLIC = ("Cache-Control", "public")


# In the cookie


@pytest.mark.parametrize("do", [*NO_READS.values(), *READS.values()], ids=[*NO_READS, *READS])
@pytest.mark.parametrize(("https", "attributes"), [(False, ATTRIBUTES), (True, SECURE_ATTRIBUTES)])
def test_a_permanent_session_is_sent_again_with_a_new_time(do, https, attributes, now):
    now.advance(60)
    answer = visit(guarded(page(do)), cookie=f"session={PERMANENT}", https=https)
    token = token_of({"_permanent": True})
    assert token != PERMANENT
    expected = f"session={token}; Expires=Fri, 15 Dec 2023 22:14:20 GMT; {attributes}"
    assert added(answer) == [VARY, ("Set-Cookie", expected)]


def test_a_refresh_of_an_untouched_session_is_not_an_access(cookie_sessions):
    client = Client(cookie_sessions)
    client.do(lambda s: s.update(_permanent=True, a=1))
    session = client.open()
    assert client.commit(session) == "set"
    assert not session.accessed
    assert client.data() == {"_permanent": True, "a": 1}


def test_a_refresh_moves_the_end_of_the_session(now):
    visitor = Visitor(guarded(page()), {"session": PERMANENT})
    for _ in range(3):
        now.advance(MONTH - 1)
        visitor.get()
    assert read(visitor.jar["session"]) == {"_permanent": True}


def test_a_permanent_session_that_a_stream_never_touches_is_refreshed(now):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"part"

    now.advance(10)
    answer = visit(guarded(app), cookie=f"session={PERMANENT}")
    assert answer.token == token_of({"_permanent": True}) != PERMANENT


@pytest.mark.parametrize("touch", [lambda s: None, len, lambda s: s.__setitem__("a", 2)])
def test_a_permanent_session_is_sent_once_however_often_it_is_committed(cookie_sessions, touch):
    client = Client(cookie_sessions)
    client.do(lambda s: s.update(_permanent=True))
    session = client.open()
    touch(session)
    assert [client.commit(session) for _ in range(2)] == ["set", "kept"]
    session["b"] = 2
    assert client.commit(session) == "set"
    assert client.data()["b"] == 2


def test_a_refresh_sends_the_payload_as_it_came():
    payload = b'{ "z":1, "_permanent" : true, "a":"\xc3\xa9" }'
    sessions = SessionManager(KEY)
    for touch in (lambda _: None, len, dict):
        session = sessions.open({"HTTP_COOKIE": f"session={signed(payload, NOW - 5)}"})
        touch(session)
        assert SignedCodec(KEY).decode(token_in(sessions.commit(session)))[0] == payload


names = st.sampled_from(["A", "_fresh", "_id", "_permanent", "_user_id", "a", '"_permanent":true', "é"])
values = st.recursive(st.booleans() | st.integers() | names, lambda inner: st.dictionaries(names, inner, max_size=3))


@given(st.dictionaries(names, values, max_size=4), st.sampled_from([None, 3 * MONTH]))
def test_a_session_that_nobody_looked_at_is_refreshed_if_it_is_permanent(data, absolute):
    sessions = SessionManager(KEY, absolute_lifetime=absolute)
    token = SignedCodec(KEY).encode(TaggedJSON().dumps(data), NOW, NOW)
    headers = sessions.commit(sessions.open({"HTTP_COOKIE": f"session={token}"}))
    assert bool(headers) == (data.get("_permanent") is True)
    for _, cookie in headers[1:]:
        assert SessionManager(KEY).open({"HTTP_COOKIE": cookie.partition(";")[0]}).copy() == data


@pytest.mark.parametrize("name", ["_permanent", "\\u005fpermanent", "_per\\u006danent", "\\u005F\\u0070ermanent"])
def test_permanent_is_found_in_any_spelling(name):
    answer = visit(guarded(page()), cookie="session=" + signed(b'{"%s":true}' % name.encode()))
    assert read(answer.token) == {"_permanent": True}


@pytest.mark.parametrize(
    "data",
    [
        *[{"_permanent": value} for value in (1, "true", [True], {"a": True}, None, False)],
        *[{"a": 1}, {"x": {"_permanent": True}}],
    ],
)
def test_what_is_not_permanent_is_not_refreshed(any_sessions, data):
    client = Client(any_sessions)
    client.do(lambda s: s.update(data))
    app = guarded(page(lambda s: s.permanent), sessions=any_sessions)
    assert added(visit(guarded(page(), sessions=any_sessions), cookie=client.cookie)) == []
    assert (visit(app, cookie=client.cookie).body, added(visit(app, cookie=client.cookie))) == (b"False", [VARY])


def test_a_forged_or_expired_permanent_session_is_not_refreshed(now):
    assert answer_to(lambda s: None, token_of({"_permanent": True}, OTHER_KEY)) == []
    now.advance(MONTH + 1)
    assert answer_to(lambda s: None, PERMANENT) == []


def test_a_forged_cookie_beside_a_permanent_one_does_not_keep_it_from_its_refresh():
    for header in (f"session={FORGED}; session={PERMANENT}", f"session={PERMANENT}; session={FORGED}"):
        assert read(visit(guarded(page()), cookie=header).token) == {"_permanent": True}


SPOILED = [
    b'{"_permanent":true,"x":{" t":5}}',
    b'{"_permanent":truely}',
    b'{"_permanent":true',
    b'{"_permanent":true}}',
    b'{"_permanent":true,"a":1,"a":2}',
    b'{"_permanent":true,"a":"\xff"}',
    b'{"_permanent":true,"a":' + b"[" * 500 + b"]" * 500 + b"}",
    b'{"_permanent":true,"_created":-1}',
    b'{"_permanent":true,"_created":99999999999}',
    b'{"_permanent":true,"_principal":5}',
]


@pytest.mark.parametrize("payload", SPOILED, ids=lambda payload: str(payload[:40]))
@pytest.mark.parametrize("encrypt", [False, True], ids=["signed", "encrypted"])
def test_a_permanent_session_that_cannot_be_read_is_not_refreshed_either(payload, encrypt, caplog):
    sessions = SessionManager(KEY, encrypt=encrypt)
    token = signed(payload)
    if encrypt:
        encrypted = pytest.importorskip("session_mw.codecs.encrypted")
        token = encrypted.EncryptedCodec(KEY.encode(), cookie_name="session").encode(payload, NOW, NOW)
    environ = {"HTTP_COOKIE": f"session={token}"}
    for _ in range(3):
        caplog.clear()
        assert sessions.commit(sessions.open(environ)) == []
        assert "bad_payload" in caplog.text
    assert dict(sessions.open(environ)) == {}
    assert sessions.commit(sessions.open(environ)) == []


def just_too_long():
    """A token that is read, and that no browser would keep beside the cookie's name."""
    payloads = (b'{"_permanent":true,"a":"%s"}' % noise(length).encode() for length in range(5000, 5600))
    token = next(token for token in map(deflated, payloads) if len(token) > 4096 - len("session"))
    assert len(token) <= 4096
    return token


@pytest.mark.parametrize("absolute", [None, 86400])
def test_a_refresh_that_would_not_fit_is_left_out_and_is_not_an_error(absolute):
    """Flask sends cookies of any size; curl keeps what no browser does."""
    sessions, token = SessionManager(KEY, absolute_lifetime=absolute), just_too_long()
    for _ in range(3):
        assert answer_to(lambda s: None, token, sessions=sessions) == []
        assert answer_to(len, token, sessions=sessions) == [VARY]


# Where refresh_each_request is False


@pytest.mark.parametrize("do", NO_READS.values(), ids=NO_READS)
def test_without_refresh_an_untouched_permanent_session_sends_nothing(do):
    assert answer_to(do, PERMANENT, refresh_each_request=False) == []


@pytest.mark.parametrize("do", READS.values(), ids=READS)
def test_without_refresh_a_permanent_session_that_was_read_sends_no_cookie(do):
    assert answer_to(do, PERMANENT, refresh_each_request=False) == [VARY]


# In a store


@pytest.fixture
def permanent(store):
    """One who has a permanent stored session."""
    client = Client(SessionManager(KEY, store=store))
    client.do(lambda s: s.update(_permanent=True))
    return client


def stored_answer(client, do=lambda s: None):
    return added(visit(guarded(page(do), sessions=client.sessions), cookie=client.cookie))


def test_a_permanent_stored_sessions_cookie_is_sent_when_its_end_moves(permanent, now):
    assert stored_answer(permanent, len) == [VARY]
    now.advance(MONTH // 10 + 1)
    expected = f"session={permanent.token}; Expires=Tue, 19 Dec 2023 00:37:21 GMT; {ATTRIBUTES}"
    assert stored_answer(permanent, len) == [VARY, ("Set-Cookie", expected)]
    assert stored_answer(permanent, len) == [VARY]


def test_a_permanent_stored_sessions_cookie_is_sent_when_it_is_written(permanent, now):
    now.advance(60)
    expected = f"session={permanent.token}; Expires=Fri, 15 Dec 2023 22:14:20 GMT; {ATTRIBUTES}"
    assert stored_answer(permanent, lambda s: s.update(a=1)) == [VARY, ("Set-Cookie", expected)]


@pytest.mark.parametrize("do", NO_READS.values(), ids=NO_READS)
def test_an_untouched_permanent_stored_session_sends_nothing(do, permanent, now):
    now.advance(MONTH // 2)
    assert stored_answer(permanent, do) == []


def test_a_stored_session_that_is_no_longer_permanent_loses_its_expires(permanent):
    answer = stored_answer(permanent, lambda s: setattr(s, "permanent", False))
    assert answer == [VARY, ("Set-Cookie", f"session={permanent.token}; {ATTRIBUTES}")]


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
    assert names_sent() == (["Cache-Control", "Vary", "Set-Cookie"] if refresh else ["Vary"])
