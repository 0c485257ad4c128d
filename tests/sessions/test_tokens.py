"""Tokens that are forged, expired, or correctly signed and no session: the session is empty and new."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import stat
import zlib

import pytest

from session_mw import FileStore, SessionManager
from session_mw.codecs.base64url import b64encode
from session_mw.codecs.signed import SignedCodec
from support.hostile import AUTHENTIC as G
from support.hostile import READ_ONLY, assert_empty, assert_session, levels, memory_of, served
from support.tokens import KEY, NOW, deflated, read, sealed, signed, stamp_of, token_of
from support.visitors import Client
from support.wsgi import guarded, page, visit

pytestmark = pytest.mark.usefixtures("now")

LIFETIME = 31 * 86400


# Forged


def test_every_change_insertion_and_deletion_gives_an_empty_session():
    changed = [G[:n] + other + G[n + 1 :] for n in range(len(G)) for other in "Aa0_-.=" if other != G[n]]
    inserted = [G[:n] + other + G[n:] for n in range(len(G) + 1) for other in "A.=\x00é"]
    deleted = [G[:n] + G[n + 1 :] for n in range(len(G))]
    swapped = [".".join(order) for order in (G.split(".")[::-1], G.split(".")[1:] + G.split(".")[:1])]
    for token in (*changed, *inserted, *deleted, *swapped, f"{G}=", f"{G}A", f"{G}.x", f".{G}", f"{G}{G}", f"{G}.{G}"):
        assert served(f"session={token}") == ("200 OK", READ_ONLY, {})


def test_a_token_of_another_key_salt_or_digest_is_rejected():
    for codec in (
        SignedCodec("another-secret-key-0123456789abc"),
        SignedCodec(KEY, salt="other"),
        SignedCodec(KEY, digest="sha256"),
        SignedCodec(KEY, digest="sha512"),
    ):
        assert_empty(f"session={codec.encode(b'{}', 0, NOW)}")


@pytest.mark.parametrize("key", ["", "\0", "session", G])
def test_a_token_signed_with_a_key_that_anyone_knows_is_rejected(key):
    assert_empty(f"session={SignedCodec(key).encode(b'{}', 0, NOW)}")


def test_a_manager_that_encrypts_rejects_what_is_only_signed_and_the_reverse():
    pytest.importorskip("cryptography")
    encrypting = SessionManager(KEY, encrypt=True)
    assert served(f"session={G}", dict, encrypting) == ("200 OK", READ_ONLY, {})
    token = served("", lambda s: s.__setitem__("a", 1), encrypting).headers[-1][1].partition(";")[0]
    assert served(token, dict, encrypting).seen == {"a": 1}
    assert_empty(token)


# Correctly signed


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
def test_correctly_signed_content_that_is_not_a_session_is_empty_with_a_warning(payload, caplog):
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


def test_numbers_that_are_not_times_may_be_infinite():
    found = read(token_of({"a": math.inf, "b": math.nan}))
    assert found["a"] == math.inf
    assert math.isnan(found["b"])


# Its time


@pytest.mark.parametrize("stamp", ["AGVT8QA", "AAAA", "ZVPxAB", "A", "AA"])
def test_a_timestamp_of_another_spelling_or_of_1970_is_rejected(stamp):
    assert_empty(f"session={sealed('eyJhIjoxfQ', stamp)}")


@pytest.mark.parametrize(
    ("at", "accepted"),
    [
        *[(NOW, True), (NOW - LIFETIME, True), (NOW - LIFETIME - 1, False), (NOW + 60, True), (NOW + 61, False)],
        *[(2**40, False), (2**63, False), (2**64 - 1, False), (253402300800, False), (1, False), (189502054, False)],
    ],
)
def test_a_timestamp_is_accepted_from_the_lifetime_ago_to_the_leeway_ahead(at, accepted):
    token = sealed("eyJhIjoxfQ", stamp_of(at))
    assert_session(f"session={token}") if accepted else assert_empty(f"session={token}")


@pytest.mark.parametrize("at", [2**40, 2**63, 253402300800, 2**88 - 1, 0])
@pytest.mark.parametrize("do", [dict, lambda session: {}])
def test_a_timestamp_past_the_year_9999_is_an_empty_session(at, do):
    answer = visit(guarded(page(do)), cookie="session=" + signed(b'{"_permanent":true}', at))
    assert (answer.body, answer.cookies) == (b"{}", [])


# Its length


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


@pytest.mark.parametrize("stream", [b"[]," * 340_000, b'{"a":1},' * 120_000, b'"",' * 340_000, b'"\\u0041",' * 110_000])
def test_an_authentic_token_of_much_content_is_read_in_bounded_memory(stream):
    token = deflated(b'{"l":[' + stream + b"1]}")
    assert len(token) <= 4096
    assert memory_of(f"session={token}") < 60_000_000


def test_an_authentic_token_of_one_long_text_is_judged_in_bounded_memory():
    token = deflated(b'{"a":"' + b"x" * 1_000_000 + b'","l":[' + b"[]," * 80 + b"1]}")
    assert len(token) <= 4096
    assert memory_of(f"session={token}") < 8_000_000


# A stored session's token is its id


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


def test_an_id_does_not_leave_the_directory_of_a_file_store(tmp_path):
    (tmp_path / "secret").write_bytes(b'{"a":1}')
    app = guarded(page(lambda s: (dict(s), s.update(a=1))), store=FileStore(tmp_path / "sessions"))
    for token in ("../secret", "..%2fsecret", "/etc/passwd", "a/b", "." * 43):
        assert visit(app, cookie=f"session={token}").body == b"({}, None)"
    made = [path for path in (tmp_path / "sessions").rglob("*") if path.is_file()]
    assert made
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o600}
    assert stat.S_IMODE((tmp_path / "sessions").stat().st_mode) == 0o700
