"""How a session's payload lies in a store: bound to its key, cookie name and salt.

Their encrypted counterpart is :class:`.encrypted.EncryptedRecords`.
"""

from __future__ import annotations

import binascii
import hashlib
from functools import lru_cache
from typing import Protocol

from session_mw.exceptions import BadToken

_PURPOSE = b"session_mw record"
_FORMAT = b"P"
_DIGEST_SIZE = 16
_HEAD_SIZE = len(_FORMAT) + 22


def delimited(*fields: bytes) -> bytes:
    """Join fields, each after its length as 4 big-endian bytes, so that different lists never become the same bytes.

    Without lengths, salt ``ab`` with cookie ``c`` and salt ``a`` with cookie ``bc`` would
    be one context, and a token of the one application would open in the other.
    """
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


class Records(Protocol):
    """Turns a payload into what a store holds, and back."""

    def seal(self, token: str, key: str, payload: bytes) -> bytes:
        """Make the data of the record.

        Args:
            token: What the visitor's cookie holds.
            key: What the store calls the record.
            payload: The serializer's bytes.
        """

    def unseal(self, token: str, key: str, data: bytes) -> bytes:
        """Read what :meth:`seal` made for the same token and key.

        Raises:
            BadToken: It was not made for them, with the reason ``bad_payload``.
        """

    def seal_head(self, key: str, head: bytes) -> bytes:
        """Make what stands in the record for a head, which may be empty."""

    def open_head(self, key: str, sealed_head: bytes) -> bytes:
        """Read what :meth:`seal_head` made for the same key; empty where it cannot be read."""

    def index_names(self, principal: str) -> list[str]:
        """Under which names a store's index may list a principal; the first one is for writing."""

    def is_ours(self, key: str, data: bytes) -> bool:
        """Whether data may have been sealed by these records; needs no token."""

    def is_listed_well(self, sealed_head: bytes) -> bool:
        """Whether the record's head, and with it its place in the index, are as they would be written today."""

    def is_current(self, data: bytes) -> bool:
        """Whether data that :meth:`unseal` accepted would be sealed with the same key today.

        A record that is not current is re-encrypted where it would otherwise only be
        touched; otherwise the old key could never be dropped.
        """


class PlainRecords:
    """Readable records, each behind a short digest of what it belongs to.

    The digest needs no secret key. It finds a record that was copied under another key, or that
    an application with another cookie name or salt wrote; it does not protect from anybody who can
    write to the store.

    Args:
        cookie_name: The name of the cookie.
        salt: Tells apart applications that share a store.
    """

    def __init__(self, cookie_name: str, salt: str = "cookie-session") -> None:
        context = delimited(_PURPOSE, salt.encode(), cookie_name.encode())
        self._hashed = hashlib.blake2b(context, digest_size=_DIGEST_SIZE)
        self._head = lru_cache(maxsize=1024)(self._digest)

    def seal(self, token: str, key: str, payload: bytes) -> bytes:
        """Make the data that the store holds under ``key``."""
        return self._head(key) + payload

    def unseal(self, token: str, key: str, data: bytes) -> bytes:
        """Read what :meth:`seal` made for the same key.

        Raises:
            BadToken: It is of another key or application or of another format, with the
                reason ``bad_payload``.
        """
        if not data.startswith(self._head(key)):
            raise BadToken("bad_payload")
        return data[_HEAD_SIZE:]

    def seal_head(self, key: str, head: bytes) -> bytes:
        """The head, as it is."""
        return head

    def open_head(self, key: str, sealed_head: bytes) -> bytes:
        """The head, as it is."""
        return sealed_head

    def index_names(self, principal: str) -> list[str]:
        """The principal's own name."""
        return [principal]

    def is_ours(self, key: str, data: bytes) -> bool:
        """Whether the data belong to the key, the cookie's name and the salt."""
        return data.startswith(self._head(key))

    def is_listed_well(self, sealed_head: bytes) -> bool:
        """Always True: plain records have always been listed under the principal's own name."""
        return True

    def is_current(self, data: bytes) -> bool:
        """Always True: readable records have no key."""
        return True

    def _digest(self, key: str) -> bytes:
        hashed = self._hashed.copy()
        hashed.update(key.encode())
        return _FORMAT + binascii.b2a_base64(hashed.digest(), newline=False)[:22]
