"""Each row of the table "when a cookie is sent", with the headers compared whole."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import TimestampSigner
from itsdangerous.encoding import base64_encode

from session_mw import MemoryStore, SessionManager
from session_mw.codecs.signed import SignedCodec
from session_mw.tagged_json import TaggedJSON
from support.wsgi import KEY, OTHER_KEY, PLAIN, Visitor, guarded, page, read, token_of, visit

NOW = 1700000000
VARY = ("Vary", "Cookie")
TAIL = "HttpOnly; Path=/; SameSite=Lax"
A1 = "eyJhIjoxfQ.ZVPxAA.9hkqH6PKzZpOGDGFMPKfySe7Tp8"
PERMANENT = "eyJfcGVybWFuZW50Ijp0cnVlfQ.ZVPxAA.LEWtzHkuCGew8JHsTNoRCuSvC8w"
FORGED = "eyJhIjoxfQ.ZVPxAA.AAAAAAAAAAAAAAAAAAAAAAAAAAA"
OTHER_SALT = "eyJhIjoxfQ.ZVPxAA.21SB160Pe7dlfOLWgOiMergPNVo"
MONTH = 31 * 86400


@pytest.fixture(autouse=True)
def now(clock):
    clock.now = float(NOW)
    return clock


def parts(set_cookie):
    """Name and value, and the attributes in an order of their own: theirs is free."""
    pair, *attributes = set_cookie.split("; ")
    return pair, sorted(attributes)


def sent(answer):
    """The headers beside the app's own, and that Vary stands once and cookies are as they should be."""
    assert answer.headers[0] == PLAIN
    return [(name, parts(value) if name == "Set-Cookie" else value) for name, value in answer.headers[1:]]


def cookie(text):
    return "Set-Cookie", parts(text)


def answer_to(do, token=None, **settings):
    return sent(visit(guarded(page(do), **settings), cookie=token and f"session={token}"))


READS = {
    "in": lambda s: "a" in s,
    "len": len,
    "bool": bool,
    "getitem": lambda s: s.get("a"),
    "iter": list,
    "keys": lambda s: s.keys(),
    "items": lambda s: s.items(),
    "values": lambda s: s.values(),
    "eq": lambda s: s == {},
    "ne": lambda s: s != {},
    "dict": dict,
    "double star": lambda s: {**s},
    "or": lambda s: s | {},
    "ror": lambda s: {} | s,
    "copy": lambda s: s.copy(),
    "repr": repr,
    "reversed": lambda s: list(reversed(s)),
    "permanent": lambda s: s.permanent,
    "new": lambda s: s.new,
    "created": lambda s: s.created,
    "id": lambda s: s.id,
    "principal": lambda s: s.principal,
    "pop of a missing key": lambda s: s.pop("none", None),
}
NO_READS = {"accessed": lambda s: s.accessed, "modified": lambda s: s.modified, "nothing": lambda s: None}


# untouched, not permanent-and-refreshing: no, no


@pytest.mark.parametrize("do", NO_READS.values(), ids=NO_READS)
@pytest.mark.parametrize("token", [None, "", A1, FORGED, "garbage"])
def test_an_untouched_session_sends_nothing(do, token):
    assert answer_to(do, token) == []


@pytest.mark.parametrize("header", ["session", "sessions=1", "other=session", ";;; ;=;", "session=;session="])
def test_a_header_that_only_looks_like_the_cookie_sends_nothing(header):
    assert sent(visit(guarded(page()), cookie=header)) == []


# read only: no, yes


@pytest.mark.parametrize("do", READS.values(), ids=READS)
@pytest.mark.parametrize("token", [None, A1, FORGED])
def test_a_session_that_was_only_read_sends_no_cookie(do, token):
    assert answer_to(do, token) == [VARY]


def signed(payload):
    """A genuine token of the bytes as they are."""
    signer = TimestampSigner(KEY, salt="cookie-session", key_derivation="hmac")
    return signer.sign(base64_encode(payload)).decode()


@pytest.mark.parametrize("payload", [b'{"b":[1],"a":{"y":2,"x":1}}', b'{ "a" : [ 1 ] }', '{"a":["é"]}'.encode()])
def test_what_another_json_writer_wrote_is_not_taken_for_changed(payload):
    assert answer_to(lambda s: (s["a"], dict(s)), signed(payload)) == [VARY]


# not empty, modified (or a change inside): yes, yes


def test_a_written_session_is_sent():
    assert answer_to(lambda s: s.update(a=1)) == [VARY, cookie(f"session={A1}; {TAIL}")]


