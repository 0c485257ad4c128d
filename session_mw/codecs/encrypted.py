"""Sessions that the visitor cannot read: in an encrypted cookie, or encrypted in a store.

Needs ``cryptography`` (``pip install "session_mw[encrypted]"``). The bytes are written
down in ``docs/encrypted-format.md``.
"""

from __future__ import annotations

import hmac
import re
import struct
import zlib
from collections.abc import Sequence
from typing import NoReturn

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from session_mw.codecs.base64url import b64decode, b64encode
from session_mw.codecs.inflate import check_inflated, inflate
from session_mw.codecs.keyring import HEAD_SIZE, SALT_SIZE, TAG_SIZE, Keyring
from session_mw.codecs.records import delimited
from session_mw.exceptions import BadToken
from session_mw.protocols import Opened

COOKIE_PURPOSE = b"session_mw cookie encryption"
RECORD_PURPOSE = b"session_mw record encryption"
HEAD_PURPOSE = b"session_mw record head encryption"
INDEX_PURPOSE = b"session_mw principal index"
PLAIN = b"\x01"
COMPRESSED = b"\x02"
RECORD = b"E"
HEAD = b"H"
_TIMES = struct.Struct(">II")
_HASHED = re.compile(r"h1-[0-9a-f]{64}")


class EncryptedCodec:
    """Cookies whose content only the server can read (AES-256-GCM).

    The cookie's name and the salt are part of every key, so a token of another cookie,
    another salt or another use of the secret key does not open. Whatever is wrong with a
    token, it is rejected in the same way, so that an attacker does not learn what is wrong.

    Args:
        secret_key: The key that encrypts.
        fallbacks: Older keys (or a newer one that is not used yet), which only decrypt.
        cookie_name: The name of the cookie.
        salt: Tells apart applications that share a secret key.
        compress: Make long payloads shorter. The length then depends on the content:
            where the session holds a secret beside text that a visitor chooses, the
            visitor can guess the secret from the lengths (as CRIME and BREACH did).
            Compressed tokens are read with either setting.
    """

    shape = re.compile(r"[A-Za-z0-9_-]{60,4096}")
    carries_created = True

    __slots__ = ("_compress", "_cookie_name", "_keyring")

    def __init__(
        self,
        secret_key: bytes,
        fallbacks: Sequence[bytes] = (),
        *,
        cookie_name: str,
        salt: str = "cookie-session",
        compress: bool = False,
    ) -> None:
        context = delimited(COOKIE_PURPOSE, salt.encode(), cookie_name.encode())
        self._keyring = Keyring(secret_key, fallbacks, context)
        self._cookie_name = cookie_name
        self._compress = compress

    def __repr__(self) -> str:
        return f"EncryptedCodec(cookie_name={self._cookie_name!r}, compress={self._compress})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a codec holds secret keys and is not pickled or copied; build another one")

    def encode(self, payload: bytes, created: int, now: int) -> str:
        """Make the token of ``payload``, written at ``now``.

        Args:
            payload: The serializer's bytes.
            created: Unix time at which the session began.
            now: Unix time.

        Raises:
            ValueError: A time is before 1970 or after 2106-02-07, which 32 bits do not hold.
            NotSerializable: The payload takes too much memory to be read again.
        """
        version, body = PLAIN, payload
        if self._compress and len(smaller := zlib.compress(payload)) < len(payload):
            check_inflated(payload, smaller)
            version, body = COMPRESSED, smaller
        try:
            times = _TIMES.pack(created, now)
        except struct.error:
            problem = f"an encrypted cookie holds times of 1970 to 2106, not {created} and {now}; check the clock"
            raise ValueError(problem) from None
        return b64encode(self._keyring.seal(version, times + body))

    def decode(self, token: str) -> Opened:
        """Open a token.

        Raises:
            BadToken: It is not authentic (``bad_signature``), or it is and does not inflate
                to a payload within the limits (``bad_payload``).
        """
        payload, created, written, current = self._read(token)
        return payload, written, created, current

    def renew(self, token: str, now: int) -> str:
        """Make a new token of the same payload with the current key and the time ``now``; the creation time stays."""
        payload, created, _, _ = self._read(token)
        return self.encode(payload, created, now)

    def _read(self, token: str) -> tuple[bytes, int, int, bool]:
        try:
            sealed = b64decode(token.encode("ascii"))
        except ValueError:
            raise BadToken("bad_signature") from None
        version, content = self._keyring.open(sealed)
        if version not in (PLAIN, COMPRESSED):
            raise BadToken("bad_signature")
        created, written = _TIMES.unpack_from(content)
        body = content[_TIMES.size :]
        return (body if version == PLAIN else inflate(body)), created, written, self._keyring.is_current(sealed)


