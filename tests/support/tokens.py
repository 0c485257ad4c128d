"""Cookies' values: made by the package, by Flask's own signer, and of any length."""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

from itsdangerous import TimestampSigner
from itsdangerous.encoding import base64_encode

from session_mw import SessionManager

KEY = "test-secret-key-0123456789abcdef"
OTHER_KEY = "another-secret-key-0123456789abc"
NOW = 1700000000
"""The time of the tokens below, and of the clock in tests that use ``now``."""


def token_of(data: dict[str, Any], secret_key: str = KEY, **settings: Any) -> str:
    """An authentic token of ``data``."""
    sessions = SessionManager(secret_key, **settings)
    session = sessions.open({})
    session.update(data)
    return token_in(sessions.commit(session))


def read(token: str, **settings: Any) -> dict[str, Any]:
    """What a token holds; empty if it is rejected."""
    name = settings.get("cookie_name", "session")
    return SessionManager(KEY, **settings).open({"HTTP_COOKIE": f"{name}={token}"}).copy()


def token_in(headers: list[tuple[str, str]]) -> str:
    """The value of the one cookie that is set."""
    (cookie,) = (value for name, value in headers if name == "Set-Cookie")
    return cookie.partition("=")[2].partition(";")[0]


def stamp_of(at: int) -> str:
    """A time as it stands in a token."""
    return base64_encode(at.to_bytes(max(1, (at.bit_length() + 7) // 8), "big")).decode()


def sealed(body: str, stamp: str = stamp_of(NOW), key: str = KEY) -> str:
    """A correctly signed token of any two parts, well-formed or not."""
    value = f"{body}.{stamp}"
    signer = TimestampSigner(key, salt="cookie-session", key_derivation="hmac")
    return f"{value}.{signer.get_signature(value).decode()}"


def signed(payload: bytes, at: int = NOW, key: str = KEY) -> str:
    """A correctly signed token of any bytes, as only the key's holder can make it."""
    return sealed(base64_encode(payload).decode(), stamp_of(at), key)


def deflated(payload: bytes, at: int = NOW) -> str:
    """The same, compressed."""
    return sealed("." + base64_encode(zlib.compress(payload)).decode(), stamp_of(at))


def noise(length: int) -> str:
    """Hexadecimal text that compression makes half as long at best."""
    blocks = (hashlib.sha256(str(n).encode()).hexdigest() for n in range(length // 64 + 1))
    return "".join(blocks)[:length]