def test_a_written_session_is_sent_over_https_with_secure():
    answer = visit(guarded(page(lambda s: s.update(a=1))), https=True)
    assert sent(answer) == [VARY, cookie(f"session={A1}; Secure; {TAIL}")]


def test_a_written_permanent_session_is_sent_with_expires():
    expected = f"session={PERMANENT}; Expires=Fri, 15 Dec 2023 22:13:20 GMT; {TAIL}"
    assert answer_to(lambda s: setattr(s, "permanent", True)) == [VARY, cookie(expected)]


def test_setting_an_equal_value_is_a_write(now):
    now.advance(1)
    (_, (_, (pair, _))) = answer_to(lambda s: s.update(a=1), A1)
    assert pair != f"session={A1}"


def test_modified_set_by_hand_is_a_write(now):
    now.advance(1)
    (vary, (name, (pair, _))) = answer_to(lambda s: setattr(s, "modified", True), A1)
    assert (vary, name) == (VARY, "Set-Cookie")
    assert read(pair.partition("=")[2]) == {"a": 1}


def test_a_change_inside_is_sent(now):
    now.advance(1)
    token = token_of({"cart": ["apple"], "deep": {"er": {"list": []}}})
    answer = visit(guarded(page(lambda s: s["deep"]["er"]["list"].append(1))), cookie=f"session={token}")
    assert read(answer.token) == {"cart": ["apple"], "deep": {"er": {"list": [1]}}}
    assert answer.vary == ["Cookie"]


@pytest.mark.parametrize(
    "get",
    [
        lambda s: s["cart"],
        lambda s: s.get("cart"),
        lambda s: s.setdefault("cart", []),
        lambda s: next(iter(s.values())),
        lambda s: dict(s)["cart"],
        lambda s: s.copy()["cart"],
        lambda s: {**s}["cart"],
        lambda s: (s | {})["cart"],
        lambda s: next(iter(s.items()))[1],
    ],
)
def test_a_change_inside_is_found_however_the_list_was_got(get):
    token = token_of({"cart": ["apple"]})
    answer = visit(guarded(page(lambda s: get(s).append("pear"))), cookie=f"session={token}")
    assert read(answer.token) == {"cart": ["apple", "pear"]}


def test_a_change_inside_that_was_taken_back_is_none():
    token = token_of({"cart": ["apple"]})
    assert answer_to(lambda s: (s["cart"].append(1), s["cart"].pop()), token) == [VARY]


def test_a_refused_cookie_is_replaced_where_the_app_writes():
    assert answer_to(lambda s: s.update(a=1), FORGED) == [VARY, cookie(f"session={A1}; {TAIL}")]


# not empty, unmodified, permanent, refresh_each_request: yes, yes


@pytest.mark.parametrize("do", [*NO_READS.values(), *READS.values()], ids=[*NO_READS, *READS])
def test_a_permanent_session_is_sent_again_with_a_new_time(do, now):
    now.advance(60)
    (vary, (name, (pair, attributes))) = answer_to(do, PERMANENT)
    assert (vary, name) == (VARY, "Set-Cookie")
    assert attributes == sorted(["Expires=Fri, 15 Dec 2023 22:14:20 GMT", *TAIL.split("; ")])
    token = pair.partition("=")[2]
    assert token == token_of({"_permanent": True})
    assert token != PERMANENT


def test_a_refresh_moves_the_end_of_the_session(now):
    visitor = Visitor(guarded(page()), {"session": PERMANENT})
    for _ in range(3):
        now.advance(MONTH - 1)
        visitor.get()
    assert read(visitor.jar["session"]) == {"_permanent": True}


def test_a_permanent_session_over_https_is_refreshed_with_secure():
    (found,) = visit(guarded(page()), cookie=f"session={PERMANENT}", https=True).cookies
    assert parts(found)[1] == sorted(["Secure", "Expires=Fri, 15 Dec 2023 22:13:20 GMT", *TAIL.split("; ")])


def test_a_permanent_session_whose_name_is_escaped_is_refreshed():
    token = signed(rb'{"\u005fpermanent":true}')
    answer = visit(guarded(page()), cookie=f"session={token}")
    assert read(answer.token) == {"_permanent": True}


@pytest.mark.parametrize("value", [1, "true", [True], {"a": True}, None, False])
def test_only_true_is_permanent(value, now):
    token = token_of({"_permanent": value})
    assert answer_to(lambda s: None, token) == []
    assert answer_to(lambda s: s.permanent, token) == [VARY]


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