def parts_of(token: str) -> tuple[str, str, str, str]:
    """Head (version and key id), salt, ciphertext and tag, as they stand in a token.

    Six bits are a character and eight a byte: a character belongs to the part in which its first bit lies.
    """
    size = len(token) * 3 // 4
    ends = [-(-8 * end // 6) for end in (HEAD_SIZE, HEAD_SIZE + SALT_SIZE, size - TAG_SIZE)]
    first, second, third = ends
    return token[:first], token[first:second], token[second:third], token[third:]


class EncryptedRecords:
    """A store's records, encrypted under the secret key and the visitor's token.

    The store knows only the token's hash. Who copies the store and the secret key still
    lacks what the visitors' browsers hold, and reads nothing.

    Args:
        secret_key: The key that encrypts.
        fallbacks: Keys that only decrypt.
        cookie_name: The name of the cookie.
        salt: Tells apart applications that share a secret key.
    """

    __slots__ = ("_heads", "_indexers", "_keyring")

    def __init__(
        self, secret_key: bytes, fallbacks: Sequence[bytes] = (), *, cookie_name: str, salt: str = "cookie-session"
    ) -> None:
        context = (salt.encode(), cookie_name.encode())
        self._keyring = Keyring(secret_key, fallbacks, delimited(RECORD_PURPOSE, *context))
        # Heads are sealed without the visitor's token: whoever lists a user's sessions does not have it.
        self._heads = Keyring(secret_key, fallbacks, delimited(HEAD_PURPOSE, *context))
        # These keys do not depend on salt and cookie name: every application that shares the secret key and the
        # store finds the same sessions of a user.
        self._indexers = [
            hmac.new(HKDF(SHA256(), 32, None, INDEX_PURPOSE).derive(key), digestmod="sha256")
            for key in (secret_key, *fallbacks)
        ]

    def __repr__(self) -> str:
        return "EncryptedRecords()"

    def seal_head(self, key: str, head: bytes) -> bytes:
        """Encrypt a head under the secret key alone."""
        return self._heads.seal(HEAD, head, bound=delimited(key.encode()))

    def open_head(self, key: str, sealed_head: bytes) -> bytes:
        """Read what :meth:`seal_head` made for the same key; empty where it cannot be read."""
        try:
            return self._heads.open(sealed_head, bound=delimited(key.encode())).content
        except BadToken:
            return b""

    def index_names(self, principal: str) -> list[str]:
        """A keyed hash of the principal for each secret key, the current one first; then the principal's own name.

        So a copy of the store names no user. The plain name finds sessions that were saved before the index
        held hashes; each gets its hash when it is next written or touched. It is left out where it looks like a
        hash: it would find another user's.
        """
        names = []
        for indexer in self._indexers:
            keyed = indexer.copy()
            keyed.update(principal.encode())
            names.append("h1-" + keyed.hexdigest())
        return names if _HASHED.fullmatch(principal) else [*names, principal]

    def __reduce__(self) -> NoReturn:
        raise TypeError("encrypted records hold secret keys and are not pickled or copied; build others")

    def seal(self, token: str, key: str, payload: bytes) -> bytes:
        """Make the data that the store holds under ``key`` for the visitor who has ``token``."""
        return self._keyring.seal(RECORD, payload, bound=delimited(key.encode()), visitor=token.encode())

    def unseal(self, token: str, key: str, data: bytes) -> bytes:
        """Read what :meth:`seal` made for the same token and key.

        Raises:
            BadToken: It is another visitor's, another key's or application's, damaged or
                not encrypted, with the reason ``bad_payload``.
        """
        try:
            opened = self._keyring.open(data, bound=delimited(key.encode()), visitor=token.encode())
        except BadToken:
            raise BadToken("bad_payload") from None
        if opened.version != RECORD:
            raise BadToken("bad_payload")
        return opened.content

    def is_ours(self, key: str, data: bytes) -> bool:
        """Whether the data name one of the keys; only :meth:`unseal` tells whether it sealed them."""
        return self._keyring.knows(data)

    def is_listed_well(self, sealed_head: bytes) -> bool:
        """Whether there is a head: a record without one was listed by an older release, under the principal's name."""
        return sealed_head != b""

    def is_current(self, data: bytes) -> bool:
        """Whether data that :meth:`unseal` accepted was sealed with the current key and not with a fallback."""
        return self._keyring.is_current(data)
