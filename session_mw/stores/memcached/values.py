"""Values in memcached: ``00001700000000:9f86d081884c7d65:data…``, when the record ends, its version and its data."""

from __future__ import annotations

import os
import re
import time

from session_mw.protocols import Record

_LATEST = 99999999999999
_HEADER = re.compile(rb"([0-9]{14}):([0-9a-f]{16}):")
_HEADER_LENGTH = 32


class Version(bytes):
    """A record's version, with the ``cas`` number that memcached gave the value when it was loaded."""

    def __new__(cls, version: bytes, name: str, cas: bytes, expires: int) -> Version:
        self = super().__new__(cls, version)
        self.name, self.cas, self.expires = name, cas, expires
        return self

    name: str
    cas: bytes
    expires: int


def new_version() -> bytes:
    """A version that no record had before."""
    return os.urandom(8).hex().encode()


def ends_in(ttl: int) -> int:
    """Unix time at which a record expires that is written now to live for ``ttl`` seconds."""
    return min(int(time.time()) + ttl, _LATEST)


def packed(ends: int, version: bytes, data: bytes) -> bytes:
    """A record as a value."""
    return b"%014d:%b:" % (ends, version) + data


def version_in(value: bytes | None) -> bytes | None:
    """The version in a value; None if the value is not a record."""
    head = _HEADER.match(value or b"")
    return head and head[2]


def live(value: bytes | None) -> Record | None:
    """The record in a value, or None if it has expired; a record without data if the value is not a record."""
    if value is None:
        return None
    head = _HEADER.match(value)
    if head is None:
        return Record(b"", b"", _LATEST)
    expires = int(head[1])
    return Record(value[_HEADER_LENGTH:], head[2], expires) if expires > int(time.time()) else None
