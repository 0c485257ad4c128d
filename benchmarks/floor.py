"""The floor: how fast Python can be that keeps Flask's bytes.

Written by hand for the scenarios alone, on itsdangerous's signer. It has none of the
features: no look at what changed inside a list, no late changes, no limits, one key, one
cookie of the name, no tags. What it leaves out is what session_mw's extra time buys.
"""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from binascii import a2b_base64, b2a_base64
from hmac import compare_digest
from typing import Any

from itsdangerous import Signer

from scenarios import App, Environ, StartResponse

LIFETIME = 31 * 86400
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
TO_URL = bytes.maketrans(b"+/", b"-_")
FROM_URL = bytes.maketrans(b"-_", b"+/")
PADDING = (b"", b"", b"==", b"=")
SCALARS = frozenset({str, int, float, bool, type(None)})
PLAIN = SCALARS | {list}
encode_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False).encode
decode_json = json.JSONDecoder().raw_decode


class LeanSigner(Signer):
    """itsdangerous's signer whose key is in two SHA-1 states, ready to be copied (RFC 2104)."""

    def __init__(self, key: str) -> None:
        super().__init__(key, salt="cookie-session", key_derivation="hmac", digest_method=hashlib.sha1)
        block = self.derive_key().ljust(64, b"\0")
        self._inner = hashlib.sha1(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha1(bytes(byte ^ 0x5C for byte in block))

    def get_signature(self, value: str | bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(value)  # type: ignore[arg-type]
        outer.update(inner.digest())
        return b2a_base64(outer.digest(), newline=False).translate(TO_URL)[:27]


class FloorSession(dict[str, Any]):
    """A dict that decodes its token at the first touch."""

    __slots__ = ("accessed", "floor", "modified", "token")

    accessed: bool
    floor: Floor
    modified: bool
    token: bytes | None

    def __getitem__(self, key: str) -> Any:
        if not self.accessed:
            self.load()
        return dict.__getitem__(self, key)

    def get(self, key: str, default: Any = None) -> Any:
        if not self.accessed:
            self.load()
        return dict.get(self, key, default)

    def __setitem__(self, key: str, value: Any) -> None:
        if not self.accessed:
            self.load()
        self.modified = True
        dict.__setitem__(self, key, value)

    def update(self, *args: Any, **items: Any) -> None:
        if not self.accessed:
            self.load()
        self.modified = True
        dict.update(self, *args, **items)

    def load(self) -> None:
        self.accessed = True
        if self.token is not None:
            payload = self.floor.verified(self.token)
            if payload is not None:
                dict.update(self, decode_json(payload.decode())[0])


class Floor:
    """The middleware."""

    def __init__(self, app: App, key: str, refresh: bool = True) -> None:
        self._app = app
        self._refresh = refresh
        self._sign = LeanSigner(key).get_signature
        self._stamp: tuple[int, bytes] = (0, b"")
        self._date: tuple[int, str] = (0, "")

    def __call__(self, environ: Environ, start_response: StartResponse) -> Any:
        session = environ["session"] = FloorSession()
        session.accessed = session.modified = False
        session.floor = self
        header = environ.get("HTTP_COOKIE", "")
        session.token = _token_in(header) if "session=" in header else None

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            ours = self._commit(session)
            return start_response(status, headers + ours if ours else headers, exc_info)

        return self._app(environ, start)

    def verified(self, token: bytes) -> bytes | None:
        """The payload of a token, or None if it is not genuine."""
        value, _, signature = token.rpartition(b".")
        if not compare_digest(self._sign(value), signature):
            return None
        body, _, stamp = value.rpartition(b".")
        age = int(time.time()) - int.from_bytes(_b64decode(stamp), "big")
        if not -60 <= age <= LIFETIME:
            return None
        return zlib.decompress(_b64decode(body[1:])) if body[:1] == b"." else _b64decode(body)

    def _commit(self, session: FloorSession) -> list[tuple[str, str]]:
        if session.accessed:
            if session.modified:
                return self._cookie(_body(session), dict.get(session, "_permanent") is True)
            if not self._refresh or dict.get(session, "_permanent") is not True:
                return [("Vary", "Cookie")]
        elif not self._refresh or session.token is None:
            return []
        else:
            payload = self.verified(session.token)
            if payload is None or b'"_permanent":true' not in payload:
                return []
        token: Any = session.token
        return self._cookie(token.rsplit(b".", 2)[0], True)

    def _cookie(self, body: bytes, permanent: bool) -> list[tuple[str, str]]:
        now = int(time.time())
        second, stamp = self._stamp
        if second != now:
            stamp = _b64encode(now.to_bytes(4, "big"))
            self._stamp = now, stamp
        value = body + b"." + stamp
        token = (value + b"." + self._sign(value)).decode()
        expires = f"; Expires={self._http_date(now + LIFETIME)}" if permanent else ""
        return [("Vary", "Cookie"), ("Set-Cookie", f"session={token}{expires}; HttpOnly; Path=/; SameSite=Lax")]

    def _http_date(self, at: int) -> str:
        last, text = self._date
        if last != at:
            t = time.gmtime(at)
            day, month = DAYS[t.tm_wday], MONTHS[t.tm_mon - 1]
            text = f"{day}, {t.tm_mday:02} {month} {t.tm_year} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} GMT"
            self._date = at, text
        return text


def _token_in(header: str) -> bytes | None:
    for pair in header.split(";"):
        name, _, value = pair.strip(" \t").partition("=")
        if name == "session":
            return value.encode("latin-1")
    return None


def _body(data: dict[str, Any]) -> bytes:
    if not PLAIN.issuperset(map(type, data.values())):
        raise TypeError("the floor knows no tags")
    for value in data.values():
        if type(value) is list and not SCALARS.issuperset(map(type, value)):
            raise TypeError("the floor knows no tags")
    payload = encode_json(data).encode()
    stream = zlib.compressobj(-1, zlib.DEFLATED, -12, 5 if len(payload) < 2047 else 7)
    deflated = stream.compress(payload) + stream.flush()
    if len(deflated) + 6 < len(payload) - 1:
        return b"." + _b64encode(b"\x78\x9c" + deflated + zlib.adler32(payload).to_bytes(4, "big"))
    return _b64encode(payload)


def _b64encode(data: bytes) -> bytes:
    return b2a_base64(data, newline=False).translate(TO_URL).rstrip(b"=")


def _b64decode(text: bytes) -> bytes:
    return a2b_base64(text.translate(FROM_URL) + PADDING[len(text) % 4])
