"""The record format in Redis: one string, so that a load is one GET.

00001700000000:9f86d081884c7d65:2c26b46b68ffc68ff99b453c1d304134:data…
expiry         version          owner: hash of the principal     payload
"""

from __future__ import annotations

import hashlib
import re

from session_mw.protocols import Record

HEADER = re.compile(rb"([0-9]{14}):([0-9a-f]{16}):([0-9a-f]{32}):")
HEADER_LENGTH = 65
NOBODY = "0" * 32
LATEST = 99999999999999
"""The last Unix time that the header has room for; every timedelta from today on fits."""


class Version(bytes):
    """A record's version, with the value in which it stood."""

    def __new__(cls, version: bytes, value: bytes, expires: int) -> Version:
        self = super().__new__(cls, version)
        self.value, self.expires = value, expires
        return self

    value: bytes
    expires: int


def record_in(value: bytes) -> Record:
    """The record in a value; a value that is not a record is returned as one without data."""
    head = HEADER.match(value)
    if head is None:
        return Record(b"", b"", LATEST)
    expires = int(head[1])
    return Record(value[HEADER_LENGTH:], Version(head[2], value, expires), expires)


def header(ends: int, version: str, owner: str) -> bytes:
    """The part before the data; ``ends`` is at most :data:`LATEST`."""
    return f"{ends:014d}:{version}:{owner}:".encode()


def owner_of(principal: str | None) -> str:
    """A principal's name in headers and index keys: a hash, so it has a fixed width and does not tell who it is."""
    if principal is None:
        return NOBODY
    return hashlib.sha256(principal.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def owner_in(head: bytes) -> str | None:
    """The owner in a record's header; None if there is no owner, or it is not a header."""
    match = HEADER.match(head)
    return None if match is None or match[3] == NOBODY.encode() else match[3].decode()


def is_live_and_of(head: bytes, owner: str, now: int) -> bool:
    """Whether a header is that of the owner's live record."""
    match = HEADER.match(head)
    return match is not None and match[3] == owner.encode() and int(match[1]) > now