def test_a_refresh_uses_the_current_key(now):
    token = token_of({"_permanent": True}, OTHER_KEY)
    answer = visit(guarded(page(), secret_key=KEY, secret_key_fallbacks=[OTHER_KEY]), cookie=f"session={token}")
    assert read(answer.token) == {"_permanent": True}


def test_an_old_key_alone_sends_nothing_again():
    token = token_of({"a": 1}, OTHER_KEY)
    app = guarded(page(lambda s: s["a"]), secret_key=KEY, secret_key_fallbacks=[OTHER_KEY])
    assert sent(visit(app, cookie=f"session={token}")) == [VARY]


def test_a_forged_or_expired_permanent_session_is_not_refreshed(now):
    forged = token_of({"_permanent": True}, OTHER_KEY)
    assert answer_to(lambda s: None, forged) == []
    now.advance(MONTH + 1)
    assert answer_to(lambda s: None, PERMANENT) == []


def test_a_forged_cookie_beside_a_permanent_one_does_not_keep_it_from_its_refresh():
    app = guarded(page())
    for header in (f"session={FORGED}; session={PERMANENT}", f"session={PERMANENT}; session={FORGED}"):
        assert read(visit(app, cookie=header).token) == {"_permanent": True}


def test_a_token_that_only_a_foreign_client_could_keep_is_no_error_at_its_refresh():
    """Flask sends cookies of any size; curl keeps what no browser does."""
    codec = SignedCodec(KEY)
    token, filler = "", 3000
    while len(token) < 4092:
        filler += 1
        token = codec.encode(b'{"_permanent":true,"a":"%s"}' % noise(filler), NOW, NOW)
    assert answer_to(lambda s: None, token) == []
    assert answer_to(lambda s: len(s), token) == [VARY]


def noise(length):
    return random.Random(7).randbytes(length).hex()[:length].encode()


def test_an_absolute_lifetime_bounds_the_expires_of_a_refresh(now):
    token = token_of({"_permanent": True}, absolute_lifetime=100)
    now.advance(60)
    settings = {"absolute_lifetime": 100, "secret_key": KEY}
    (found,) = visit(guarded(page(), **settings), cookie=f"session={token}").cookies
    assert "Expires=Tue, 14 Nov 2023 22:15:00 GMT" in found
    now.advance(41)
    assert sent(visit(guarded(page(), **settings), cookie=found.partition(";")[0])) == []


# the same with refresh_each_request=False: no, only if accessed


@pytest.mark.parametrize("do", NO_READS.values(), ids=NO_READS)
def test_without_refresh_an_untouched_permanent_session_sends_nothing(do):
    assert answer_to(do, PERMANENT, refresh_each_request=False) == []


@pytest.mark.parametrize("do", READS.values(), ids=READS)
def test_without_refresh_a_permanent_session_that_was_read_sends_no_cookie(do):
    assert answer_to(do, PERMANENT, refresh_each_request=False) == [VARY]


# emptied or invalidated, the client sent a cookie that was accepted: deletion, yes

EMPTIED = {
    "clear": lambda s: s.clear(),
    "invalidate": lambda s: s.invalidate(),
    "pop": lambda s: s.pop("a"),
    "del": lambda s: s.__delitem__("a"),
    "popitem": lambda s: s.popitem(),
    "written and cleared": lambda s: (s.update(b=2), s.clear()),
}
DELETION = "session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"


@pytest.mark.parametrize("do", EMPTIED.values(), ids=EMPTIED)
def test_an_emptied_session_is_deleted(do):
    assert answer_to(do, A1) == [VARY, cookie(f"{DELETION}; {TAIL}")]


def test_a_deletion_repeats_every_attribute():
    settings = {
        "cookie_domain": "example.com",
        "cookie_path": "/app",
        "cookie_samesite": "None",
        "cookie_partitioned": True,
    }
    tail = "Domain=example.com; Path=/app; Secure; HttpOnly; SameSite=None; Partitioned"
    assert answer_to(lambda s: s.clear(), A1, **settings) == [VARY, cookie(f"{DELETION}; {tail}")]


def test_a_deletion_over_https_is_secure():
    app = guarded(page(lambda s: s.clear()))
    answer = visit(app, cookie=f"session={A1}", https=True)
    assert sent(answer) == [VARY, cookie(f"{DELETION}; Secure; {TAIL}")]


