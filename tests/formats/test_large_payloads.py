"""A cookie of 4 KB may not take megabytes of memory to read, and nothing is written that would not be read."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from typing import NamedTuple

import pytest

from session_mw import CookieTooLarge, NotSerializable, SessionManager
from session_mw.codecs.base64url import b64encode
from session_mw.codecs.inflate import inflate
from session_mw.exceptions import BadToken
from session_mw.protocols import MAX_PAYLOAD
from support.tokens import NOW, sealed

KEY = "a key of the tests of large payloads"
MIB = 1024 * 1024
SMALL = 64 * 1024
"""Bytes of a payload that is read whatever stands in it."""

pytestmark = pytest.mark.usefixtures("now")


def opened(sessions: SessionManager, payload: bytes):
    """A session whose authentic token holds the payload, compressed by somebody else."""
    token = sealed("." + b64encode(zlib.compress(payload, 9)), key=KEY)
    assert len(token) <= 4096
    return sessions.open({"HTTP_COOKIE": f"session={token}"})


def padded(head: bytes, unit: bytes, tail: bytes, size: int) -> bytes:
    return head + unit * ((size - len(head) - len(tail)) // len(unit)) + tail


class AsLongAsRead(NamedTuple):
    """As many units as are read, found out when it is asked for: that takes its time."""

    head: bytes
    unit: bytes
    tail: bytes


def longest(head: bytes, unit: bytes, tail: bytes) -> bytes:
    few, many = 1, MAX_PAYLOAD // len(unit)
    while many - few > 1 + few // 2000:
        middle = (few + many) // 2
        few, many = (middle, many) if is_read(head + unit * middle + tail) else (few, middle)
    return head + unit * few + tail


def is_read(payload: bytes) -> bool:
    try:
        return bool(inflate(zlib.compress(payload, 1)))
    except BadToken:
        return False


UNITS = [
    *(b"0,", b"257,", b"1.5,", b"[],", b"{},", b'{"":1},', b'"xy",', b'"xyxyxyxyxyxyxyxyxyxy",', b"[[],[]],"),
    *(b'{"a":{}},', b'"\\u0416",', b'"\\u00e9",', b"null,", b"18446744073709551616,"),
]
PAYLOADS = [
    *(padded(b'{"a":[', unit, b"0]}", size) for unit in UNITS for size in (SMALL, MAX_PAYLOAD)),
    *(AsLongAsRead(b'{"a":[', unit, b"0]}") for unit in UNITS),
    AsLongAsRead(b'{"a":"', b"x", b'\\ud83d\\ude00"}'),
    AsLongAsRead(b'{"a":"', b"x", '\N{GRINNING FACE}"}'.encode()),
    AsLongAsRead(b'{"a":"', "\N{GRINNING FACE}".encode(), b'"}'),
    AsLongAsRead(b'{"b":{', b'"":0,', b'"x":1}}'),
    padded(b'{"a":"', b"x", b'"}', MAX_PAYLOAD),
    padded(b'{"a":"', "\N{LATIN SMALL LETTER Y WITH DIAERESIS}".encode(), b'"}', MAX_PAYLOAD),
    padded(b'{"a":"', b"x", '\N{LATIN CAPITAL LETTER A WITH MACRON}"}'.encode(), MAX_PAYLOAD),
    padded(b'{"a":"', rb"\u00ff", b'"}', MAX_PAYLOAD),
    padded(b'{"a":"', b"x", b'\\ud83d\\ude00"}', MAX_PAYLOAD),
    padded(b'{"a":"', b"x", '\N{GRINNING FACE}"}'.encode(), MAX_PAYLOAD),
    b'{"a":[' + padded(b"[" * 70 + b"]" * 70, b',"xy"', b"]}", SMALL),
    b'{"a":[' + padded(b"[" * 70 + b"]" * 70, b'"', b"]}", MAX_PAYLOAD),
    b"[" * MAX_PAYLOAD,
    b'{"a":' + b"9" * 500_000 + b"}",
]


def name_of(payload: bytes | AsLongAsRead) -> str:
    if isinstance(payload, AsLongAsRead):
        return f"{payload.head!r} {payload.unit!r} {payload.tail!r} as long as is read"
    return f"{payload[:16]!r} {len(payload)}"


@pytest.mark.parametrize("payload", PAYLOADS, ids=name_of)
def test_whatever_an_authentic_cookie_holds_reading_it_takes_less_than_4_mib(payload):
    payload = longest(*payload) if isinstance(payload, AsLongAsRead) else payload
    sessions = SessionManager(KEY)
    dict(opened(sessions, b'{"a":1}' * 3))
    session = opened(sessions, payload)
    tracemalloc.start()
    try:
        session.get("a")
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        {"a": "x" * (MAX_PAYLOAD - 8)},
        {"a": "\N{LATIN SMALL LETTER Y WITH DIAERESIS}" * 170_000},
        {"a": [0] * 80_000},
        {"a": [100_000] * 60_000},
        {"a": ["x, y"] * 20_000},
        {"a": "x" * 350_000 + "\N{SNOWMAN}"},
        {"a": "\N{GRINNING FACE}" * 20_000},
        {"a": [[]] * 21_000},
    ],
    ids=lambda data: str(data)[:20],
)
def test_much_that_takes_little_memory_is_kept_in_a_cookie(data):
    sessions = SessionManager(KEY)
    session = sessions.open({})
    session.update(data)
    cookie = dict(sessions.commit(session))["Set-Cookie"].partition(";")[0]
    assert sessions.open({"HTTP_COOKIE": cookie}) == data


@pytest.mark.parametrize(
    "data",
    [{"a": [0] * 300_000}, {"a": [[]] * 60_000}, {"a": "x" * 500_000 + "\N{SNOWMAN}"}],
    ids=lambda d: str(d)[:20],
)
def test_what_would_be_refused_when_it_is_read_is_refused_when_it_is_written(data):
    sessions = SessionManager(KEY)
    session = sessions.open({})
    session.update(data)
    with pytest.raises(NotSerializable, match=r"too much memory to be read from a cookie; move it to the server"):
        sessions.commit(session)
    assert not opened(sessions, str(data).replace("'", '"').encode())


def test_what_no_cookie_holds_anyway_is_too_large():
    sessions = SessionManager(KEY)
    session = sessions.open({})
    session["numbers"] = random.Random(1).sample(range(10**6), 50_000)
    with pytest.raises(CookieTooLarge, match="'numbers'"):
        sessions.commit(session)


def test_a_store_keeps_long_lists():
    sessions = SessionManager(store="memory://")
    session = sessions.open({})
    session["zeros"] = [0] * 300_000
    cookie = dict(sessions.commit(session))["Set-Cookie"].partition(";")[0]
    assert len(sessions.open({"HTTP_COOKIE": cookie})["zeros"]) == 300_000


def test_an_encrypted_cookie_that_is_compressed_has_the_same_limits():
    encrypted = pytest.importorskip("session_mw.codecs.encrypted")
    codec = encrypted.EncryptedCodec(KEY.encode(), cookie_name="session", compress=True)
    with pytest.raises(NotSerializable, match="too much memory"):
        codec.encode(b'{"a":[' + b"0," * 300_000 + b"0]}", NOW, NOW)
    text = b'{"a":"' + b"x" * 300_000 + b'"}'
    assert codec.decode(codec.encode(text, NOW, NOW))[0] == text
