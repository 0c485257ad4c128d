"""What must hold for any input: rules for tokens, payloads and Cookie headers, and inputs to start from."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import NamedTuple

from itsdangerous import TimestampSigner

from session_mw.codecs.base64url import b64encode
from session_mw.codecs.encrypted import EncryptedCodec
from session_mw.codecs.signed import SignedCodec
from session_mw.cookies import MAX_HEADER, SessionCookie
from session_mw.exceptions import BadToken
from session_mw.manager import SessionManager
from session_mw.protocols import Codec
from session_mw.tagged_json import TaggedJSON
from support import encrypted_reference as reference

KEY, OLD = b"fuzzed-secret-key-0123456789abcd", b"an old key: 0123456789abcdef0123"
SALT, NAME, NOW = "cookie-session", "session", 1700000000
PAYLOADS = [b"{}", b'{"a":1}', b'{"cart":["apple"],"name":"Zo\\u00eb"}', b'{"x":"' + b"A" * 200 + b'"}']
TAGGED = [
    b'{"v":{" t":[1]}}',
    b'{"v":{" b":"AA=="}}',
    b'{"v":{" u":"' + b"0" * 32 + b'"}}',
    b'{"v":{" di":{" t__":1}}}',
]
DATE = b'{"v":{" d":"Tue, 02 Jan 2024 03:04:05 GMT"}}'


def both_keys() -> list[Codec]:
    """Both codecs, each with a key and a fallback."""
    return [SignedCodec(KEY, [OLD]), EncryptedCodec(KEY, [OLD], cookie_name=NAME, compress=True)]


SIGNED, ENCRYPTED = both_keys()
SIGNER = TimestampSigner(KEY, salt=SALT, key_derivation="hmac")
KEYS = reference.keys_of(reference.COOKIE, {"secret key": KEY.decode(), "salt": SALT, "cookie name": NAME})
PLAIN, COMPRESSED = b"\x01", b"\x02"
COOKIE = SessionCookie(NAME, domain=None, path="/", secure="auto", httponly=True, samesite="Lax", partitioned=False)
JSON = TaggedJSON()
CENTURY = 100 * 366 * 86400
MANAGERS = [
    SessionManager(KEY, secret_key_fallbacks=[OLD], lifetime=CENTURY),
    SessionManager(KEY, secret_key_fallbacks=[OLD], lifetime=CENTURY, encrypt=True),
]


def authentic_tokens() -> list[str]:
    """Tokens that must open: of both codecs, of the current and of the old key."""
    old: list[Codec] = [SignedCodec(OLD), EncryptedCodec(OLD, cookie_name=NAME)]
    return [codec.encode(payload, NOW, NOW) for codec in (SIGNED, ENCRYPTED, *old) for payload in PAYLOADS]


AUTHENTIC = authentic_tokens()
KNOWN = frozenset(AUTHENTIC)


# What must hold


def check_token(data: bytes) -> None:
    """A token opens only if it was issued, character for character; anything else is a BadToken."""
    token = data.decode("latin-1")
    for codec in (SIGNED, ENCRYPTED):
        if codec.shape.fullmatch(token) and opens(codec, token):
            assert token in KNOWN, "a token that nobody issued was opened"


def opens(codec: Codec, token: str) -> bool:
    try:
        opened = codec.decode(token)
    except BadToken:
        return False
    assert codec.decode(codec.renew(token, NOW))[0] == opened[0]
    return True


def check_signed_content(data: bytes) -> None:
    """Whatever stands in a token that was signed with the key, it opens or is a BadToken."""
    body, _, stamp = data.decode("latin-1").partition(".")
    for text in (data.decode("latin-1"), f".{b64encode(data)}.ZVPxAA", f"{body}.{stamp}"):
        token = f"{text}.{SIGNER.get_signature(text.encode()).decode()}"
        if SIGNED.shape.fullmatch(token) and opens(SIGNED, token):
            check_json(SIGNED.decode(token)[0])


def check_encrypted_content(data: bytes) -> None:
    """The same of a token that was encrypted with the key."""
    for version in (PLAIN, COMPRESSED, data[:1] or b"\0"):
        token = reference.text(reference.seal(KEYS, version, bytes(8) + data))
        if ENCRYPTED.shape.fullmatch(token) and opens(ENCRYPTED, token):
            assert version in (PLAIN, COMPRESSED), "a version that does not exist was opened"
            check_json(ENCRYPTED.decode(token)[0])


def check_json(data: bytes) -> None:
    """A payload is a session's data, which are written again and read as the same, or a BadToken."""
    try:
        session = JSON.loads(data)
    except BadToken:
        return
    written = JSON.dumps(session)
    assert JSON.dumps(JSON.loads(written)) == written, "what was written is read as something else"


