"""Flask's session token: a payload anyone can read and only a holder of the key can make.

    token = payload "." timestamp "." signature

Made and verified as ``itsdangerous.URLSafeTimedSerializer`` does, in the same bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from hmac import compare_digest
from typing import NoReturn, TypeAlias

from itsdangerous import Signer, want_bytes

from session_mw.codecs.base64url import b64ascii, b64decode, b64encode
from session_mw.codecs.inflate import check_inflated, inflate
from session_mw.exceptions import BadToken
from session_mw.protocols import Opened

FLASK_SALT = "cookie-session"
DIGESTS = ("sha1", "sha256", "sha512")

Key: TypeAlias = str | bytes


class PreparedSigner(Signer):
    """An itsdangerous signer that derives its keys once.

    Args:
        keys: The one that signs first, then those that only verify.
        salt: Separates tokens of one purpose from those of another.
        digest: HMAC's hash, one of :data:`DIGESTS`.
    """

    def __init__(self, keys: Sequence[Key], salt: str, digest: str) -> None:
        method = getattr(hashlib, digest)
        oldest_first = [want_bytes(key) for key in reversed(keys)]
        super().__init__(oldest_first, salt=salt, key_derivation="hmac", digest_method=method)
        self.mac, *self._old = (_mac(self.derive_key(key), digest) for key in reversed(self.secret_keys))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer holds secret keys and is not pickled or copied; build another one")

    def get_signature(self, value: str | bytes) -> bytes:
        """Sign with the current key; the signature is base64."""
        return self.mac(want_bytes(value))

    def verify_signature(self, value: str | bytes, sig: str | bytes) -> bool:
        """Whether any of the keys made the signature, in its one canonical spelling."""
        value, sig = want_bytes(value), want_bytes(sig)
        return compare_digest(self.mac(value), sig) or self.is_of_old_key(value, sig)

    def is_of_old_key(self, value: bytes, signature: bytes) -> bool:
        """Whether a key made the signature that no longer signs."""
        return bool(self._old) and any(compare_digest(mac(value), signature) for mac in self._old)


def _mac(key: bytes, digest: str) -> Callable[[bytes], bytes]:
    """HMAC (RFC 2104) with a key that is taken in once; the result is base64."""
    keyed = hmac.new(key, digestmod=digest).copy

    def mac(value: bytes) -> bytes:
        one = keyed()
        one.update(value)
        return b64ascii(one.digest())

    return mac


class SignedCodec:
    """Turns payloads into Flask's tokens and back.

    Args:
        secret_key: Signs and verifies.
        fallbacks: Old keys, newest first; they only verify.
        salt: Flask's is ``"cookie-session"``.
        digest: Flask's is ``"sha1"``.
    """

    carries_created = False

    def __init__(
        self, secret_key: Key, fallbacks: Sequence[Key] = (), *, salt: str = FLASK_SALT, digest: str = "sha1"
    ) -> None:
        self._signer = PreparedSigner([secret_key, *fallbacks], salt, digest)
        length = len(self._signer.get_signature(b""))
        self.shape = re.compile(rf"\.?[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{{1,11}}\.[A-Za-z0-9_-]{{{length}}}")
        self._stamp = (0, "")

    def encode(self, payload: bytes, created: int, now: int) -> str:
        """Make a token. The payload is compressed where that makes it shorter; ``created`` has no place in it.

        Raises:
            NotSerializable: The payload takes too much memory to be read again.
        """
        compressed = _deflate(payload)
        if len(compressed) >= len(payload) - 1:
            return self._sign(b64encode(payload), now)
        check_inflated(payload, compressed)
        return self._sign("." + b64encode(compressed), now)

    def decode(self, token: str) -> Opened:
        """Verify a token, then decode it.

        Raises:
            BadToken: No key made it, or it is another spelling of what a key made.
        """
        signed, _, signature = token.encode("ascii", "replace").rpartition(b".")
        current = compare_digest(self._signer.mac(signed), signature)
        if not current and not self._signer.is_of_old_key(signed, signature):
            raise BadToken("bad_signature")
        body, _, stamp = signed.rpartition(b".")
        return _payload(body), _timestamp(stamp), None, current

    def renew(self, token: str, now: int) -> str:
        """Sign the same payload with the current key and time."""
        return self._sign(token.rsplit(".", 2)[0], now)

    def _sign(self, body: str, now: int) -> str:
        second, stamp = self._stamp
        if second != now:
            stamp = b64encode(now.to_bytes((now.bit_length() + 7) // 8, "big"))
            self._stamp = now, stamp
        value = f"{body}.{stamp}"
        return f"{value}.{self._signer.mac(value.encode()).decode()}"


def parts_of(token: str) -> tuple[str, str, str]:
    """Payload, timestamp and signature, as they stand in a token.

    Raises:
        ValueError: It does not have three parts.
    """
    payload, timestamp, signature = token.rsplit(".", 2)
    return payload, timestamp, signature


def read_unverified(token: str) -> tuple[bytes, int]:
    """Payload and timestamp of a token that nobody has verified: for people who look into one.

    Raises:
        BadToken: ``bad_payload``: it is damaged.
    """
    body, _, stamp = token.encode("ascii", "replace").rpartition(b".")[0].rpartition(b".")
    return _payload(body), _timestamp(stamp)


def _payload(body: bytes) -> bytes:
    if not body:
        raise BadToken("bad_payload")
    try:
        return inflate(b64decode(body[1:])) if body.startswith(b".") else b64decode(body)
    except ValueError as error:
        raise BadToken("bad_payload") from error


@lru_cache(maxsize=1024)
def _timestamp(stamp: bytes) -> int:
    try:
        data = b64decode(stamp)
    except ValueError as error:
        raise BadToken("bad_payload") from error
    if data[:1] in (b"", b"\0"):
        raise BadToken("bad_payload")
    return int.from_bytes(data, "big")


# For a payload up to this size, a window of 4 KiB finds matches as long as the default window does, whose
# 256 KiB of buffers the system may hand out page by page at each call. Near the limit its smaller hash
# table may choose another match, which makes the token a byte longer or shorter than itsdangerous's.
_SMALL = 4096 - 262
# zlib clears its hash table at each call. The table of memory level 5 is a quarter of level 7's and as good,
# since both keep four bits of the oldest character; but a block holds fewer symbols, and a payload that
# needed a second block would become longer.
_ONE_BLOCK = 2046
_ZLIB_HEADER = b"\x78\x9c"


def _deflate(payload: bytes) -> bytes:
    """``zlib.compress(payload)``, in less time for a short payload."""
    if len(payload) > _SMALL:
        return zlib.compress(payload)
    stream = zlib.compressobj(-1, zlib.DEFLATED, -12, 5 if len(payload) <= _ONE_BLOCK else 7)
    deflated = stream.compress(payload) + stream.flush()
    return _ZLIB_HEADER + deflated + zlib.adler32(payload).to_bytes(4, "big")
