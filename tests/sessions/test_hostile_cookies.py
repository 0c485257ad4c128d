"""What anyone can send: it never raises, never gets a cookie or a deletion, and costs little."""

from __future__ import annotations

import hashlib
import json
import logging
import tracemalloc
import zlib
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_mw import SessionManager, SessionMiddleware
from session_mw.codecs.base64url import b64encode
from session_mw.codecs.signed import PreparedSigner, SignedCodec

KEY = "test-secret-key-0123456789abcdef"
NOW = 1700000000
LIFETIME = 31 * 86400
G = "eyJhIjoxfQ.ZVPxAA.9hkqH6PKzZpOGDGFMPKfySe7Tp8"
EVIL = SignedCodec(KEY).encode(b'{"user":"attacker"}', NOW, NOW)
SIGNER = PreparedSigner([KEY], "cookie-session", "sha1")
SESSIONS = SessionManager(KEY)


@pytest.fixture(autouse=True)
def _now(clock: Any) -> None:
    clock.now = float(NOW)


def stamped(at: int) -> str:
    return b64encode(at.to_bytes(max(1, (at.bit_length() + 7) // 8), "big"))


def sealed(body: str, stamp: str = "ZVPxAA") -> str:
    value = f"{body}.{stamp}"
    return f"{value}.{SIGNER.get_signature(value).decode()}"


def signed(payload: bytes) -> str:
    return sealed(b64encode(payload))


def deflated(payload: bytes) -> str:
    return sealed("." + b64encode(zlib.compress(payload)))


class Response(NamedTuple):
    status: str
    headers: list[tuple[str, str]]
    seen: dict[str, Any]


def served(header: str, touch: Any = dict, sessions: SessionManager = SESSIONS) -> Response:
    """A request through the middleware to an application that touches its session."""
    sent: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(dict(touch(environ["session"]) or {}))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    seen: dict[str, Any] = {}
    environ = {"HTTP_COOKIE": header, "wsgi.url_scheme": "http", "HTTP_HOST": "example.com", "PATH_INFO": "/"}
    body = SessionMiddleware(app, sessions=sessions)(environ, lambda *said: sent.append(said))
    assert body == [b"ok"]
    return Response(sent[0][0], sent[0][1], seen)


READ_ONLY = [("Content-Type", "text/plain"), ("Vary", "Cookie")]


def assert_empty(header: str) -> None:
    """The app runs; its session is an empty, writable, new one; no cookie unless it writes."""
    assert served(header) == ("200 OK", READ_ONLY, {})
    assert served(header, lambda _: None) == ("200 OK", READ_ONLY[:1], {})
    session = SESSIONS.open({"HTTP_COOKIE": header})
    assert session == {}
    assert session.new
    assert SESSIONS.commit(session) == [("Vary", "Cookie")]
    session.clear()
    assert SESSIONS.commit(session) == [("Vary", "Cookie")], "nothing was accepted, so there is nothing to delete"
    session["b"] = 2
    cookie = SESSIONS.commit(session)[-1][1]
    assert dict(SESSIONS.open({"HTTP_COOKIE": cookie.partition(";")[0]})) == {"b": 2}


def assert_session(header: str, data: dict[str, Any] | None = None) -> None:
    assert served(header) == ("200 OK", READ_ONLY, {"a": 1} if data is None else data)


def levels(caplog: pytest.LogCaptureFixture) -> set[int]:
    return {record.levelno for record in caplog.records if record.name == "session_mw"}


# The Cookie header


@pytest.mark.parametrize(
    "header",
    [
        *["", ";;; ;=;", "session", "session=", 'session=""', "=", ";", " ", "session=;session=", "session;session"],
        *[f"=session={G}", f"SESSION={G}", f"%73ession={G}", f"xsession={G}", f"x=1,session={EVIL}"],
        *[f"x=hello session={EVIL}", f"\u2000session={G}", f"\xa0session={G}", f"session\xa0={G}", f"session =\xa0{G}"],
        *[
            f"session='{G}'",
            f'session="{G}',
            f'session={G}"',
            f'session=""{G}""',
            f"session=%22{G}%22",
            f"session={G},",
        ],
        *["session=\xff\xfe", "session=\ud800", "session=\x00", f"session={G[:5]}\x00{G[5:]}", f"session={G}\udcff"],
        *[
            f"session={G}\r\n",
            f"session={G}\n",
            f"session={G}\x0b",
            f"session={G} x",
            f"session[]={G}",
            "session=é.é.é",
        ],
        *["session=" + "x" * 5000, "session=" + "." * 4000, "session=" + "A" * 4096, f"session={'A' * 60000}.ZVPxAA.x"],
    ],
)
def test_a_header_without_an_acceptable_cookie_gives_an_empty_session(header):
    assert_empty(header)


@pytest.mark.parametrize(
    "header",
    [
        *[f"a=1;session={G}", f" session = {G} ; b=2", f'session="{G}"', f"\tsession\t=\t{G}\t", f"session={G};"],
        *[f"session=garbage; session={G}", f"session={G}; session=garbage", f"session=; session={G}"],
        *[
            f"session={G}; session={G}",
            f'session={G}; session="{G}"',
            f'a="x; session={G}; b=y"',
            f"session;session={G}",
        ],
        *[f"path=/; expires=1; session={G}", f'a[0]=1; {{"x":1}}; session={G}', f"\xff\xfe=\x00; session={G}"],
        *[f"session={G[:-1]}A; session={G}", f"session={'x' * 5000}; session={G}", f"session={G}; xsession={EVIL}"],
        f"session={SignedCodec(KEY).encode(b'{}', 0, NOW - LIFETIME - 1)}; session={G}",
    ],
)
def test_the_session_is_found_among_whatever_else_was_sent(header):
    assert_session(header)


def test_two_genuine_cookies_are_both_left_alone_with_a_warning(caplog):
    for header in (f"session={G}; session={EVIL}", f"session={EVIL}; x=1; session=junk; session={G}"):
        caplog.clear()
        assert served(header).seen == {}
        assert levels(caplog) == {logging.WARNING}


def test_what_the_app_writes_then_stands_alone_after_deletions_of_the_others():
    headers = served(f"session={G}; session={EVIL}", lambda s: s.__setitem__("b", 2)).headers
    cookies = [value for name, value in headers if name == "Set-Cookie"]
    deletion = "session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Domain=example.com; Path=/"
    assert cookies[0] == f"{deletion}; HttpOnly; SameSite=Lax"
    assert [cookie for cookie in cookies if "Max-Age=0" not in cookie] == [cookies[-1]]
    assert_session(cookies[-1].partition(";")[0], {"b": 2})


def forged(count: int) -> list[str]:
    return [f"session={G[:-5]}{n:05d}" for n in range(count)]


def test_eight_values_of_a_tokens_shape_are_tried_and_more_are_not_trusted():
    assert_session("; ".join([*forged(7), f"session={G}"]))
    assert_session("; ".join([f"session={G}", *forged(7)]))
    assert served("; ".join([*forged(8), f"session={G}"])).seen == {}
    assert served("; ".join([f"session={G}", *forged(8)])).seen == {}
    assert_session("; ".join([*(f"session=junk{n}" for n in range(500)), f"session={G}"]))


def test_no_more_than_eight_tokens_are_verified(monkeypatch):
    tried: list[str] = []
    decode = SignedCodec.decode

    def counting(self: SignedCodec, token: str) -> Any:
        tried.append(token)
        return decode(self, token)

    monkeypatch.setattr(SignedCodec, "decode", counting)
    assert served("; ".join(forged(1000))).seen == {}
    assert len(tried) <= 8


def test_a_header_of_64_kib_is_read_and_a_longer_one_is_ignored():
    assert_session(";" * (65536 - len(f"session={G}")) + f"session={G}")
    assert_empty(";" * (65537 - len(f"session={G}")) + f"session={G}")
    assert_empty(f"session={G}" + ";" * 260_000)


@pytest.mark.parametrize(
    "filler",
    ["\\" * 60_000, '\\"' * 30_000, '"' * 60_000, "=" * 60_000, "a=b;" * 15_000, " " * 60_000, "session" * 8000],
)
def test_a_hostile_header_of_60_kb_hides_no_session(filler):
    assert_session(f'a="{filler}"; session={G}')


def memory_of(header: str) -> int:
    session = SESSIONS.open({"HTTP_COOKIE": header})
    tracemalloc.start()
    try:
        len(session)
        SESSIONS.commit(session)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "header",
    [
        ";" * 260_000,
        ";" * 65_000,
        "session=x;" * 6500,
        "".join(f"session={n};" for n in range(4500)),
        f"session={'A' * 65_000}",
        f"session={deflated(b'x' * 3_000_000)}",
        f"session={deflated(b'[' * 1_000_000)}",
        f"session={deflated(b' ' * 1_000_000)}",
        f"session={deflated(b'{' + b' ' * 1_000_000)}",
        f"session={'.' * 4000}",
    ],
)
def test_a_hostile_header_takes_less_than_four_megabytes(header):
    assert memory_of(header) < 4_000_000


hostile = st.lists(
    st.sampled_from(
        ["session", "=", ";", '"', " ", G, EVIL[:-1], ".", "..", "\\", "\xa0", "\x00", "é", "session=", "e30"]
    )
    | st.text(max_size=4),
    max_size=12,
).map("".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hostile)
def test_no_header_ever_raises_or_is_answered_with_a_cookie(header):
    for touch in (dict, lambda _: None):
        response = served(header, touch)
        assert response.status == "200 OK"
        assert "Set-Cookie" not in dict(response.headers)
        assert response.seen in ({}, {"a": 1})


# Tokens


def test_every_change_insertion_and_deletion_gives_an_empty_session():
    changed = [G[:n] + other + G[n + 1 :] for n in range(len(G)) for other in "Aa0_-.=" if other != G[n]]
    inserted = [G[:n] + other + G[n:] for n in range(len(G) + 1) for other in "A.=\x00é"]
    deleted = [G[:n] + G[n + 1 :] for n in range(len(G))]
    swapped = [".".join(order) for order in (G.split(".")[::-1], G.split(".")[1:] + G.split(".")[:1])]
    for token in (*changed, *inserted, *deleted, *swapped, f"{G}=", f"{G}A", f"{G}.x", f".{G}", f"{G}{G}", f"{G}.{G}"):
        assert served(f"session={token}") == ("200 OK", READ_ONLY, {})


WRONG = [
    *[
        b'{" t":5}',
        b'{" t":"x"}',
        b'{" t":{}}',
        b'{" b":5}',
        b'{" b":"A"}',
        b'{" m":5}',
        b'{" m":null}',
        b'{" u":"zz"}',
    ],
    *[
        b'{" u":5}',
        b'{" d":"garbage"}',
        b'{" d":5}',
        b'{" di":{}}',
        b'{" di":5}',
        b'{" di":{"a":1,"b":2}}',
        b'{" t":[1]}',
    ],
]
BAD_CONTENT = [
    *[
        b"[1,2]",
        b'"text"',
        b"null",
        b"1",
        b"true",
        b"",
        b" ",
        b"{",
        b'{"a":1}x',
        b'{"a":1}{"a":1}',
        b"NaN",
        b"\xff\xfe",
    ],
    *[b'{"a":"\xff"}', b'{"a":1,"a":2}', b"{'a':1}", b'{"a":' * 1000, b'{"a":' * 70 + b"1" + b"}" * 70],
    *[b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", b'{"a":' + b"9" * 5000 + b"}", b'{"a":"\n"}', b"\xef\xbb\xbf{}"],
    *[b'{"_created":"x"}', b'{"_created":null}', b'{"_created":NaN}', b'{"_created":Infinity}', b'{"_created":1.5}'],
    *[b'{"_created":true}', b'{"_created":-1}', b'{"_created":1e9}', b'{"_created":9e999}', b'{"_created":[1]}'],
    *[f'{{"_created":{at}}}'.encode() for at in (NOW + 61, 2**40, 2**63, 2**200)],
    *[b'{"_principal":5}', b'{"_principal":null}', b'{"_principal":""}', b'{"_principal":["a"]}'],
    *WRONG,
    *[b'{"v":%s}' % wrong for wrong in WRONG[:-1]],
]


@pytest.mark.parametrize("payload", BAD_CONTENT, ids=lambda payload: repr(payload[:20]))
def test_correctly_signed_content_that_is_no_session_is_empty_with_a_warning(payload, caplog):
    for token in {signed(payload), deflated(payload)}:
        if len(token) <= 4096 and not token.startswith((".ZVPxAA", "..")):
            caplog.clear()
            assert_empty(f"session={token}")
            assert levels(caplog) == {logging.WARNING}


@pytest.mark.parametrize(
    "body",
    [
        *[
            ".garbage",
            ".eJw",
            "eyJhIjoxfR",
            "eyJhIjoxf",
            ".eyJhIjoxfQ",
            "." + b64encode(zlib.compress(b'{"a":1}')[:-1]),
        ],
        *["." + b64encode(zlib.compress(b'{"a":1}') + extra) for extra in (b"\0", b"x" * 100, zlib.compress(b"{}"))],
        *["." + b64encode(zlib.compress(b"{" + b" " * size + b"}")) for size in (2**20 - 1, 2**20, 3_000_000)],
    ],
)
def test_correctly_signed_encodings_that_are_not_canonical_are_empty_with_a_warning(body, caplog):
    assert_empty(f"session={sealed(body)}")
    assert levels(caplog) == {logging.WARNING}


@pytest.mark.parametrize("stamp", ["AGVT8QA", "AAAA", "ZVPxAB", "A", "AA"])
def test_a_timestamp_of_another_spelling_or_of_1970_is_refused(stamp):
    assert_empty(f"session={sealed('eyJhIjoxfQ', stamp)}")


@pytest.mark.parametrize(
    ("at", "accepted"),
    [
        *[(NOW, True), (NOW - LIFETIME, True), (NOW - LIFETIME - 1, False), (NOW + 60, True), (NOW + 61, False)],
        *[(2**40, False), (2**63, False), (2**64 - 1, False), (253402300800, False), (1, False), (189502054, False)],
    ],
)
def test_a_timestamp_is_accepted_from_the_lifetime_ago_to_the_leeway_ahead(at, accepted):
    token = sealed("eyJhIjoxfQ", stamped(at))
    assert_session(f"session={token}") if accepted else assert_empty(f"session={token}")


def dense(length: int) -> str:
    """Text that does not compress to less than its base64."""
    return "".join(
        "!#$%&()*+-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_abcdefghijklmnopqrstuvwxyz{|}~"[byte % 88]
        for n in range(length // 64 + 1)
        for byte in hashlib.sha512(b"%d" % n).digest()
    )[:length]


def test_a_token_of_4096_bytes_is_read_and_a_longer_one_is_not():
    for length, seen in ((3037, True), (3038, False)):
        token = signed(json.dumps({"a": dense(length)}, separators=(",", ":")).encode())
        assert (len(token) <= 4096) == seen
        assert bool(served(f"session={token}").seen) == seen


def test_a_refresh_that_would_not_fit_is_left_out_and_never_an_error():
    payloads = (b'{"_permanent":true,"a":"%s"}' % dense(length).encode() for length in range(3500, 4500))
    token = next(token for token in map(deflated, payloads) if len(token) > 4096 - len("session"))
    assert len(token) <= 4096
    for sessions in (SESSIONS, SessionManager(KEY, absolute_lifetime=86400)):
        assert served(f"session={token}", lambda _: None, sessions).headers == READ_ONLY[:1]
        assert served(f"session={token}", dict, sessions).headers == READ_ONLY


@pytest.mark.parametrize("stream", [b"[]," * 340_000, b'{"a":1},' * 120_000, b'"",' * 340_000, b'"\\u0041",' * 110_000])
def test_a_genuine_token_of_much_content_is_read_in_bounded_memory(stream):
    token = deflated(b'{"l":[' + stream + b"1]}")
    assert len(token) <= 4096
    assert memory_of(f"session={token}") < 60_000_000


def test_a_genuine_token_of_one_long_text_is_judged_in_bounded_memory():
    token = deflated(b'{"a":"' + b"x" * 1_000_000 + b'","l":[' + b"[]," * 80 + b"1]}")
    assert len(token) <= 4096
    assert memory_of(f"session={token}") < 8_000_000


# Other formats


def test_a_token_of_another_key_salt_or_digest_is_refused():
    for codec in (
        SignedCodec("another-secret-key-0123456789abc"),
        SignedCodec(KEY, salt="other"),
        SignedCodec(KEY, digest="sha256"),
        SignedCodec(KEY, digest="sha512"),
    ):
        assert_empty(f"session={codec.encode(b'{}', 0, NOW)}")


@pytest.mark.parametrize("key", ["", "\0", "session", G])
def test_a_token_signed_with_a_key_that_anyone_knows_is_refused(key):
    assert_empty(f"session={SignedCodec(key).encode(b'{}', 0, NOW)}")


def test_a_manager_that_encrypts_refuses_what_is_only_signed_and_the_reverse():
    pytest.importorskip("cryptography")
    encrypting = SessionManager(KEY, encrypt=True)
    assert served(f"session={G}", dict, encrypting) == ("200 OK", READ_ONLY, {})
    token = served("", lambda s: s.__setitem__("a", 1), encrypting).headers[-1][1].partition(";")[0]
    assert served(token, dict, encrypting).seen == {"a": 1}
    assert_empty(token)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hostile)
def test_no_header_ever_raises_where_cookies_are_encrypted(header):
    pytest.importorskip("cryptography")
    assert served(header, dict, SessionManager(KEY, encrypt=True)) == ("200 OK", READ_ONLY, {})


# Logs


PERMANENT_LIST = b'["_permanent"]'
EXPIRED = SignedCodec(KEY).encode(b"{}", 0, NOW - LIFETIME - 1)


@pytest.mark.parametrize(
    ("header", "level", "reason"),
    [
        (f"session={EXPIRED}", logging.DEBUG, "expired"),
        (f"session={G[:-1]}A", logging.INFO, "bad_signature"),
        ("session=garbage", logging.INFO, "malformed"),
        ("session=\xff\xfe", logging.INFO, "malformed"),
        ("session=" + "x" * 5000, logging.INFO, "malformed"),
        ("session=a; session=b", logging.INFO, "malformed"),
        (f"session={sealed('e30', stamped(NOW + 61))}", logging.INFO, "future"),
        (f"session={signed(PERMANENT_LIST)}", logging.WARNING, "bad_payload"),
        (f"session={sealed('.eJw')}", logging.WARNING, "bad_payload"),
        (f"session={G}; session={EVIL}", logging.WARNING, "ambiguous"),
    ],
)
@pytest.mark.parametrize("touch", [dict, lambda _: None])
def test_each_refusal_is_logged_once_with_its_reason_at_its_level(header, level, reason, touch, caplog):
    caplog.set_level(logging.DEBUG, "session_mw")
    served(header, touch)
    (record,) = caplog.records
    assert record.levelno == level
    assert f"refused: {reason} (fingerprint " in record.getMessage()


@pytest.mark.parametrize(
    "value",
    [G[:-1] + "A", EXPIRED, signed(b'["hunter2"]'), "a\r\nINFO forged line", "\x1b[31m", "\ud800\n", "x" * 5000],
)
def test_no_log_line_holds_the_token_its_data_or_a_line_break(value, caplog):
    caplog.set_level(logging.DEBUG, "session_mw")
    served(f"session={value}")
    served(f"session={value}; session={G}; session={EVIL}")
    assert caplog.records
    for record in caplog.records:
        text = logging.Formatter().format(record)
        assert text.isascii()
        assert text.isprintable()
        for part in (value, G, EVIL, value[:12], "hunter2", "attacker", KEY):
            assert part not in text


def test_a_fingerprint_tells_tokens_apart_and_is_another_in_another_process(caplog):
    caplog.set_level(logging.INFO, "session_mw")
    for value in ("one", "one", "two"):
        served(f"session={value}")
    served("session=one", dict, SessionManager(KEY))
    one, again, two, elsewhere = (record.getMessage() for record in caplog.records)
    assert one == again
    assert len({one, two, elsewhere}) == 3


def test_a_header_full_of_garbage_is_logged_in_a_few_lines(caplog):
    caplog.set_level(logging.DEBUG, "session_mw")
    served(";".join(f"session=junk{n}" for n in range(4000)))
    served("; ".join(forged(1000)))
    assert len(caplog.records) <= 12


# What its holder's key signed, and nobody looked at


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
    if encrypt:
        pytest.importorskip("cryptography")
    sessions = SessionManager(KEY, encrypt=encrypt)
    token = sessions._home._codec.encode(payload, NOW, NOW)  # type: ignore[union-attr]
    environ = {"HTTP_COOKIE": f"session={token}"}
    for _ in range(3):
        caplog.clear()
        assert sessions.commit(sessions.open(environ)) == []
        assert "bad_payload" in caplog.text
    assert dict(sessions.open(environ)) == {}
    assert sessions.commit(sessions.open(environ)) == []