def check_header(data: bytes) -> None:
    """Values are found whatever stands before and after them, and only in cookies of the name."""
    header = data.decode("latin-1")
    values = COOKIE.values(header)
    assert len(set(values)) == len(values)
    assert all(value in header and ";" not in value for value in values)
    for longer in (
        f"{header};session={AUTHENTIC[0]}",
        f"{NAME}={AUTHENTIC[0]};{header}",
        f"{header}; session = {AUTHENTIC[0]} ",
    ):
        assert (AUTHENTIC[0] in COOKIE.values(longer)) == (len(longer) <= MAX_HEADER)
    assert (
        AUTHENTIC[1] not in COOKIE.values(f"{header};=session={AUTHENTIC[1]};xsession={AUTHENTIC[1]}")
        or AUTHENTIC[1] in header
    )


def check_request(data: bytes) -> None:
    """Whatever a client sends as Cookie, Host and path, the session works, and it is empty if made up."""
    cookie, host, path, *_ = (data + b"\n\n").decode("latin-1").split("\n")
    environ = {"HTTP_COOKIE": cookie, "HTTP_HOST": host, "PATH_INFO": path, "wsgi.url_scheme": "https"}
    for manager in MANAGERS:
        session = manager.open(environ)
        assert not session or any(token in cookie for token in AUTHENTIC), "a session was made up"
        assert printable(manager.commit(session))
        session["seen"] = True
        assert printable(manager.commit(session))


def printable(headers: list[tuple[str, str]]) -> bool:
    return all(text.isascii() and text.isprintable() for header in headers for text in header)


class Target(NamedTuple):
    """A rule and the inputs to start from."""

    check: Callable[[bytes], None]
    seeds: list[bytes]


def headers() -> list[bytes]:
    around = [
        "session={}",
        "a=1; session={}",
        'session="{}"; b="x; y"',
        " session = {} ;;=;",
        "session=garbage;session={}",
    ]
    return [text.format(token).encode() for text in around for token in AUTHENTIC[:2]]


def requests() -> list[bytes]:
    """Cookies of one token and of two that are both authentic, which makes the manager answer with deletions."""
    two = f"session={AUTHENTIC[1]}; session={AUTHENTIC[2]}\nwww.shop.example:8443\n/a/b/".encode()
    sealed = f"session={AUTHENTIC[5]}; session={AUTHENTIC[6]}\n127.0.0.1\n/".encode()
    return [*headers(), two, sealed]


def signed_bodies() -> list[bytes]:
    bodies = [token.rpartition(".")[0].encode() for token in AUTHENTIC if "." in token]
    return [*bodies, b"W10.ZVPxAA", b"e30.gAAAAAAAAAA", *map(zlib.compress, PAYLOADS)]


TARGETS = {
    "token": Target(check_token, [token.encode() for token in AUTHENTIC]),
    "signed": Target(check_signed_content, signed_bodies()),
    "encrypted": Target(check_encrypted_content, [*PAYLOADS, *map(zlib.compress, PAYLOADS)]),
    "json": Target(check_json, [*PAYLOADS, *TAGGED, DATE]),
    "header": Target(check_header, headers()),
    "request": Target(check_request, requests()),
}