def test_a_session_that_was_emptied_and_filled_again_is_sent():
    assert answer_to(lambda s: (s.clear(), s.update(a=1)), A1) == [VARY, cookie(f"session={A1}; {TAIL}")]


# emptied, the client sent none, or one that was refused: no, yes


@pytest.mark.parametrize("token", [None, "", FORGED, OTHER_SALT, "garbage"])
@pytest.mark.parametrize("name", ["clear", "invalidate", "written and cleared"])
def test_nothing_is_deleted_that_was_never_accepted(token, name):
    assert answer_to(EMPTIED[name], token) == [VARY]


# cookie present but bad or expired, session only read: no deletion, yes


@pytest.mark.parametrize("token", [FORGED, OTHER_SALT, "garbage", "a.b.c"])
def test_a_refused_cookie_is_not_deleted(token):
    assert answer_to(len, token) == [VARY]


def test_an_expired_cookie_is_not_deleted(now):
    now.advance(MONTH + 1)
    assert answer_to(len, A1) == [VARY]


# a stored session's cookie holds only its id


def stored(**data):
    store = MemoryStore()
    sessions = SessionManager(KEY, store=store)
    session = sessions.open({})
    session.update(data)
    return store, sessions.commit(session)[1][1].partition(";")[0].partition("=")[2]


def test_a_stored_sessions_cookie_is_sent_when_it_is_new():
    answer = visit(guarded(page(lambda s: s.update(a=1)), store=MemoryStore()))
    assert len(answer.token) == 43
    assert sent(answer) == [VARY, cookie(f"session={answer.token}; {TAIL}")]


def test_a_stored_sessions_cookie_is_not_sent_again_when_it_is_written():
    store, token = stored(a=1)
    assert answer_to(lambda s: s.update(a=2), token, store=store) == [VARY]


def test_a_stored_sessions_cookie_is_sent_when_its_id_changed():
    store, token = stored(a=1)
    answer = visit(guarded(page(lambda s: s.regenerate_id()), store=store), cookie=f"session={token}")
    assert answer.token != token
    assert sent(answer) == [VARY, cookie(f"session={answer.token}; {TAIL}")]


def test_a_permanent_stored_sessions_cookie_is_sent_when_its_end_moves(now):
    store, token = stored(_permanent=True)
    assert answer_to(len, token, store=store) == [VARY]
    now.advance(MONTH // 10 + 1)
    expected = f"session={token}; Expires=Tue, 19 Dec 2023 00:37:21 GMT; {TAIL}"
    assert answer_to(len, token, store=store) == [VARY, cookie(expected)]
    assert answer_to(len, token, store=store) == [VARY]


def test_a_permanent_stored_sessions_cookie_is_sent_when_it_is_written(now):
    store, token = stored(_permanent=True)
    now.advance(60)
    expected = f"session={token}; Expires=Fri, 15 Dec 2023 22:14:20 GMT; {TAIL}"
    assert answer_to(lambda s: s.update(a=1), token, store=store) == [VARY, cookie(expected)]


def test_a_stored_session_that_is_no_longer_permanent_loses_its_expires():
    store, token = stored(_permanent=True)
    do = lambda s: setattr(s, "permanent", False)  # noqa: E731
    assert answer_to(do, token, store=store) == [VARY, cookie(f"session={token}; {TAIL}")]


@pytest.mark.parametrize("do", NO_READS.values(), ids=NO_READS)
def test_an_untouched_stored_session_sends_nothing(do, now):
    store, token = stored(_permanent=True)
    now.advance(MONTH // 2)
    assert answer_to(do, token, store=store) == []


@pytest.mark.parametrize("do", [lambda s: s.clear(), lambda s: s.invalidate()])
def test_an_ended_stored_session_is_deleted(do):
    store, token = stored(a=1)
    assert answer_to(do, token, store=store) == [VARY, cookie(f"{DELETION}; {TAIL}")]
    assert answer_to(do, token, store=store) == [VARY]


def test_a_stored_session_emptied_key_by_key_goes_on_empty():
    store, token = stored(a=1)
    assert answer_to(lambda s: s.pop("a"), token, store=store) == [VARY]
    assert answer_to(lambda s: s.update(b=1), token, store=store) == [VARY]


@pytest.mark.parametrize("token", [None, "garbage", "A" * 43])
def test_an_empty_stored_session_is_not_created(token):
    store = MemoryStore()
    assert answer_to(lambda s: (s.update(a=1), s.pop("a")), token, store=store) == [VARY]
    assert repr(store) == "<MemoryStore of 0 records>"
